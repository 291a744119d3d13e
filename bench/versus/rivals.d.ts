/**
 * The little that is used of each rival, so that the checkout type-checks without them installed.
 */

declare module "onnxruntime-web" {
  const ort: import("./engines/ort.ts").Ort;
  export default ort;
}

declare module "onnxruntime-node" {
  const ort: import("./engines/ort.ts").Ort;
  export default ort;
}

declare module "sharp" {
  interface Raw {
    readonly width: number;
    readonly height: number;
    readonly channels: 3;
  }
  interface Sharp {
    metadata(): Promise<{ readonly width: number; readonly height: number }>;
    resize(
      width: number,
      height: number,
      options: { readonly fit: "fill"; readonly kernel: "linear" | "cubic" },
    ): Sharp;
    extract(box: {
      readonly left: number;
      readonly top: number;
      readonly width: number;
      readonly height: number;
    }): Sharp;
    raw(): Sharp;
    jpeg(options: { readonly quality: number; readonly chromaSubsampling: "4:2:0" }): Sharp;
    toBuffer(): Promise<Uint8Array<ArrayBuffer>>;
  }
  const sharp: {
    (input: Uint8Array, options?: { readonly raw: Raw }): Sharp;
    concurrency(threads: number): number;
    cache(isKept: boolean): void;
  };
  export default sharp;
}

declare module "@tensorflow/tfjs-core" {
  export interface Tensor {
    dataSync(): Float32Array;
    dispose(): void;
  }
  export interface WeightSpec {
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: "float32";
  }
  type Sides = readonly [before: number, after: number];
  type Sizes = readonly [h: number, w: number];
  export const io: {
    decodeWeights(data: ArrayBuffer, specs: readonly WeightSpec[]): Record<string, Tensor>;
  };
  export const fused: {
    conv2d(options: {
      readonly x: Tensor;
      readonly filter: Tensor;
      readonly strides: Sizes;
      readonly pad: readonly [n: Sides, h: Sides, w: Sides, c: Sides];
      readonly dilations: Sizes;
      readonly bias: Tensor;
      readonly activation: "linear" | "relu";
    }): Tensor;
    matMul(options: { readonly a: Tensor; readonly b: Tensor; readonly bias: Tensor }): Tensor;
  };
  export function add(a: Tensor, b: Tensor): Tensor;
  export function relu(x: Tensor): Tensor;
  export function mean(x: Tensor, axes: readonly number[]): Tensor;
  export function maxPool(x: Tensor, size: Sizes, strides: Sizes, pad: readonly [Sides, Sides, Sides, Sides]): Tensor;
  export function tensor4d(values: Float32Array, shape: readonly number[]): Tensor;
  export function tidy<T extends Tensor>(work: () => T): T;
  export function dispose(tensors: Record<string, Tensor>): void;
  export function enableProdMode(): void;
  export function setBackend(name: "wasm"): Promise<boolean>;
  export function env(): { getAsync(flag: string): Promise<boolean | number> };
}

declare module "@tensorflow/tfjs-backend-wasm" {
  export function setThreadsCount(count: number): void;
  export function setWasmPaths(folder: string): void;
}

declare module "@litertjs/core" {
  export class Tensor {
    constructor(data: Float32Array, shape: readonly number[]);
    toTypedArray(): Float32Array;
    delete(): void;
  }
  export function loadLiteRt(folder: string, options: { readonly threads: boolean }): Promise<unknown>;
  export function loadAndCompile(
    model: Uint8Array,
    options: { readonly accelerator: "wasm"; readonly cpuOptions: { readonly numThreads: number } },
  ): Promise<{ run(input: Tensor): Promise<[Tensor]> }>;
}

declare module "flatbuffers" {
  export class Builder {
    constructor(size: number);
    prep(size: number, bytes: number): void;
    startObject(fields: number): void;
    addFieldInt8(id: number, value: number, unless: number | null): void;
    addFieldInt32(id: number, value: number, unless: number | null): void;
    addFieldOffset(id: number, value: number, unless: number): void;
    endObject(): number;
    startVector(bytes: number, count: number, alignment: number): void;
    addInt32(value: number): void;
    addInt64(value: bigint): void;
    addFloat32(value: number): void;
    addOffset(value: number): void;
    endVector(): number;
    createString(text: string): number;
    createByteVector(bytes: Uint8Array): number;
    finish(root: number, identifier: string): void;
    asUint8Array(): Uint8Array;
  }
}

declare module "protobufjs" {
  export interface Type {
    encode(message: object): { finish(): Uint8Array };
  }
  const protobuf: {
    parse(source: string): { readonly root: { lookupType(name: string): Type } };
  };
  export default protobuf;
}

declare module "echarts" {
  export function init(
    element: null,
    theme: null,
    options: { readonly renderer: "svg"; readonly ssr: true; readonly width: number; readonly height: number },
  ): { setOption(option: object): void; renderToSVGString(): string; dispose(): void };
}
