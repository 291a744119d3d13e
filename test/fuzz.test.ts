/**
 * Mutations of whole files, through the public door: bytes changed, cut, doubled and moved, numbers in headers made absurd.
 * Each ends in a model or in one typed error, soon and in bounded memory; nothing crashes, nothing hangs.
 */
import { describe, expect, it } from "vitest";
import { type Folder, fromBytes } from "../src/bytes.ts";
import { loadWith } from "../src/classifier.ts";
import { convertModel } from "../src/convert.ts";
import { ModelError } from "../src/errors.ts";
import { TFJS } from "../src/formats/json.ts";
import { openCheckpoint, SAFETENSORS } from "../src/formats/open.ts";
import { openModelWith } from "../src/model.ts";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { randomly } from "./wasm.ts";

const ROUNDS = 250;
/** Milliseconds one mutant may take, with room for a slow machine. */
const LIMIT_MS = 2000;

/** A small file and what is done with it. */
type Subject = readonly [name: string, bytes: Uint8Array, header: number];

const SPEC: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B", depths: [1, 1], width: 8 };

async function converted(dtype: "f16" | "i8"): Promise<Uint8Array> {
  const model = await openModelWith(nodeRuntime(), goldenCheckpoint(SPEC), { labels: [..."0123456789"] });
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertModel(model, { dtype })) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

const headerOf = (bytes: Uint8Array): number =>
  8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));

/** One mutant: mostly of the header, where lies can be told. */
function mutant(bytes: Uint8Array, header: number, random: () => number): Uint8Array {
  const at = (end: number): number => Math.min(end - 1, Math.floor(((random() + 1) / 2) * end));
  const copy = bytes.slice();
  const text = new TextDecoder("latin1").decode(copy.subarray(0, header));
  switch (at(7)) {
    case 0:
      return copy.subarray(0, at(copy.length));
    case 1:
      for (let i = 0; i < 4; ++i) copy[at(header)] = at(256);
      return copy;
    case 2:
      copy[at(copy.length)]! ^= 1 << at(8);
      return copy;
    case 3: {
      // A number of the header becomes another, of the same length so that only it lies.
      const numbers = [...text.matchAll(/\d+/g)];
      const hit = numbers[at(numbers.length)]!;
      const digits = Array.from(hit[0], () => `${at(10)}`).join("");
      copy.set(new TextEncoder().encode(digits), hit.index);
      return copy;
    }
    case 4: {
      const [from, to, length] = [at(header), at(header), at(64)];
      copy.copyWithin(to, from, Math.min(header, from + length));
      return copy;
    }
    case 5:
      new DataView(copy.buffer).setBigUint64(0, BigInt(at(2 ** 31)) * BigInt(at(2 ** 31)), true);
      return copy;
    default: {
      const doubled = new Uint8Array(copy.length + header);
      doubled.set(copy.subarray(0, header));
      doubled.set(copy, header);
      return doubled;
    }
  }
}

/** Runs `work`, which may fail only in one of our ways. */
async function survives(work: () => Promise<void>, name: string): Promise<"fine" | "refused"> {
  const start = performance.now();
  try {
    await work();
    return "fine";
  } catch (error) {
    const isTyped = error instanceof ModelError || error instanceof RangeError || error instanceof TypeError;
    expect(isTyped, `${name}: ${error instanceof Error ? error.stack : error}`).toBe(true);
    expect((error as Error).message, name).toMatch(/expected [\s\S]*, got /);
    return "refused";
  } finally {
    expect(performance.now() - start, name).toBeLessThan(LIMIT_MS);
  }
}

const f32 = goldenCheckpoint(SPEC);
const int8 = goldenInt8("tiny", SPEC);

describe("safetensors", () => {
  const subjects: readonly Subject[] = [
    ["f32", f32, headerOf(f32)],
    ["int8", int8, headerOf(int8)],
  ];
  it.each(subjects)("%s: loads or is refused", async (name, bytes, header) => {
    const random = randomly(11);
    const seen = { fine: 0, refused: 0 };
    const memory = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < ROUNDS; ++i) {
      const file = mutant(bytes, header, random);
      const end = await survives(async () => (await loadWith(nodeRuntime(), file)).dispose(), `${name} ${i}`);
      seen[end] += 1;
    }
    expect(seen.refused).toBeGreaterThan(ROUNDS / 4);
    expect(seen.fine).toBeGreaterThan(0);
    expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(600e6);
  });
  it.each(["f16", "i8"] as const)("stored in %s: opens or is refused", async (dtype) => {
    const bytes = await converted(dtype);
    const random = randomly(12);
    for (let i = 0; i < ROUNDS; ++i) {
      const file = mutant(bytes, headerOf(bytes), random);
      await survives(async () => {
        const model = await openModelWith(nodeRuntime(), file, {});
        await model.checkpoint.close();
      }, `${dtype} ${i}`);
    }
  });
});

describe("TensorFlow.js", () => {
  const json = JSON.stringify({
    format: "layers-model",
    modelTopology: {
      class_name: "Model",
      config: {
        layers: [
          { class_name: "Conv2D", name: "conv1", config: { kernel_size: [3, 3], strides: [2, 2], padding: "valid" } },
          { class_name: "BatchNormalization", name: "bn_conv1", config: { epsilon: 0.001 } },
        ],
      },
    },
    weightsManifest: [
      {
        paths: ["group1-shard1of1"],
        weights: [
          { name: "conv1/kernel", shape: [3, 3, 3, 4], dtype: "float32" },
          { name: "bn_conv1/gamma", shape: [4], dtype: "float32" },
        ],
      },
    ],
  });
  it("opens or is refused", async () => {
    const random = randomly(13);
    const bytes = new TextEncoder().encode(json);
    for (let i = 0; i < ROUNDS; ++i) {
      const files: Readonly<Record<string, Uint8Array>> = {
        "model.json": mutant(bytes, bytes.length, random),
        "group1-shard1of1": new Uint8Array(4 * 112),
      };
      const folder: Folder = {
        name: "model",
        async open(path) {
          const file = files[path];
          if (file === undefined) throw new ModelError("malformed", `model/${path}: expected a file, got none`);
          return fromBytes(`model/${path}`, file);
        },
      };
      await survives(async () => {
        const checkpoint = await openCheckpoint(folder, "model.json", [SAFETENSORS, TFJS]);
        for (const name of checkpoint.tensors.keys()) await checkpoint.read(name);
        await checkpoint.close();
      }, `model.json ${i}`);
    }
  });
});
