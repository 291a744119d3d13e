/**
 * The words this bench is written in: who competes, at what, and what is reported of each.
 */

import type { Vectors } from "../../src/variants.ts";

export const ENGINES = ["ours", "ort-web", "tfjs", "ort-node"] as const;
export type EngineName = (typeof ENGINES)[number];

/** Element types a model can be written in for every engine. */
export const DTYPES = ["f32", "int8"] as const;
export type Dtype = (typeof DTYPES)[number];

/** What is computed: the same for all who compete. */
export interface Setting {
  readonly model: string;
  readonly dtype: Dtype;
  readonly threads: number;
  readonly batch: number;
  /** 256 where V8 is told to pack pairs of 128-bit operations: for every engine of a process. */
  readonly vectors: Vectors;
}

/** Who computes it. `build` is `relaxed` or `baseline` for ours, `simd` or `native` for a rival. */
export interface Contender {
  readonly engine: EngineName;
  readonly build: string;
}

/** Wherever one model's files were written: the same weights for every engine. */
export interface ModelFiles {
  readonly safetensors: string;
  readonly onnx: string;
  readonly tfjs: string;
  readonly tflite: string;
}

/** What a child process is asked to do. */
export interface Job {
  readonly setting: Setting;
  readonly files: ModelFiles;
  readonly contenders: readonly Contender[];
  readonly rounds: number;
}

/** A contender that cannot take part here, and why. */
export interface Absence extends Contender, Setting {
  readonly reason: string;
}

/** Warm times of one contender, in the order measured, and how far its logits are from the first contender's. */
export interface Warm extends Contender {
  readonly ms: readonly number[];
  /** What the processors used in each turn; empty where the machine does not tell. */
  readonly joules: readonly number[];
  /** Largest difference of a logit, as a fraction of the largest logit. */
  readonly difference: number;
}

/** A fresh process: time to load, time of the first image after it, peak memory of the whole process. */
export interface Cold {
  readonly loadMs: number;
  readonly firstMs: number;
  readonly peakMB: number;
}

export interface Row extends Contender, Setting, Cold {
  readonly medianMs: number;
  readonly minMs: number;
  /** Median of the turns, the whole machine; absent where it does not tell. */
  readonly joules?: number;
  readonly difference: number;
}

/** The middle value; of an even number of values, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
