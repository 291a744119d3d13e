/** Small networks in every format, made by code. */
import { fromBytes } from "../../src/bytes.ts";
import { type ConvertOptions, convertWith } from "../../src/convert.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import type { Runtime } from "../../src/runtime.ts";
import { archive } from "../formats/archive.ts";
import { exportGraph, type Tensor } from "../formats/onnx-file.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { goldenInt8 } from "../golden/int8.ts";

/** Two blocks of a ResNet for small images, and a bottleneck. */
const TINY: ResNetSpec = { ...resnetSpec("resnet20"), shortcut: "B", depths: [1, 1], width: 8 };

export const f32 = (): Uint8Array => goldenCheckpoint(TINY);
export const int8 = (): Uint8Array => goldenInt8("tiny", TINY);

/** A file as `convert` writes it. */
export function converted(bytes: Uint8Array, dtype: "f32" | "f16" | "i8", runtime: Runtime): Promise<Uint8Array> {
  return written(runtime, bytes, { dtype });
}

/** The same with its weights as kernels read them. */
export function packed(bytes: Uint8Array, runtime: Runtime): Promise<Uint8Array> {
  return written(runtime, bytes, { layout: "packed", build: "baseline" });
}

async function written(runtime: Runtime, bytes: Uint8Array, options: ConvertOptions): Promise<Uint8Array> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convertWith(runtime, bytes, options)) pieces.push(piece.slice());
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

async function tensorsOf(
  bytes: Uint8Array,
): Promise<readonly { name: string; shape: readonly number[]; bytes: Uint8Array }[]> {
  const file = await openSafetensors(fromBytes("seed", bytes));
  const tensors = [];
  for (const [name, { shape }] of file.tensors) tensors.push({ name, shape, bytes: (await file.read(name)).slice() });
  return tensors;
}

/** The network as an ONNX file. */
export async function onnx(): Promise<Uint8Array> {
  const tensors = (await tensorsOf(f32())).map(({ name, shape, bytes }): Tensor => {
    return { name, type: 1, dims: shape, raw: bytes };
  });
  return exportGraph(resnet("tiny", TINY), tensors);
}

/** The network as a TensorFlow.js layers model would hold raw weights: shards and their description. */
export async function shards(): Promise<Readonly<Record<string, Uint8Array>>> {
  const tensors = await tensorsOf(f32());
  const { writeSafetensors } = await import("../../src/formats/safetensors.ts");
  const half = tensors.length >> 1;
  const part = (list: typeof tensors): Uint8Array =>
    writeSafetensors(
      list.map((tensor) => ({ ...tensor, dtype: "F32" as const })),
      {},
    );
  const [one, two] = ["model-1-of-2.safetensors", "model-2-of-2.safetensors"];
  const map = Object.fromEntries(tensors.map(({ name }, i) => [name, i < half ? one : two]));
  return {
    "model.safetensors.index.json": new TextEncoder().encode(JSON.stringify({ metadata: {}, weight_map: map })),
    [one]: part(tensors.slice(0, half)),
    [two]: part(tensors.slice(half)),
  };
}

/** The network as `torch.save` would write it: a dictionary of tensors by pickle, protocol 2, and their storages. */
export async function torch(): Promise<Uint8Array> {
  const tensors = await tensorsOf(f32());
  const out: number[] = [0x80, 2];
  const text = (value: string): void => void out.push(0x58, ...little(value.length, 4), ...Buffer.from(value));
  const integer = (value: number): void => void out.push(0x4a, ...little(value, 4));
  const global = (module: string, name: string): void => void out.push(0x63, ...Buffer.from(`${module}\n${name}\n`));
  const tuple = (values: readonly number[]): void => {
    out.push(0x28);
    values.forEach(integer);
    out.push(0x74);
  };
  out.push(0x7d, 0x28);
  for (const [i, { name, shape }] of tensors.entries()) {
    const count = shape.reduce((a, b) => a * b, 1);
    text(name);
    global("torch._utils", "_rebuild_tensor_v2");
    out.push(0x28, 0x28);
    text("storage");
    global("torch", "FloatStorage");
    text(`${i}`);
    text("cpu");
    integer(count);
    out.push(0x74, 0x51);
    integer(0);
    tuple(shape);
    tuple(shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1)));
    out.push(0x89);
    global("collections", "OrderedDict");
    out.push(0x29, 0x52, 0x74, 0x52);
  }
  out.push(0x75, 0x2e);
  return archive([
    { name: "tiny/data.pkl", bytes: Uint8Array.from(out) },
    { name: "tiny/version", bytes: new TextEncoder().encode("3\n") },
    ...tensors.map(({ bytes }, i) => ({ name: `tiny/data/${i}`, bytes })),
  ]);
}

function little(value: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => (value / 256 ** i) & 255);
}
