/** A team computes what one thread computes, byte for byte, and its failures are errors, not hangs. */
import { describe, expect, it } from "vitest";
import { type LoadOptions, loadWith } from "../src/classifier.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import type { ModuleName, Runtime, WorkerHandle } from "../src/runtime.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { step } from "../src/tape.ts";
import { startTeam } from "../src/threads.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput } from "./golden/weights.ts";
import { shipped } from "./shipped.ts";
import { RUNNABLE } from "./wasm.ts";

function modelBytes(arch: string, classes: number): Uint8Array {
  return goldenCheckpoint({ ...resnetSpec(arch), shortcut: "B", classes });
}

describe.each(RUNNABLE)("%s", (build) => {
  it.each([2, 3])("%i threads give the bytes of one", async (threads) => {
    const bytes = modelBytes("resnet20", 7);
    const input = { data: goldenInput([3, 40, 33, 3]), shape: [3, 40, 33, 3] } as const;
    const runtime = await shipped();
    const logits = async (options: LoadOptions): Promise<Buffer> => {
      const model = await loadWith(runtime, bytes, { build, ...options });
      const first = await model.logits(input);
      // A second input size is a second tape.
      await model.logits({ data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] });
      const [again, and] = await Promise.all([model.logits(input), model.logits(input)]);
      expect([again, and].every(({ data }) => Buffer.from(data.buffer).equals(Buffer.from(first.data.buffer)))).toBe(
        true,
      );
      await model.dispose();
      return Buffer.from(first.data.buffer);
    };
    expect((await logits({ threads })).equals(await logits({ threads: 1 }))).toBe(true);
  });
});

it("the number of threads does not change how a layer is computed", async () => {
  const bytes = modelBytes("resnet18", 3);
  const input = { data: goldenInput([1, 64, 64, 3]), shape: [1, 64, 64, 3] } as const;
  const runtime = await shipped();
  const results: Buffer[] = [];
  for (const threads of [1, 2]) {
    // So tight that a second thread's scratch would not fit.
    const model = await loadWith(runtime, bytes, { threads, memoryBytes: 60e6 });
    results.push(Buffer.from((await model.logits(input)).data.buffer));
    await model.dispose();
  }
  expect(results[0]!.equals(results[1]!)).toBe(true);
});

describe("failures", () => {
  const memory = (): WebAssembly.Memory => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });

  it("a worker that dies is an error, at once and ever after", async () => {
    const runtime = await shipped();
    const handles: WorkerHandle[] = [];
    let dies = (_reason: string): void => {};
    const team = await startTeam(
      {
        ...runtime,
        startWorker(onMessage, onExit, job) {
          dies = onExit;
          const handle = runtime.startWorker(onMessage, onExit, job);
          handles.push(handle);
          return handle;
        },
      },
      await runtime.module("baseline.shared"),
      memory(),
      2,
    );
    const id = team.add([step("never", "clamp_f32", 1, { c: 1, input: 4096, out: 4096, lo: 0, hi: 1 })], 0);
    // The second worker is gone: the first waits for it at the barrier.
    handles[1]!.terminate();
    const running = team.run(id);
    setTimeout(() => dies("an exit with code 1"), 50);
    await expect(running).rejects.toThrow("worker 1: expected to live as long as the model, got an exit with code 1");
    await expect(team.run(id)).rejects.toThrow("worker 1");
    team.dispose();
  });
  it("a step that traps is an error", async () => {
    const runtime = await shipped();
    const team = await startTeam(runtime, await runtime.module("baseline.shared"), memory(), 2);
    const id = team.add([step("stray", "clamp_f32", 2, { c: 4, input: 1 << 30, out: 4096, lo: 0, hi: 1 })], 0);
    await expect(team.run(id)).rejects.toThrow(/stray: RuntimeError/);
  });
  it("a step that traps ends its team and no other; the workers stay", async () => {
    const runtime = await shipped();
    let started = 0;
    const counted: Runtime = {
      ...runtime,
      startWorker(...given) {
        started += 1;
        return runtime.startWorker(...given);
      },
    };
    const module = await runtime.module("baseline.shared");
    const [one, two] = [await startTeam(counted, module, memory(), 2), await startTeam(counted, module, memory(), 3)];
    const over = (input: number) => [step("over", "clamp_f32", 2, { c: 4, input, out: 8192, lo: 0, hi: 1 })];
    const [bad, good] = [one.add([...over(1 << 30), ...over(4096)], 0), two.add(over(4096), 0)];
    const [failed, ran] = await Promise.allSettled([one.run(bad), two.run(good)]);
    expect([failed.status, ran.status]).toEqual(["rejected", "fulfilled"]);
    await two.run(good);
    two.dispose();
    (await startTeam(counted, module, memory(), 3)).dispose();
    expect(started).toBe(3);
  });
  it("refuses 0 threads, and half a thread", async () => {
    for (const threads of [0, 0.5]) {
      const loading = loadWith(nodeRuntime(), modelBytes("resnet20", 3), { threads });
      await expect(loading).rejects.toThrow(`threads: expected a whole number from 1, got ${threads}`);
    }
  });
  it("the shared builds hold the same kernels", async () => {
    const namesOf = async (name: ModuleName): Promise<readonly string[]> =>
      WebAssembly.Module.exports(await nodeRuntime().module(name))
        .map((each) => each.name)
        .sort();
    for (const name of ["baseline.shared", "relaxed.shared"] as const) {
      if (name === "relaxed.shared" && !RUNNABLE.includes("relaxed")) continue;
      expect(await namesOf(name)).toEqual(await namesOf("baseline"));
    }
  });
});
