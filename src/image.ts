/**
 * RGBA pixels of any size → the input tensor: resize, crop and normalise as steps. Resizing is Pillow's, bit for bit
 * (`Resample.c`: antialiased, two passes of 8 bits, weights of 22 bits), because that is what the networks were trained with.
 */

import { ArgumentTypeError, expectedGot, OptionError } from "./errors.ts";
import { type Step, step } from "./tape.ts";

/** A decoded image. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** RGBA, `[height, width, 4]`; alpha is ignored. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

export type Filter = "bilinear" | "bicubic";
export type Triple = readonly [number, number, number];

/** How pixels become the input of a network. */
export interface Preprocess {
  /** Length of the shorter side before the crop. */
  readonly resize: number;
  /** Side of the centre crop: the network's input. */
  readonly crop: number;
  readonly filter: Filter;
  /** Of pixels scaled to 0…1, in the order R, G, B. */
  readonly mean: Triple;
  readonly std: Triple;
  /** Order of the network's input channels. */
  readonly order: "rgb" | "bgr";
}

const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: "rgb" } as const;

/**
 * Known ways, by name. `caffe` is He et al.'s own: BGR, 0…255, minus a mean, not divided. The sources are
 * torchvision's `ResNet*_Weights`, timm's `default_cfg`, Hugging Face's `microsoft/resnet-50` and Keras's `resnet50`.
 */
export const PRESETS = {
  "torchvision-v1": { resize: 256, crop: 224, filter: "bilinear", ...IMAGENET },
  "torchvision-v2": { resize: 232, crop: 224, filter: "bilinear", ...IMAGENET },
  timm: { resize: 256, crop: 224, filter: "bicubic", ...IMAGENET },
  huggingface: { resize: 256, crop: 224, filter: "bicubic", ...IMAGENET },
  caffe: {
    resize: 256,
    crop: 224,
    filter: "bilinear",
    mean: [123.68 / 255, 116.779 / 255, 103.939 / 255],
    std: [1 / 255, 1 / 255, 1 / 255],
    order: "bgr",
  },
  cifar: { resize: 32, crop: 32, filter: "bilinear", ...IMAGENET },
} as const satisfies Record<string, Preprocess>;

export type PresetName = keyof typeof PRESETS;

/** The same way for another input size: the crop keeps its share of the resized image. */
export function sized(preprocess: Preprocess, size: number): Preprocess {
  if (size === preprocess.crop) return preprocess;
  return { ...preprocess, crop: size, resize: Math.round((preprocess.resize * size) / preprocess.crop) };
}

/**
 * From a normalised input to what an int8 network takes, the upper seven bits of each byte: three factors, then three
 * shifts. A byte `p` is half of itself less a quarter, which is never half-way between two numbers.
 */
export function pixelAffine({ mean, std, order }: Preprocess): Float32Array {
  const channels = order === "rgb" ? [0, 1, 2] : [2, 1, 0];
  return Float32Array.from([...channels.map((i) => 127.5 * std[i]!), ...channels.map((i) => 127.5 * mean[i]! - 0.25)]);
}

/** Bytes for wasm memory. */
export interface Table {
  readonly address: number;
  readonly bytes: Uint8Array | Uint8ClampedArray;
}

/** What preparing one image takes. */
export interface Recipe {
  /** Bytes of staging memory. */
  readonly bytes: number;
  /** Tables to write and steps to run: from the pixels at `base` to the input at `out`, `[h, w, 3]`. */
  place(base: number, out: number): { readonly tables: readonly Table[]; readonly steps: readonly Step[] };
}

/** Weights for every output position of one axis. */
interface Taps {
  readonly ksize: number;
  /** `[count, 2]`: first input position, number of taps. */
  readonly bounds: Int32Array;
  /** `[count, ksize]`, times 2²². */
  readonly weights: Int32Array;
}

const FILTERS: Readonly<Record<Filter, { readonly support: number; readonly at: (x: number) => number }>> = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at(signed) {
      const a = -0.5;
      const x = Math.abs(signed);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
};

/** One axis of a view: which part of the source is resized to how much, and what of that is kept. */
interface Axis {
  /** First source position and number of them. */
  readonly offset: number;
  readonly from: number;
  /** Length after resizing; the part `[first, first + count)` is kept. */
  readonly to: number;
  readonly first: number;
  readonly count: number;
  readonly mirrored: boolean;
}

/** Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` for the kept part of an axis. */
function tapsOf(filter: Filter, { offset, from, to, first, count, mirrored }: Axis): Taps {
  const { support: reach, at } = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = reach * stretch;
  const ksize = Math.ceil(support) * 2 + 1;
  const bounds = new Int32Array(2 * count);
  const weights = new Int32Array(ksize * count);
  for (let i = 0; i < count; ++i) {
    const centre = (first + (mirrored ? count - 1 - i : i) + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const taps = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    const exact = Array.from({ length: taps }, (_, j) => at((j + start - centre + 0.5) * (1 / stretch)));
    const sum = exact.reduce((a, b) => a + b, 0);
    exact.forEach((weight, j) => {
      const scaled = (sum === 0 ? weight : weight / sum) * 2 ** 22;
      weights[i * ksize + j] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    bounds[2 * i] = offset + start;
    bounds[2 * i + 1] = taps;
  }
  return { ksize, bounds, weights };
}

/** Python's `round`: half to even. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

function bytesOf(array: Int32Array | Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Throws unless `pixels` are what they say: whole positive sizes and four bytes a pixel. */
export function checkPixels(pixels: Pixels): void {
  const { width, height, data } = pixels ?? {};
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new ArgumentTypeError(
      "image",
      expectedGot("image", "a path, encoded bytes or { width, height, data } with RGBA bytes", typeof pixels),
    );
  }
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!whole || data.length !== width * height * 4) {
    throw new OptionError(
      "image",
      expectedGot("image", "width · height · 4 bytes of RGBA", `${width}×${height} and ${data.length} bytes`),
    );
  }
}

/** What of an image a network sees: a part of it (`box`) resized, a part of that kept, perhaps mirrored. */
export interface View {
  /** Of the source; the whole image when absent. */
  readonly box?: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  /** Size that the box is resized to. */
  readonly resized: readonly [width: number, height: number];
  /** Corner and size of what is kept: the network's input. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Left and right exchanged. */
  readonly mirrored: boolean;
}

/** Size of an image whose shorter side becomes `side`: torchvision rounds the longer one down. */
export function shorterTo({ width, height }: Pixels, side: number): readonly [width: number, height: number] {
  const long = Math.floor((side * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? [side, long] : [long, side];
}

/** The centre crop of a preset, its corner rounded half to even as torchvision does. */
export function centreView(pixels: Pixels, { resize, crop }: Preprocess): View {
  if (crop > resize)
    throw new OptionError("preprocess", expectedGot("preprocess", `a crop of at most ${resize}`, `${crop}`));
  const resized = shorterTo(pixels, resize);
  const [left, top] = resized.map((side) => roundHalfEven((side - crop) / 2)) as [number, number];
  return { resized, left, top, width: crop, height: crop, mirrored: false };
}

/**
 * Plans the preparation of one image by its preset's centre crop.
 *
 * @throws as `planView`
 */
export function planImage(pixels: Pixels, preprocess: Preprocess, int8 = false): Recipe {
  checkPixels(pixels);
  return planView(pixels, centreView(pixels, preprocess), preprocess, int8);
}

/**
 * Plans the preparation of one view of an image. Only the rows and columns that it keeps are computed.
 *
 * @param int8 whether the input is seven bits of each byte instead of normalised f32
 * @throws TypeError or RangeError when `pixels` are not an image; RangeError when the crop is larger than the resized image
 */
export function planView(pixels: Pixels, view: View, preprocess: Preprocess, int8 = false): Recipe {
  checkPixels(pixels);
  const { width, data } = pixels;
  const { filter, mean, std, order } = preprocess;
  const box = view.box ?? { left: 0, top: 0, width, height: pixels.height };
  const [w, h] = [view.width, view.height];
  const across = tapsOf(filter, {
    ...{ offset: box.left, from: box.width, to: view.resized[0], first: view.left, count: w },
    mirrored: view.mirrored,
  });
  const down = tapsOf(filter, {
    ...{ offset: box.top, from: box.height, to: view.resized[1], first: view.top, count: h },
    mirrored: false,
  });
  const first = down.bounds[0]!;
  const last = down.bounds[2 * h - 2]! + down.bounds[2 * h - 1]!;
  const rows = last - first;
  for (let i = 0; i < h; ++i) down.bounds[2 * i]! -= first;
  const channels = order === "rgb" ? [0, 1, 2] : [2, 1, 0];
  const affine = Float32Array.from([
    ...channels.map((i) => 1 / (255 * std[i]!)),
    ...channels.map((i) => -mean[i]! / std[i]!),
  ]);
  const source = data.subarray(first * width * 4, last * width * 4);
  const parts = [source, ...[across.bounds, across.weights, down.bounds, down.weights, affine].map(bytesOf)];
  const tableBytes = parts.reduce((sum, { length }) => sum + aligned(length), 0);
  return {
    bytes: tableBytes + aligned(rows * w * 4) + aligned(h * w * 4),
    place(base, out) {
      let free = base;
      const tables = parts.map((bytes) => {
        const address = free;
        free += aligned(bytes.length);
        return { address, bytes };
      });
      const [image, acrossBounds, acrossTaps, downBounds, downTaps, numbers] = tables.map(({ address }) => address);
      const middle = free;
      const resized = middle + aligned(rows * w * 4);
      return {
        tables,
        steps: [
          step("resize across", "resize_u8_horizontal", rows, {
            w,
            pitch: width,
            ksize: across.ksize,
            input: image!,
            bounds: acrossBounds!,
            taps: acrossTaps!,
            out: middle,
          }),
          step("resize down", "resize_u8_vertical", h, {
            w,
            ksize: down.ksize,
            input: middle,
            bounds: downBounds!,
            taps: downTaps!,
            out: resized,
          }),
          int8
            ? step("pixels", "pixels_i8", h, { c: w, reverse: order === "bgr" ? 1 : 0, rgba: resized, out })
            : step("normalise", "normalize_f32", h, {
                w,
                bgr: order === "bgr" ? 1 : 0,
                input: resized,
                affine: numbers!,
                out,
              }),
        ],
      };
    },
  };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
