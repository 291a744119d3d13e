/** Every form that a model may come in, and that each function opens it once. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, fromBytes, fromStream } from "../src/bytes.ts";
import type { LoadOptions } from "../src/classifier.ts";
import { defineRuntime, type Library } from "../src/define.ts";
import { ArgumentTypeError, ModelError, StateError } from "../src/errors.ts";
import { LAZY_ONNX, LAZY_TORCH } from "../src/formats/lazy.ts";
import { ONNX } from "../src/formats/onnx/format.ts";
import { type Format, type Found, SAFETENSORS } from "../src/formats/open.ts";
import { KIND_LABELS, type Kind } from "../src/formats/sniff.ts";
import { TORCH } from "../src/formats/torch/format.ts";
import type { Source } from "../src/model.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import type { Runtime } from "../src/runtime.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { ImageSet } from "../src/train/dataset.ts";
import * as seeds from "./fuzz/seeds.ts";
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

/** The file, made longer by spaces in its header: whole words of 32 bits. */
function wholeWords(): Uint8Array {
  const header = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const spaces = (4 - (file.length % 4)) % 4;
  const out = new Uint8Array(file.length + spaces);
  out.set(file.subarray(0, header));
  out.fill(32, header, header + spaces);
  out.set(file.subarray(header), header + spaces);
  new DataView(out.buffer).setBigUint64(0, BigInt(header - 8 + spaces), true);
  return out;
}

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.slice(at, at + length);
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
let address: string;
const server = createServer((_, response) => response.end(file));
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  folder = await mkdtemp(join(tmpdir(), "source-"));
  path = join(folder, "model.safetensors");
  await writeFile(path, file);
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

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
    ["a Buffer", () => Buffer.from(file)],
    [
      "a part of a larger buffer",
      () => new Uint8Array([...new Uint8Array(3), ...file, 7]).subarray(3, 3 + file.length),
    ],
    ["numbers of another type", () => new Float32Array(wholeWords().buffer)],
    ["a DataView", () => new DataView(file.buffer, file.byteOffset, file.byteLength)],
    ["a stream of Node's", () => createReadStream(path)],
    ["an http: URL", () => new URL("/model.safetensors", address)],
    ["pieces that come one by one", () => pieces(file, 1000)],
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
    ["a PyTorch checkpoint", seeds.torch],
    ["an ONNX model", seeds.onnx],
  ] as const)("may be %s in any form, also one that can be read once", async (_, make) => {
    const bytes = (await make()) as Uint8Array<ArrayBuffer>;
    const { library } = counting();
    const input = { data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] } as const;
    const logits = async (source: Source, options?: LoadOptions): Promise<Float32Array> => {
      await using model = await library.load(source, options);
      return (await model.logits(input)).data;
    };
    const want = await logits(bytes);
    // The readers that browsers import when they need them are the same.
    const lazy = { formats: [SAFETENSORS, LAZY_TORCH, LAZY_ONNX] };
    const sources = [new Blob([bytes]), new File([bytes], "model"), new Response(bytes), new Blob([bytes]).stream()];
    for (const source of sources) expect(await logits(source, lazy)).toEqual(want);
    expect(await logits(pieces(bytes, 5000), lazy)).toEqual(want);
    const short = new Response(bytes, { headers: { "Content-Length": `${bytes.length + 1}` } });
    await expect(library.load(short)).rejects.toMatchObject({ code: "truncated" });
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
  it("is read by a format that is imported late where the format itself would read it", () => {
    const kinds = Object.keys(KIND_LABELS) as Kind[];
    for (const [late, format] of [
      [LAZY_TORCH, TORCH],
      [LAZY_ONNX, ONNX],
    ] as const) {
      expect(late.label).toBe(format.label);
      const readsOf = ({ reads }: Format): readonly boolean[] =>
        kinds.flatMap((kind) => ["a.onnx", "a.pth"].map((entry) => reads({ kind, entry } as Found)));
      expect(readsOf(late)).toEqual(readsOf(format));
    }
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
