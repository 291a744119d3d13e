/**
 * RGBA pixels of any size → the input tensor: resize, crop and normalise as steps. Resizing is Pillow's, bit for bit
 * (`Resample.c`: antialiased, two passes of 8 bits, weights of 22 bits), because that is what the networks were trained with.
 */

import { ArgumentTypeError, expectedGot, OptionError } from "./errors.ts";
import { areSides, channelIndices } from "./pixels.ts";
import type { Preprocess, Sides } from "./preprocess.ts";
import { tapsOf } from "./resample.ts";
import { type Kernels, run, type Step, step } from "./tape.ts";

/** A decoded image. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** RGBA, `[height, width, 4]`; alpha is ignored. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

type Size = Pick<Pixels, "width" | "height">;

/** Bytes for wasm memory. */
export interface Table {
  readonly address: number;
  readonly bytes: Uint8Array | Uint8ClampedArray;
}

/** Pixels in memory at once: it never shrinks, and one photo of 48 megapixels has 192 MB of them. */
const BAND_BYTES = 2 ** 22;

/** Tables to write, then steps to run. */
export interface Pass {
  readonly tables: readonly Table[];
  readonly steps: readonly Step[];
}

/** What preparing one image takes. */
export interface Recipe {
  /** Bytes of staging memory. */
  readonly bytes: number;
  /** What to do, one after the other: from the pixels, at `base` for a while, to the input at `out`, `[h, w, c]`. */
  place(base: number, out: number): readonly Pass[];
}

/** Does a recipe in memory that is large enough. */
export function prepareImage({ memory, exports }: Kernels, recipe: Recipe, base: number, out: number): void {
  for (const { tables, steps } of recipe.place(base, out)) {
    for (const { address, bytes } of tables) new Uint8Array(memory.buffer, address, bytes.length).set(bytes);
    run(exports, steps);
  }
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

/** Throws unless `pixels` are what they say: whole positive sides and four bytes a pixel. */
function checkPixels(pixels: Pixels): void {
  const { width, height, data } = pixels ?? {};
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new ArgumentTypeError(
      "image",
      expectedGot("image", "{ width, height, data } with RGBA bytes", typeof pixels),
    );
  }
  if (!areSides(width, height) || data.length !== width * height * 4) {
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
export function shorterTo({ width, height }: Size, side: number): readonly [width: number, height: number] {
  const long = Math.floor((side * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? [side, long] : [long, side];
}

/**
 * Size of an image that keeps its proportions and covers `sides`. For a square this is torchvision's `Resize(n)`; else timm's
 * `ResizeKeepRatio`, which rounds half to even.
 */
function covering(pixels: Size, [h, w]: Sides): readonly [width: number, height: number] {
  if (h === w) return shorterTo(pixels, h);
  const ratio = Math.min(pixels.height / h, pixels.width / w);
  return [Math.max(w, roundHalfEven(pixels.width / ratio)), Math.max(h, roundHalfEven(pixels.height / ratio))];
}

/** The centre crop, its corner rounded half to even as torchvision does. */
export function centreView(pixels: Size, { resize, squash, crop: [height, width] }: Preprocess): View {
  const resized = squash ? ([resize[1], resize[0]] as const) : covering(pixels, resize);
  const [left, top] = [roundHalfEven((resized[0] - width) / 2), roundHalfEven((resized[1] - height) / 2)];
  return { resized, left, top, width, height, mirrored: false };
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
 * @param bandBytes of pixels that are in memory at once
 * @throws ArgumentTypeError or OptionError when `pixels` are not an image
 */
export function planView(
  pixels: Pixels,
  view: View,
  preprocess: Preprocess,
  int8 = false,
  bandBytes = BAND_BYTES,
): Recipe {
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
  const channels = channelIndices(preprocess);
  const c = channels.length;
  const affine = Float32Array.from([
    ...channels.map((i) => 1 / (255 * std[i]!)),
    ...channels.map((i) => -mean[i]! / std[i]!),
  ]);
  const source = data.subarray(first * width * 4, last * width * 4);
  const pitch = width * 4;
  const bandRows = Math.min(rows, Math.max(1, Math.floor(bandBytes / pitch)));
  const numbers = [across.bounds, across.weights, down.bounds, down.weights, affine].map(bytesOf);
  const numberBytes = numbers.reduce((sum, { length }) => sum + aligned(length), 0);
  return {
    bytes: aligned(bandRows * pitch) + numberBytes + aligned(rows * w * 4) + aligned(h * w * 4),
    place(base, out) {
      const image = base;
      let free = base + aligned(bandRows * pitch);
      const tables = numbers.map((bytes) => {
        const address = free;
        free += aligned(bytes.length);
        return { address, bytes };
      });
      const [acrossBounds, acrossTaps, downBounds, downTaps, scales] = tables.map(({ address }) => address);
      const middle = free;
      const resized = middle + aligned(rows * w * 4);
      const last = [
        step("resize down", "resize_u8_vertical", h, {
          w,
          ksize: down.ksize,
          input: middle,
          bounds: downBounds!,
          taps: downTaps!,
          out: resized,
        }),
        int8
          ? step("pixels", "pixels_i8", h, { w, c, reverse: order === "bgr" ? 1 : 0, rgba: resized, out })
          : step("normalise", "normalize_f32", h, {
              w,
              c,
              bgr: order === "bgr" ? 1 : 0,
              input: resized,
              affine: scales!,
              out,
            }),
      ];
      const passes: Pass[] = [];
      for (let from = 0; from < rows; from += bandRows) {
        const count = Math.min(bandRows, rows - from);
        const band = { address: image, bytes: source.subarray(from * pitch, (from + count) * pitch) };
        passes.push({
          tables: from === 0 ? [band, ...tables] : [band],
          steps: [
            ...(order === "gray" ? [step("gray", "luma_u8", count, { w: width, input: image, out: image })] : []),
            step("resize across", "resize_u8_horizontal", count, {
              w,
              pitch: width,
              ksize: across.ksize,
              input: image,
              bounds: acrossBounds!,
              taps: acrossTaps!,
              out: middle + from * w * 4,
            }),
            ...(from + count === rows ? last : []),
          ],
        });
      }
      return passes;
    },
  };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
