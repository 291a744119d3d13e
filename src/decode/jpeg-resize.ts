/** A view's resize inside the JPEG decoder: weights along the stored rows and over them, whatever way the photo is turned. */
import type { Pixels, View } from "../image.ts";
import type { Filter } from "../preprocess.ts";
import { type Taps, tapsOf } from "../resample.ts";
import type { Orientation } from "./orientation.ts";

/** A view's pixels, resized and cropped, upright: RGB0. */
export type Resized = Pixels;

/** A resize of stored rows. */
export interface ResizePlan {
  /** Sizes of the result. */
  readonly width: number;
  readonly height: number;
  /** Sizes of the stored picture. */
  readonly storedWidth: number;
  readonly storedHeight: number;
  /** Pixels and rows of the stored picture that it needs. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Bytes behind a row that the pass along it may read: weights of 0 are there. */
  readonly slack: number;
  /** Writes the tables. Gives the address of the result. */
  place(decoder: Setters, room: Room): number;
}

interface Setters {
  set_along(count: number, starts: number, parts: number, chunks: number): void;
  set_down(count: number, bounds: number, weights: number, ksize: number): void;
  set_resized(
    out: number,
    acrossBytes: number,
    downBytes: number,
    downFirst: number,
    sums: number,
    ring: number,
    pitch: number,
    scratch: number,
  ): void;
}

interface Room {
  take(bytes: number): number;
  put(bytes: Uint8Array): number;
}

/** Pixels that one step of the pass along rows takes. */
const CHUNK = 8;

/** Weights of an axis that runs backwards in the stored picture, `length` long. */
function reversed({ ksize, bounds, weights }: Taps, length: number): Taps {
  const count = bounds.length / 2;
  const out = { ksize, bounds: new Int32Array(2 * count), weights: new Int32Array(ksize * count) };
  for (let i = 0; i < count; ++i) {
    const [start, taps] = [bounds[2 * i]!, bounds[2 * i + 1]!];
    out.bounds[2 * i] = length - start - taps;
    out.bounds[2 * i + 1] = taps;
    for (let j = 0; j < taps; ++j) out.weights[i * ksize + j] = weights[i * ksize + taps - 1 - j]!;
  }
  return out;
}

/** The positions of an axis the other way round. */
function backwards({ ksize, bounds, weights }: Taps): Taps {
  const count = bounds.length / 2;
  const out = { ksize, bounds: new Int32Array(2 * count), weights: new Int32Array(ksize * count) };
  for (let i = 0; i < count; ++i) {
    const from = count - 1 - i;
    out.bounds.set(bounds.subarray(2 * from, 2 * from + 2), 2 * i);
    out.weights.set(weights.subarray(ksize * from, ksize * (from + 1)), ksize * i);
  }
  return out;
}

/** The source positions that an axis needs. */
function range({ bounds }: Taps): readonly [number, number] {
  let [first, last] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < bounds.length; i += 2) {
    first = Math.min(first, bounds[i]!);
    last = Math.max(last, bounds[i]! + bounds[i + 1]!);
  }
  return [first, last];
}

/** Most lines of ascending ones that are under way at once. */
function overlap({ bounds }: Taps): number {
  let most = 1;
  for (let i = 0, first = 0; i < bounds.length / 2; ++i) {
    while (bounds[2 * first]! + bounds[2 * first + 1]! <= bounds[2 * i]!) ++first;
    most = Math.max(most, i - first + 1);
  }
  return most;
}

function bytesOf(array: Int32Array | Int16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Weights of 23 bits as two of 16, in chunks of eight pixels: the lower 8 bits, and the rest. */
function split({ ksize, bounds, weights }: Taps): { readonly chunks: number; readonly parts: Int16Array } {
  const count = bounds.length / 2;
  let taps = 1;
  for (let i = 0; i < count; ++i) taps = Math.max(taps, bounds[2 * i + 1]!);
  const chunks = Math.ceil(taps / CHUNK);
  const parts = new Int16Array(count * chunks * 2 * CHUNK);
  for (let i = 0; i < count; ++i) {
    for (let j = 0; j < bounds[2 * i + 1]!; ++j) {
      const at = (i * chunks + Math.floor(j / CHUNK)) * 2 * CHUNK + (j % CHUNK);
      const weight = weights[i * ksize + j]!;
      parts[at] = weight & 255;
      parts[at + CHUNK] = weight >> 8;
    }
  }
  return { chunks, parts };
}

/**
 * Plans the resize of a view of an upright picture, `upright` pixels wide and high, which is stored turned.
 *
 * The first pass of Pillow's resize runs along the upright picture's rows. Where these are the stored columns, it comes over the
 * stored rows.
 */
export function planResize(
  upright: { readonly width: number; readonly height: number },
  view: View,
  filter: Filter,
  orientation: Orientation,
): ResizePlan {
  const box = view.box ?? { left: 0, top: 0, ...upright };
  const across = tapsOf(filter, {
    ...{ offset: box.left, from: box.width, to: view.resized[0], first: view.left, count: view.width },
    mirrored: view.mirrored,
  });
  const down = tapsOf(filter, {
    ...{ offset: box.top, from: box.height, to: view.resized[1], first: view.top, count: view.height },
    mirrored: false,
  });
  const isTurned = orientation > 4;
  // Which axes of the stored picture run backwards.
  const [flipX, flipY] = [[2, 3, 7, 8].includes(orientation), [3, 4, 6, 7].includes(orientation)];
  const [storedWidth, storedHeight] = isTurned ? [upright.height, upright.width] : [upright.width, upright.height];
  const [alongTaps, overTaps] = isTurned ? [down, across] : [across, down];
  const along = flipX ? reversed(alongTaps, storedWidth) : alongTaps;
  const over = flipY ? reversed(overTaps, storedHeight) : overTaps;
  const lines = over.bounds.length / 2;
  const isDescending = over.bounds[0]! > over.bounds[2 * lines - 2]!;
  const ascending = isDescending ? backwards(over) : over;
  const rowBytes = 4 * view.width;
  const [alongBytes, overBytes] = isTurned ? [rowBytes, 4] : [4, rowBytes];
  const [left, right] = range(along);
  const [top, bottom] = range(over);
  const { chunks, parts } = split(along);
  const positions = along.bounds.length / 2;
  return {
    ...{ width: view.width, height: view.height, storedWidth, storedHeight, left, right, top, bottom },
    slack: chunks * CHUNK,
    place(decoder, room) {
      const out = room.take(4 * view.width * view.height);
      const starts = Int32Array.from({ length: positions }, (_, i) => along.bounds[2 * i]!);
      decoder.set_along(positions, room.put(bytesOf(starts)), room.put(bytesOf(parts)), chunks);
      decoder.set_down(
        lines,
        room.put(bytesOf(ascending.bounds)),
        room.put(bytesOf(ascending.weights)),
        ascending.ksize,
      );
      const ring = overlap(ascending);
      // A row of MCUs reaches a little beyond what is needed, to both sides.
      const pixels = Math.ceil((right - left + 2 * REACH) / 16) * 16;
      const pitch = isTurned ? 3 * 4 * pixels : 4 * 4 * Math.ceil(positions / 4) * 4;
      const scratch = room.take((isTurned ? 3 * pixels : 16 * positions) + 64);
      const sums = room.take(ring * pitch + 64);
      const first = isDescending ? out + (lines - 1) * overBytes : out;
      const step = isDescending ? -overBytes : overBytes;
      decoder.set_resized(first, alongBytes, step, isTurned ? 1 : 0, sums, ring, pitch, scratch);
      return out;
    },
  };
}

/** Pixels of a row of MCUs beyond those needed, at most: one MCU of 32 and what a filter looks at. */
const REACH = 64;
