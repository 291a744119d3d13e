/**
 * The same image, otherwise: what a training sees of it from epoch to epoch. All randomness comes from the caller's
 * generator, so that a seed decides everything.
 */
import { centreView, type Pixels, type View } from "../image.ts";
import type { Preprocess } from "../preprocess.ts";

import type { Augment } from "./augments.ts";

/** Factors on brightness, contrast and saturation. */
export type Colours = readonly [brightness: number, contrast: number, saturation: number];

/** What is seen of an image. */
export interface Variation {
  readonly pixels: Pixels;
  readonly view: View;
  readonly colours?: Colours;
}

/** Least part of a photo that is seen, and the range of its shape. */
const [LEAST_AREA, ASPECTS] = [0.25, [3 / 4, 4 / 3]] as const;
/** Parts that are tried before the whole centre is taken. */
const TRIES = 10;
/** Colours vary by so much to either side. */
const JITTER = 0.2;
const PADDING = 1 / 8;
/** Shares of R, G, B in gray: ITU-R BT.601. */
const LUMA = [0.299, 0.587, 0.114] as const;

/**
 * Draws a variation.
 *
 * @param next numbers from 0, below 1; how many are drawn depends on the image's size alone
 */
export function vary(pixels: Pixels, preprocess: Preprocess, augment: Augment, next: () => number): Variation {
  const centre = centreView(pixels, preprocess);
  if (augment === "none") return { pixels, view: centre };
  const mirrored = next() < 0.5;
  const { resize, squash, crop } = preprocess;
  const [height, width] = crop;
  const room = centre.resized[0] > width || centre.resized[1] > height;
  const isWhole = !squash && resize[0] === height && resize[1] === width;
  if (augment === "light") {
    if (isWhole || !room) return { pixels, view: { ...centre, mirrored } };
    return { pixels, view: { ...moved(centre, next), mirrored } };
  }
  if (isWhole) {
    const canvas = padded(pixels);
    const larger = (side: number): number => Math.round(side * (1 + 2 * PADDING));
    const { resized } = centreView(canvas, { ...preprocess, resize: [larger(height), larger(width)] });
    return { pixels: canvas, view: { ...moved({ ...centre, resized }, next), mirrored } };
  }
  const shape = width / height;
  const box = part(pixels, shape, next) ?? centreBox(pixels, shape);
  const resized = [width, height] as const;
  const colours: Colours = [jitter(next), jitter(next), jitter(next)];
  return { pixels, view: { ...centre, box, resized, left: 0, top: 0, mirrored }, colours };
}

function moved(view: View, next: () => number): View {
  const [left, top] = [view.resized[0] - view.width, view.resized[1] - view.height].map((room) =>
    Math.floor(next() * (room + 1)),
  );
  return { ...view, left: left!, top: top! };
}

function jitter(next: () => number): number {
  return 1 + JITTER * (2 * next() - 1);
}

type Box = NonNullable<View["box"]>;

/** A random part whose shape is near `shape`, width by height. */
function part({ width, height }: Pixels, shape: number, next: () => number): Box | undefined {
  for (let i = 0; i < TRIES; ++i) {
    const area = width * height * (LEAST_AREA + (1 - LEAST_AREA) * next());
    const varied = Math.exp(Math.log(ASPECTS[0]) + (Math.log(ASPECTS[1]) - Math.log(ASPECTS[0])) * next());
    const aspect = shape * varied;
    const [w, h] = [Math.round(Math.sqrt(area * aspect)), Math.round(Math.sqrt(area / aspect))];
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const left = Math.floor(next() * (width - w + 1));
    return { left, top: Math.floor(next() * (height - h + 1)), width: w, height: h };
  }
  return undefined;
}

/** The largest part in the middle that has the shape. */
function centreBox({ width, height }: Pixels, shape: number): Box {
  const w = Math.max(1, Math.min(width, Math.round(height * shape)));
  const h = Math.max(1, Math.min(height, Math.round(width / shape)));
  return { left: (width - w) >> 1, top: (height - h) >> 1, width: w, height: h };
}

/** The image in a black frame, an eighth of it on every side. */
function padded({ width, height, data }: Pixels): Pixels {
  const [x, y] = [Math.round(width * PADDING), Math.round(height * PADDING)];
  const [w, h] = [width + 2 * x, height + 2 * y];
  const out = new Uint8Array(4 * w * h);
  for (let row = 0; row < height; ++row) {
    out.set(data.subarray(4 * row * width, 4 * (row + 1) * width), 4 * ((row + y) * w + x));
  }
  return { width: w, height: h, data: out };
}

/**
 * Changes the colours of a prepared image in place, as torchvision's ColorJitter does to one of 0…1: brightness, then
 * contrast around the mean gray, then saturation around each pixel's own gray; clamped after each. Gray images have no
 * saturation.
 *
 * @param input `[h, w, c]`, normalised
 */
export function recolour(input: Float32Array, preprocess: Preprocess, colours: Colours): void {
  const [brightness, contrast, saturation] = colours;
  const { mean, std, order } = preprocess;
  const channels = order === "gray" ? [0] : order === "rgb" ? [0, 1, 2] : [2, 1, 0];
  const c = channels.length;
  const scales = channels.map((channel) => std[channel]!);
  const shifts = channels.map((channel) => mean[channel]!);
  const weights = c === 1 ? [1] : channels.map((channel) => LUMA[channel]!);
  const clamp = (x: number): number => (x < 0 ? 0 : x > 1 ? 1 : x);
  const [red, green = 0, blue = 0] = weights;
  // Spelled out: a loop over the channels takes three times as long.
  const gray = (p: number): number =>
    c === 1 ? input[p]! : red! * input[p]! + green * input[p + 1]! + blue * input[p + 2]!;
  let sum = 0;
  for (let p = 0; p < input.length; p += c) {
    for (let i = 0; i < c; ++i) input[p + i] = clamp((input[p + i]! * scales[i]! + shifts[i]!) * brightness);
    sum += gray(p);
  }
  const middle = (1 - contrast) * (sum / (input.length / c));
  for (let p = 0; p < input.length; p += c) {
    for (let i = 0; i < c; ++i) input[p + i] = clamp(input[p + i]! * contrast + middle);
    const own = c === 1 ? 0 : (1 - saturation) * gray(p);
    for (let i = 0; i < c; ++i) {
      const value = c === 1 ? input[p + i]! : clamp(input[p + i]! * saturation + own);
      input[p + i] = (value - shifts[i]!) / scales[i]!;
    }
  }
}
