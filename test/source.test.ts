/** Every form that a model may come in, and that each function opens it once. */

import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, fromBytes, fromStream } from "../src/bytes.ts";
import { defineRuntime, type Library } from "../src/define.ts";
import { ArgumentTypeError, ModelError, StateError } from "../src/errors.ts";
import type { Source } from "../src/model.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import type { Runtime } from "../src/runtime.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { ImageSet } from "../src/train/dataset.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput, goldenPixels } from "./golden/weights.ts";

const file = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }) as Uint8Array<ArrayBuffer>;
const images = [goldenPixels(40, 30), goldenPixels(32, 32).reverse()].map((data, i) => ({
  ...(i === 0 ? { width: 40, height: 30 } : { width: 32, height: 32 }),
  data,
}));

/** A runtime that counts what it opens, and a library bound to it. */
function counting(): { readonly library: Library; readonly opened: string[] } {
  const opened: string[] = [];
  const inner = nodeRuntime();
  const runtime: Runtime = {
    ...inner,
    async locate(source, options) {
      opened.push(source);
      return inner.locate(source, options);
    },
  };
  return { library: defineRuntime(runtime), opened };
}

/** A source that counts the reads of its header and its closing. */
function counted(source: ByteSource): ByteSource & { readonly seen: { opens: number; closes: number } } {
  const seen = { opens: 0, closes: 0 };
  return {
    ...source,
    seen,
    async read(offset, length, into) {
      if (offset === 8) seen.opens += 1;
      return source.read(offset, length, into);
    },
    async close() {
      seen.closes += 1;
    },
  };
}

const streamed = (): ReadableStream<Uint8Array> => new Blob([file]).stream();

function dataset(): ImageSet {
  const set = new ImageSet();
  for (let i = 0; i < 4; ++i) set.add(images[i % 2]!, i % 2 === 0 ? "wide" : "square");
  return set;
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** What takes a source, and something of its result that must not depend on the source's form. */
const WORK: readonly (readonly [string, (library: Library, source: Source) => Promise<unknown>])[] = [
  [
    "load",
    async ({ load }, source) => {
      await using model = await load(source);
      return (await model.logits({ data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] })).data;
    },
  ],
  ["quantize", async ({ quantize }, source) => digest((await quantize(source, images)).bytes)],
  [
    "finetune",
    async ({ finetune }, source) => digest((await finetune(source, dataset(), { epochs: 1, augment: "none" })).bytes),
  ],
  [
    "convert",
    async ({ convert }, source) => {
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      for await (const piece of convert(source, { dtype: "f16" })) pieces.push(piece);
      return digest(new Uint8Array(await new Blob(pieces).arrayBuffer()));
    },
  ],
  [
    "createTrainer",
    async ({ createTrainer }, source) => {
      await using trainer = await createTrainer(source, { learningRate: 0.01, batch: 2 });
      return (await trainer.step(goldenInput([2, 32, 32, 3]), Int32Array.from([1, 2]))).loss;
    },
  ],
  ["inspect", async ({ inspect }, source) => (await inspect(source)).parameters],
];

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "source-"));
  path = join(folder, "model.safetensors");
  await writeFile(path, file);
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(WORK)("%s", (_, work) => {
  it("opens its source once, and closes it", async () => {
    const { library, opened } = counting();
    const want = await work(library, path);
    expect(opened).toEqual([path]);
    const source = counted(fromBytes("counted", file));
    expect(await work(library, source)).toEqual(want);
    expect(source.seen).toEqual({ opens: 1, closes: 1 });
  });
  it("takes a stream that can be read once", async () => {
    const { library } = counting();
    expect(await work(library, streamed())).toEqual(await work(library, file));
  });
  it("leaves an opened model open", async () => {
    const { library } = counting();
    const source = counted(fromBytes("counted", file));
    const model = await library.openModel(source);
    const want = await work(library, file);
    for (let i = 0; i < 2; ++i) expect(await work(library, model)).toEqual(want);
    expect(source.seen).toEqual({ opens: 1, closes: 0 });
    await model.close();
    expect(source.seen.closes).toBe(1);
  });
});

describe("a source", () => {
  it.each<[string, () => Source]>([
    ["a path", () => path],
    ["a file: URL", () => pathToFileURL(path)],
    ["a data: URL", () => `data:application/octet-stream;base64,${Buffer.from(file).toString("base64")}`],
    ["bytes", () => file],
    ["an ArrayBuffer", () => file.slice().buffer],
    ["a Blob", () => new Blob([file])],
    ["a File", () => new File([file], "model.safetensors")],
    ["a Response", () => new Response(file)],
    ["a stream", streamed],
    ["a ByteSource", () => fromStream("own", streamed(), file.length)],
  ])("may be %s", async (_, make) => {
    const { library } = counting();
    const model = await library.load(make());
    expect(model.model.arch).toBe("basic-3-3-3");
    await model.dispose();
  });
  it.each([
    [7, ArgumentTypeError, "argument-type"],
    [null, ArgumentTypeError, "argument-type"],
    [{}, ArgumentTypeError, "argument-type"],
    [new Response("no", { status: 404 }), ModelError, "not-found"],
    [new Response("no", { status: 500 }), ModelError, "network"],
  ])("%o is refused", async (source, type, code) => {
    const failure = await counting()
      .library.load(source as unknown as Source)
      .catch((error) => error);
    expect(failure).toBeInstanceOf(type);
    expect(failure.code).toBe(code);
  });
  it("whose classes do not exclude each other is trained as such", async () => {
    const { library } = counting();
    await using trainer = await library.createTrainer(file, { output: "sigmoid", batch: 2 });
    const targets = new Uint8Array(2 * 10).fill(1, 3, 5);
    const { loss } = await trainer.step(goldenInput([2, 32, 32, 3]), targets);
    expect(loss).toBeGreaterThan(0);
    await expect(trainer.step(goldenInput([2, 32, 32, 3]), Int32Array.from([0, 2]))).rejects.toThrow(/bce/);
  });
  it("of new weights is a name of the table", async () => {
    const { library, opened } = counting();
    await using trainer = await library.createTrainer("resnet20", { classes: 3, learningRate: 0.1, batch: 2 });
    const { loss } = await trainer.step(goldenInput([2, 32, 32, 3]), Int32Array.from([0, 2]));
    expect(Math.abs(loss - Math.log(3))).toBeLessThan(2);
    expect(opened).toEqual([]);
    await trainer.dispose();
    await expect(trainer.step(goldenInput([2, 32, 32, 3]), Int32Array.from([0, 2]))).rejects.toThrow(StateError);
  });
});
