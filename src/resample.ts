/**
 * The weights of a resize, as Pillow computes them (`Resample.c`, `Geometry.c`), bit for bit: two passes of 8 bits with
 * weights of 22 bits. They are computed for the kept part of an axis only.
 */
import type { Filter } from "./preprocess.ts";

/** Weights for every output position of one axis. */
export interface Taps {
  /** Most taps of one position. */
  readonly ksize: number;
  /** `[count, 2]`: first input position, number of taps. */
  readonly bounds: Int32Array;
  /** `[count, ksize]`, times 2²². */
  readonly weights: Int32Array;
}

/** One axis of a view: which part of the source is resized to how much, and what of that is kept. */
export interface Axis {
  /** First source position and number of them. */
  readonly offset: number;
  readonly from: number;
  /** Length after resizing; the part `[first, first + count)` is kept. */
  readonly to: number;
  readonly first: number;
  readonly count: number;
  readonly mirrored: boolean;
}

interface Kernel {
  /** Half the width, in source pixels when enlarging. */
  readonly support: number;
  readonly at: (x: number) => number;
}

const ONE = 2 ** 22;

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

const KERNELS: Readonly<Record<Exclude<Filter, "nearest">, Kernel>> = {
  box: { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    at(signed) {
      const x = Math.abs(signed);
      if (x === 0) return 1;
      // Pillow's constants are of 32 bits here.
      return x >= 1 ? 0 : sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x * Math.PI));
    },
  },
  bicubic: {
    support: 2,
    at(signed) {
      const a = -0.5;
      const x = Math.abs(signed);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** The weights of an axis. */
export function tapsOf(filter: Filter, axis: Axis): Taps {
  return filter === "nearest" ? nearestOf(axis) : antialiased(KERNELS[filter], axis);
}

/** Output position that the `i`-th kept one is. */
function positionOf({ first, count, mirrored }: Axis, i: number): number {
  return first + (mirrored ? count - 1 - i : i);
}

/** Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`. */
function antialiased({ support: reach, at }: Kernel, axis: Axis): Taps {
  const { offset, from, to, count } = axis;
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = reach * stretch;
  const ksize = Math.ceil(support) * 2 + 1;
  const bounds = new Int32Array(2 * count);
  const weights = new Int32Array(ksize * count);
  for (let i = 0; i < count; ++i) {
    const centre = (positionOf(axis, i) + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const taps = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    const exact = Array.from({ length: taps }, (_, j) => at((j + start - centre + 0.5) * (1 / stretch)));
    const sum = exact.reduce((a, b) => a + b, 0);
    exact.forEach((weight, j) => {
      const scaled = (sum === 0 ? weight : weight / sum) * ONE;
      weights[i * ksize + j] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    bounds[2 * i] = offset + start;
    bounds[2 * i + 1] = taps;
  }
  return { ksize, bounds, weights };
}

/** Pillow's `ImagingScaleAffine`. It adds the step up from position to position, and so does this: the sum rounds. */
function nearestOf(axis: Axis): Taps {
  const { offset, from, to, first, count } = axis;
  const scale = from / to;
  const sources = new Int32Array(count);
  for (let i = 0, at = scale * 0.5; i < first + count; ++i, at += scale) {
    if (i >= first) sources[i - first] = Math.min(from - 1, Math.trunc(at));
  }
  const bounds = new Int32Array(2 * count);
  for (let i = 0; i < count; ++i) {
    bounds[2 * i] = offset + sources[positionOf(axis, i) - first]!;
    bounds[2 * i + 1] = 1;
  }
  return { ksize: 1, bounds, weights: new Int32Array(count).fill(ONE) };
}
