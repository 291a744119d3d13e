/** What a classifier and a trainer share: cached plans, the queue, shared memory's limit, disposal. */
import { describe, expect, it } from "vitest";
import { createEngine, type Engine, engineTarget, type Runnable } from "../src/engine.ts";
import { OptionError, StateError } from "../src/errors.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { type Step, step } from "../src/tape.ts";
import { shipped } from "./shipped.ts";

const fill = (address: number): Step =>
  step("test", "clamp_f32", 1, { c: 16, input: address, out: address, lo: 1, hi: 2 });

function runnable(address = 8192): Runnable {
  return { tapes: [[fill(address)]], scratchBytes: 0, end: 65536 };
}

async function engineOf(threads = 1, plans = 2): Promise<Engine<Runnable>> {
  const runtime = threads > 1 ? await shipped() : nodeRuntime();
  const target = engineTarget({ build: "baseline", threads });
  const engine = await createEngine<Runnable>(runtime, "test", target, { bytes: 2 ** 20, plans });
  engine.reserve(65536);
  await engine.start(runtime);
  return engine;
}

describe("plans", () => {
  it("that were used least recently go first", async () => {
    const engine = await engineOf();
    const made: string[] = [];
    const use = (key: string): void => {
      engine.plan(key, () => {
        made.push(key);
        return runnable();
      });
    };
    for (const key of ["a", "b", "a", "c", "a", "b"]) use(key);
    // "a" stays, because it was used before each new plan came.
    expect(made).toEqual(["a", "b", "c", "b"]);
    await engine.dispose();
  });
  it.each([1, 2])("run after others were evicted, on %i threads", async (threads) => {
    const engine = await engineOf(threads, 1);
    for (const address of [8192, 16384, 8192]) {
      const { tapes } = engine.plan(`${address}`, () => runnable(address));
      engine.floats(address, 16).fill(9);
      await engine.run(tapes[0]!);
      expect(engine.floats(address, 16)[3]).toBe(2);
    }
    await engine.dispose();
  });
});

describe("calls", () => {
  it("that are exclusive run one after the other, also behind one that failed", async () => {
    const engine = await engineOf();
    const seen: number[] = [];
    const work = (i: number) => async (): Promise<void> => {
      seen.push(i);
      await new Promise((resolve) => setTimeout(resolve, 5));
      seen.push(-i);
      if (i === 1) throw new RangeError("one");
    };
    const results = await Promise.allSettled([1, 2].map((i) => engine.call(() => engine.exclusive(work(i)))));
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(seen).toEqual([1, -1, 2, -2]);
    await engine.dispose();
  });
  it("made before dispose finish, those made after are refused, and dispose may be called twice", async () => {
    const engine = await engineOf(2);
    const slow = engine.call(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return engine.exclusive(async () => engine.kernels.memory.buffer.byteLength);
    });
    const disposals = [engine.dispose(), engine.dispose()];
    await expect(engine.call(async () => 1)).rejects.toThrow(StateError);
    expect(await slow).toBeGreaterThan(0);
    await Promise.all(disposals);
    expect(() => engine.kernels).toThrow(StateError);
  });
});

describe("options", () => {
  it.each([
    [{ threads: 0 }, "threads"],
    [{ threads: Number.NaN }, "threads"],
    [{ threads: "2" as unknown as number }, "threads"],
    [{ build: "fast" as "baseline" }, "build"],
  ])("%o are refused", (options, option) => {
    expect(() => engineTarget(options)).toThrow(OptionError);
    expect(() => engineTarget(options)).toThrow(expect.objectContaining({ option }));
  });
  it("ask a shared memory for no more pages than there are", async () => {
    const target = engineTarget({ build: "baseline", threads: 2 });
    const engine = await createEngine<Runnable>(nodeRuntime(), "test", target, { bytes: 5 * 2 ** 30, plans: 1 });
    expect(engine.kernels.memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    await engine.dispose();
  });
});
