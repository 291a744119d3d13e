/** Every call that takes time ends at once when its signal aborts, with the signal's reason, and leaves what it was made on usable. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { letEventsRun, untilAborted, untilAbortedEach } from "../src/abort.ts";
import { type ByteSource, fromBytes } from "../src/bytes.ts";
import type { Classifier } from "../src/classifier.ts";
import type { ImageInput } from "../src/decode/input.ts";
import { defineRuntime, type Library } from "../src/define.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import { ImageSet } from "../src/train/dataset.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenPixels } from "./golden/weights.ts";
import { shipped } from "./shipped.ts";

const file = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }) as Uint8Array<ArrayBuffer>;
const photo = { width: 40, height: 30, data: goldenPixels(40, 30) };
const never = new Promise<never>(() => {});

/** A stream of the file's first bytes after which nothing comes, and whether it was cancelled. */
function stalled(bytes: number): {
  readonly stream: ReadableStream<Uint8Array>;
  readonly seen: { cancelled: boolean };
} {
  const seen = { cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(file.slice(0, bytes)),
    pull: () => never,
    cancel() {
      seen.cancelled = true;
    },
  });
  return { stream, seen };
}

/** A server that never answers, and its address. */
const silent = createServer(() => {});
let address = "";
beforeAll(async () => {
  await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
  address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
});
afterAll(() => {
  silent.close();
  silent.closeAllConnections();
});

/** Images of two classes; every one above `last` is waited for in vain. */
function dataset(last = Number.POSITIVE_INFINITY): ImageSet {
  const set = new ImageSet();
  for (let i = 0; i < 40; ++i) {
    const data = goldenPixels(40, 30).map((value) => value ^ i);
    const image: ImageInput = i > last ? address : { width: 40, height: 30, data };
    set.add(image, i % 2 === 0 ? "one" : "two");
  }
  return set;
}

let library: Library;
beforeAll(async () => {
  library = defineRuntime(await shipped());
});

/** That a call rejects with the reason, within a second of the abort. */
async function aborts(call: (signal: AbortSignal) => Promise<unknown>, afterMs: number): Promise<void> {
  const controller = new AbortController();
  const reason = new Error("no longer wanted");
  let at = 0;
  setTimeout(() => {
    at = performance.now();
    controller.abort(reason);
  }, afterMs);
  const outcome = await call(controller.signal).then(
    () => "an answer",
    (error) => error,
  );
  expect(outcome).toBe(reason);
  expect(performance.now() - at).toBeLessThan(1000);
}

async function drained(pieces: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of pieces);
}

async function* waiting<T>(first: T): AsyncGenerator<T> {
  yield first;
  await never;
}

const opening: readonly (readonly [string, (source: ReadableStream, signal: AbortSignal) => Promise<unknown>])[] = [
  ["load", (source, signal) => library.load(source, { signal })],
  ["openModel", (source, signal) => library.openModel(source, { signal })],
  ["inspect", (source, signal) => library.inspect(source, { signal })],
  ["convert", (source, signal) => drained(library.convert(source, { signal }))],
  ["tune", (source, signal) => library.tune(source, { signal })],
  ["quantize", (source, signal) => library.quantize(source, [photo], { signal })],
  ["finetune", (source, signal) => library.finetune(source, dataset(), { signal })],
  ["createTrainer", (source, signal) => library.createTrainer(source, { signal })],
];

describe.each(opening)("%s", (_, call) => {
  it("stops waiting for the head of a stream, and cancels it", async () => {
    const { stream, seen } = stalled(100);
    await aborts((signal) => call(stream, signal), 20);
    await new Promise((done) => setTimeout(done, 20));
    expect(seen.cancelled).toBe(true);
  });
  it("does nothing when the signal has aborted before", async () => {
    const reason = new Error("too late");
    const source: ByteSource = { ...fromBytes("unread", file), read: () => Promise.reject(new Error("was read")) };
    await expect(call(source as unknown as ReadableStream, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe.each(opening.filter(([name]) => !["openModel", "inspect", "tune"].includes(name)))("%s", (_, call) => {
  it("stops waiting for the rest of a stream", async () => {
    const { stream, seen } = stalled(40_000);
    await aborts((signal) => call(stream, signal), 200);
    await new Promise((done) => setTimeout(done, 20));
    expect(seen.cancelled).toBe(true);
  });
});

describe("work", () => {
  it.each<[string, (signal: AbortSignal) => Promise<unknown>]>([
    ["tune", (signal) => library.tune("resnet18", { signal })],
    ["quantize, between images", (signal) => library.quantize(file, Array(10_000).fill(photo), { signal })],
    ["quantize, while an image is waited for", (signal) => library.quantize(file, waiting(photo), { signal })],
    ["finetune, while a head is trained", (signal) => library.finetune(file, dataset(), { epochs: 100_000, signal })],
    ["finetune, while an image is waited for", (signal) => library.finetune(file, dataset(20), { signal })],
    ["train", (signal) => library.train("resnet20", dataset(), { epochs: 1000, signal })],
    ["train, while an image is waited for", (signal) => library.train("resnet20", dataset(20), { signal })],
  ])("of %s ends", async (_, call) => {
    await aborts(call, 400);
  });
  it("of an opened model may end, and the model be loaded again", async () => {
    await using model = await library.openModel(file);
    await expect(library.load(model, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
    await using classifier = await library.load(model);
    expect((await classifier.classify(photo)).length).toBe(5);
  });
  it("goes on after a signal of a call that has ended", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    await using model = await library.openModel(new Blob([file]).stream(), { signal });
    await using trainer = await library.createTrainer(file, { signal, batch: 2 });
    controller.abort();
    await using classifier = await library.load(model);
    expect((await classifier.classify(photo)).length).toBe(5);
    expect((await trainer.tensors()).length).toBeGreaterThan(0);
  });
});

describe.each([
  ["one thread", {}],
  ["two threads", { threads: 2 }],
  ["two replicas", { replicas: 2 }],
])("a classifier of %s", (_, options) => {
  let model: Classifier;
  let before: unknown;
  const many = (n: number) => ({ data: new Float32Array(n * 3072).fill(0.5), shape: [n, 32, 32, 3] as const });
  beforeAll(async () => {
    model = await library.load(file, options);
    before = await model.classify(photo);
  });
  afterAll(() => model.dispose());
  const late = (): ImageInput => new ReadableStream({ pull: () => never });
  it.each<[string, (signal: AbortSignal) => Promise<unknown>]>([
    ["classify an image that does not come", (signal) => model.classify(late(), { signal })],
    ["classify several", (signal) => model.classify(Array(100_000).fill(photo), { signal })],
    ["classify several of which one does not come", (signal) => model.classify([photo, late(), photo], { signal })],
    ["probabilities", (signal) => model.probabilities(late(), { crops: 10 }, { signal })],
    ["logits", (signal) => model.logits(many(4000), { signal })],
    ["features of an image", (signal) => model.features(late(), { signal })],
    ["features of a batch", (signal) => model.features(many(4000), { signal })],
    ["embed", (signal) => model.embed([late()], { signal })],
    ["activations", (signal) => model.activations(late(), ["conv1"], { signal })],
    ["heatmap", (signal) => model.heatmap(late(), { signal })],
    ["preprocess", (signal) => model.preprocess(late(), { signal })],
  ])("may be told not to %s, and goes on", async (_name, call) => {
    await aborts(call, 50);
    expect(await model.classify(photo)).toEqual(before);
  });
  it("does not begin what was aborted before", async () => {
    const signal = AbortSignal.abort(new Error("too late"));
    for (const call of [
      model.classify(photo, { signal }),
      model.classify([photo], { signal }),
      model.logits(many(1), { signal }),
      model.warmup({ signal }),
    ]) {
      await expect(call).rejects.toThrow("too late");
    }
    expect(await model.classify(photo)).toEqual(before);
  });
  it("does not wait for what was given up when it is disposed", async () => {
    const own = await library.load(file, options);
    const call = own.classify(late(), { signal: AbortSignal.timeout(20) });
    await expect(call).rejects.toMatchObject({ name: "TimeoutError" });
    await own.dispose();
  });
});

describe("a promise", () => {
  it("is given back when it comes too late", async () => {
    const controller = new AbortController();
    const given: number[] = [];
    let resolve: (value: number) => void = () => {};
    const promise = new Promise<number>((done) => {
      resolve = done;
    });
    const waited = untilAborted(promise, controller.signal, (value) => given.push(value));
    controller.abort(new Error("no"));
    await expect(waited).rejects.toThrow("no");
    resolve(7);
    await promise;
    expect(given).toEqual([7]);
  });
  it("leaves no listener behind", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners += 1;
      add(...given);
    };
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...given);
    };
    await untilAborted(Promise.resolve(1), signal);
    await untilAborted(Promise.reject(new Error("x")), signal).catch(() => {});
    expect(listeners).toBe(0);
  });
  it.each(["MessageChannel", "timers alone"])("of the event loop's next turn lets a timer abort, by %s", async (by) => {
    if (by === "timers alone") vi.stubGlobal("MessageChannel", undefined);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("timer")), 5);
    const spin = async (): Promise<void> => {
      for (;;) await letEventsRun(controller.signal);
    };
    await expect(spin()).rejects.toThrow("timer");
    vi.unstubAllGlobals();
  });
  it("of each of some items closes their iterator when they are left", async () => {
    let closed = false;
    const items = (function* () {
      try {
        yield* [1, 2, 3];
      } finally {
        closed = true;
      }
    })();
    for await (const item of untilAbortedEach(items, undefined)) if (item === 2) break;
    expect(closed).toBe(true);
  });
});
