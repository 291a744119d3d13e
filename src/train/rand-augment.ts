/**
 * RandAugment (Cubuk et al., arXiv 1909.13719): two of fourteen operations on an image, all of one strength, with the
 * operations and ranges of torchvision's `RandAugment`. On bytes, because most of the operations are a table of 256 values.
 * Plain TypeScript: for 224 × 224 pixels 0.7 ms for the way to bytes and back and 0.4 to 1.3 ms an operation
 * (`npm run bench -- augment`), which in Node and pages passes beside the network's step.
 */
import type { Preprocess } from "../preprocess.ts";
import { STRONGEST } from "./augments.ts";

/** An image while it is varied: `[h, w, c]`, c 1 or 3 in the order of `Preprocess`. */
interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8ClampedArray;
  /** The share of each channel in gray. */
  readonly luma: readonly number[];
}

/** An operation: `strength` 0…1, `sign` −1 or 1. */
type Operation = (image: Image, strength: number, sign: number) => Uint8ClampedArray;

const COUNT = 2;
const [SHEAR, TRANSLATE, DEGREES, FACTOR, BITS] = [0.3, 150 / 331, 30, 0.9, 4] as const;
/** Shares of R, G, B in gray: ITU-R BT.601. */
const LUMA = [0.299, 0.587, 0.114] as const;

const clamp = (x: number): number => (x < 0 ? 0 : x > 255 ? 255 : Math.round(x));

/** Each channel by a table of its own, which `table` fills. */
function byTable({ data, channels }: Image, table: (channel: number) => (value: number) => number): Uint8ClampedArray {
  const out = new Uint8ClampedArray(data.length);
  for (let c = 0; c < channels; ++c) {
    const values = Uint8Array.from({ length: 256 }, (_, i) => i).map(table(c));
    for (let i = c; i < data.length; i += channels) out[i] = values[data[i]!]!;
  }
  return out;
}

/** How often each value occurs in a channel. */
function histogram({ data, channels }: Image, channel: number): Uint32Array {
  const counts = new Uint32Array(256);
  for (let i = channel; i < data.length; i += channels) counts[data[i]!]! += 1;
  return counts;
}

/** Output (x, y) from input (a·x + b·y + e, c·x + d·y + f), both from the middle; the nearest pixel, black outside. */
function affine({ width, height, channels, data }: Image, [a, b, c, d, e, f]: readonly number[]): Uint8ClampedArray {
  const out = new Uint8ClampedArray(data.length);
  const [midX, midY] = [(width - 1) / 2, (height - 1) / 2];
  for (let y = 0; y < height; ++y) {
    const v = y - midY;
    let to = y * width * channels;
    for (let x = 0; x < width; ++x, to += channels) {
      const u = x - midX;
      const column = Math.round(a! * u + b! * v + e! + midX);
      const row = Math.round(c! * u + d! * v + f! + midY);
      if (column < 0 || row < 0 || column >= width || row >= height) continue;
      const from = (row * width + column) * channels;
      for (let i = 0; i < channels; ++i) out[to + i] = data[from + i]!;
    }
  }
  return out;
}

/** Gray of the pixel at `i`. */
function grayAt({ data, channels, luma }: Image, i: number): number {
  return channels === 1 ? data[i]! : luma[0]! * data[i]! + luma[1]! * data[i + 1]! + luma[2]! * data[i + 2]!;
}

function brightness(image: Image, strength: number, sign: number): Uint8ClampedArray {
  const factor = 1 + sign * FACTOR * strength;
  return byTable(image, () => (value) => clamp(value * factor));
}

function contrast(image: Image, strength: number, sign: number): Uint8ClampedArray {
  const factor = 1 + sign * FACTOR * strength;
  const { data, channels } = image;
  let sum = 0;
  for (let i = 0; i < data.length; i += channels) sum += grayAt(image, i);
  const middle = (sum / (data.length / channels)) * (1 - factor);
  return byTable(image, () => (value) => clamp(value * factor + middle));
}

function saturation(image: Image, strength: number, sign: number): Uint8ClampedArray {
  const factor = 1 + sign * FACTOR * strength;
  const { data, channels } = image;
  if (channels === 1) return data;
  const out = new Uint8ClampedArray(data.length);
  for (let i = 0; i < data.length; i += channels) {
    const own = grayAt(image, i) * (1 - factor);
    for (let c = 0; c < channels; ++c) out[i + c] = data[i + c]! * factor + own;
  }
  return out;
}

/** Away from, or towards, the mean of 3 × 3 pixels whose middle counts five times; the border stays. */
function sharpness({ width, height, channels, data }: Image, strength: number, sign: number): Uint8ClampedArray {
  const factor = 1 + sign * FACTOR * strength;
  const out = data.slice();
  const row = width * channels;
  for (let y = 1; y < height - 1; ++y) {
    for (let i = y * row + channels; i < (y + 1) * row - channels; ++i) {
      const [above, below] = [i - row, i + row];
      const around =
        data[above - channels]! +
        data[above]! +
        data[above + channels]! +
        data[i - channels]! +
        data[i + channels]! +
        data[below - channels]! +
        data[below]! +
        data[below + channels]!;
      const smooth = (around + 5 * data[i]!) / 13;
      out[i] = smooth + factor * (data[i]! - smooth);
    }
  }
  return out;
}

/** Each channel's values spread over 0…255. */
function autoContrast(image: Image): Uint8ClampedArray {
  return byTable(image, (channel) => {
    const counts = histogram(image, channel);
    const [low, high] = [counts.findIndex((count) => count > 0), counts.findLastIndex((count) => count > 0)];
    return low === high ? (value) => value : (value) => clamp(((value - low) * 255) / (high - low));
  });
}

/** Each channel's values spread so that all are about as frequent, as Pillow's `ImageOps.equalize`. */
function equalize(image: Image): Uint8ClampedArray {
  return byTable(image, (channel) => {
    const counts = histogram(image, channel);
    const last = counts.findLast((count) => count > 0)!;
    const step = Math.floor((counts.reduce((a, b) => a + b) - last) / 255);
    if (step === 0) return (value) => value;
    const table = new Uint8Array(256);
    let sum = Math.floor(step / 2);
    for (let value = 0; value < 256; ++value) {
      table[value] = Math.min(255, Math.floor(sum / step));
      sum += counts[value]!;
    }
    return (value) => table[value]!;
  });
}

/** The operations by name, in the order in which they are drawn. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  identity: ({ data }) => data,
  shearX: (image, strength, sign) => affine(image, [1, sign * SHEAR * strength, 0, 1, 0, 0]),
  shearY: (image, strength, sign) => affine(image, [1, 0, sign * SHEAR * strength, 1, 0, 0]),
  translateX: (image, strength, sign) =>
    affine(image, [1, 0, 0, 1, Math.round(sign * TRANSLATE * strength * image.width), 0]),
  translateY: (image, strength, sign) =>
    affine(image, [1, 0, 0, 1, 0, Math.round(sign * TRANSLATE * strength * image.height)]),
  rotate(image, strength, sign) {
    const angle = (sign * DEGREES * strength * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return affine(image, [cos, sin, -sin, cos, 0, 0]);
  },
  brightness,
  saturation,
  contrast,
  sharpness,
  /** Fewer bits a value. */
  posterize(image, strength) {
    const mask = (0xff << Math.round(BITS * strength)) & 0xff;
    return byTable(image, () => (value) => value & mask);
  },
  /** Values from a limit on inverted. */
  solarize(image, strength) {
    const limit = 255 * (1 - strength);
    return byTable(image, () => (value) => (value < limit ? value : 255 - value));
  },
  autoContrast,
  equalize,
};

const NAMES = Object.keys(OPERATIONS);

/**
 * Varies a prepared image in place.
 *
 * @param input `[h, w, c]`, normalised
 * @param strength 0…10; 0 leaves it as it is
 * @param next numbers from 0, below 1; four are drawn
 */
export function randAugment(
  input: Float32Array,
  width: number,
  preprocess: Preprocess,
  strength: number,
  next: () => number,
): void {
  if (strength === 0) return;
  const { mean, std, order } = preprocess;
  const places = order === "gray" ? [0] : order === "rgb" ? [0, 1, 2] : [2, 1, 0];
  const channels = places.length;
  const data = new Uint8ClampedArray(input.length);
  places.forEach((place, c) => {
    const [scale, shift] = [255 * std[place]!, 255 * mean[place]!];
    // The array rounds and clamps.
    for (let i = c; i < input.length; i += channels) data[i] = input[i]! * scale + shift;
  });
  const luma = channels === 1 ? [1] : places.map((place) => LUMA[place]!);
  let image: Image = { width, height: input.length / channels / width, channels, data, luma };
  for (let i = 0; i < COUNT; ++i) {
    const operation = OPERATIONS[NAMES[Math.floor(next() * NAMES.length)]!]!;
    image = { ...image, data: operation(image, strength / STRONGEST, next() < 0.5 ? -1 : 1) };
  }
  const { data: varied } = image;
  places.forEach((place, c) => {
    const values = Float32Array.from({ length: 256 }, (_, value) => (value / 255 - mean[place]!) / std[place]!);
    for (let i = c; i < input.length; i += channels) input[i] = values[varied[i]!]!;
  });
}
