/**
 * The same image, otherwise: what a training sees of it from epoch to epoch. All randomness comes from the caller's
 * generator, so that a seed decides everything.
 */
import { centreView, type Pixels, type Preprocess, shorterTo, type View } from "../image.ts";

/**
 * How much images are varied. `light`: mirrored, and for photos the crop moved; `standard`: a random part of 25 to 100 %,
 * mirrored, its colours jittered (Szegedy et al., arXiv 1409.4842, as torchvision has it). Images that are not cropped,
 * CIFAR's, are mirrored by `light`, and padded by an eighth and cropped by `standard` too (He et al. 2015, section 4.2).
 */
export const AUGMENTS = ["none", "light", "standard"] as const;
export type Augment = (typeof AUGMENTS)[number];

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

/**
 * Draws a variation.
 *
 * @param next numbers from 0, below 1; how many are drawn depends on the image's size alone
 */
export function vary(pixels: Pixels, way: Preprocess, augment: Augment, next: () => number): Variation {
  const centre = centreView(pixels, way);
  if (augment === "none") return { pixels, view: centre };
  const mirrored = next() < 0.5;
  const room = centre.resized[0] > way.crop || centre.resized[1] > way.crop;
  const isWhole = way.resize === way.crop;
  if (augment === "light") {
    if (isWhole || !room) return { pixels, view: { ...centre, mirrored } };
    return { pixels, view: { ...moved(centre, next), mirrored } };
  }
  if (isWhole) {
    const canvas = padded(pixels);
    const resized = shorterTo(canvas, Math.round(way.crop * (1 + 2 * PADDING)));
    return { pixels: canvas, view: { ...moved({ ...centre, resized }, next), mirrored } };
  }
  const box = part(pixels, next);
  const resized = [way.crop, way.crop] as const;
  const colours: Colours = [jitter(next), jitter(next), jitter(next)];
  return { pixels, view: { ...centre, box: box ?? square(pixels), resized, left: 0, top: 0, mirrored }, colours };
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

function part({ width, height }: Pixels, next: () => number): Box | undefined {
  for (let i = 0; i < TRIES; ++i) {
    const area = width * height * (LEAST_AREA + (1 - LEAST_AREA) * next());
    const aspect = Math.exp(Math.log(ASPECTS[0]) + (Math.log(ASPECTS[1]) - Math.log(ASPECTS[0])) * next());
    const [w, h] = [Math.round(Math.sqrt(area * aspect)), Math.round(Math.sqrt(area / aspect))];
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const left = Math.floor(next() * (width - w + 1));
    return { left, top: Math.floor(next() * (height - h + 1)), width: w, height: h };
  }
  return undefined;
}

function square({ width, height }: Pixels): Box {
  const side = Math.min(width, height);
  return { left: (width - side) >> 1, top: (height - side) >> 1, width: side, height: side };
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
 * contrast around the mean grey, then saturation around each pixel's own grey; clamped after each.
 *
 * @param input `[h, w, 3]`, normalised
 */
export function recolour(input: Float32Array, { mean, std, order }: Preprocess, colours: Colours): void {
  const [brightness, contrast, saturation] = colours;
  const channels = order === "rgb" ? [0, 1, 2] : [2, 1, 0];
  const count = input.length / 3;
  const scales = channels.map((channel) => std[channel]!);
  const shifts = channels.map((channel) => mean[channel]!);
  const [red, green, blue] = [channels.indexOf(0), channels.indexOf(1), channels.indexOf(2)];
  const clamp = (x: number): number => (x < 0 ? 0 : x > 1 ? 1 : x);
  const grey = (p: number): number => 0.299 * input[p + red]! + 0.587 * input[p + green]! + 0.114 * input[p + blue]!;
  let sum = 0;
  for (let p = 0; p < input.length; p += 3) {
    for (let i = 0; i < 3; ++i) input[p + i] = clamp((input[p + i]! * scales[i]! + shifts[i]!) * brightness);
    sum += grey(p);
  }
  const middle = (1 - contrast) * (sum / count);
  for (let p = 0; p < input.length; p += 3) {
    for (let i = 0; i < 3; ++i) input[p + i] = clamp(input[p + i]! * contrast + middle);
    const own = (1 - saturation) * grey(p);
    for (let i = 0; i < 3; ++i) {
      input[p + i] = (clamp(input[p + i]! * saturation + own) - shifts[i]!) / scales[i]!;
    }
  }
}
