/**
 * Mixed images: mixup (Zhang et al., arXiv 1710.09412) adds two images of a batch, cutmix (Yun et al., arXiv 1905.04899)
 * puts a part of one into the other; their targets are mixed by the same shares. The share of a batch is drawn from the
 * beta distribution Beta(α, α); each image is mixed with that at the other end of the batch, as in timm.
 */
import { seedFrom, uniform } from "../models/random.ts";
import type { Batch, BatchSource } from "./sources.ts";
import { sharesOf } from "./targets.ts";

export interface MixOptions {
  /** α of mixup's distribution; 0 for none. With both, a batch gets one of them, each as often. */
  readonly mixup: number;
  readonly cutmix: number;
  readonly classes: number;
  readonly seed: number;
  /** `[h, w, c]` of an image. */
  readonly shape: readonly [number, number, number];
}

/** A number of the gamma distribution of a shape and scale 1 (Marsaglia & Tsang, 2000). */
function gamma(shape: number, next: () => number): number {
  if (shape < 1) return gamma(shape + 1, next) * (1 - next()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - next()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** A number 0…1 of the beta distribution Beta(α, α). */
export function symmetricBeta(alpha: number, next: () => number): number {
  const [x, y] = [gamma(alpha, next), gamma(alpha, next)];
  // Both are 0 where α is so small that they underflow: then the share is 0 or 1.
  return x + y > 0 ? x / (x + y) : Number(next() < 0.5);
}

/** Mixes a batch; `share` of each image and of its targets stays. */
function mixup(
  { images, labels }: { readonly images: Float32Array; readonly labels: Float32Array },
  n: number,
  share: number,
): void {
  const half = n >> 1;
  for (const values of [images, labels]) {
    const size = values.length / n;
    for (let i = 0; i < half; ++i) {
      const [a, b] = [i * size, (n - 1 - i) * size];
      for (let j = 0; j < size; ++j) {
        const [x, y] = [values[a + j]!, values[b + j]!];
        values[a + j] = share * x + (1 - share) * y;
        values[b + j] = share * y + (1 - share) * x;
      }
    }
  }
}

/** A part of each image becomes that of the other; returns the share that stays, by the pixels. */
function cutmix(
  images: Float32Array,
  n: number,
  [h, w, c]: readonly [number, number, number],
  share: number,
  next: () => number,
): number {
  const side = Math.sqrt(1 - share);
  const [midX, midY] = [Math.floor(next() * w), Math.floor(next() * h)];
  const bound = (at: number, most: number): number => Math.min(most, Math.max(0, at));
  const [halfX, halfY] = [Math.floor((side * w) / 2), Math.floor((side * h) / 2)];
  const [left, right] = [bound(midX - halfX, w), bound(midX + halfX, w)];
  const [top, bottom] = [bound(midY - halfY, h), bound(midY + halfY, h)];
  for (let i = 0; i < n >> 1; ++i) {
    for (let y = top; y < bottom; ++y) {
      const [a, b] = [i, n - 1 - i].map((image) => ((image * h + y) * w + left) * c);
      const [mine, others] = [a!, b!].map((at) => images.subarray(at, at + (right - left) * c));
      const kept = mine!.slice();
      mine!.set(others!);
      others!.set(kept);
    }
  }
  return 1 - ((right - left) * (bottom - top)) / (w * h);
}

/**
 * A source whose batches are mixed.
 *
 * @returns batches with a `Float32Array` of shares as labels
 */
export function mixedSource(source: BatchSource, options: MixOptions): BatchSource {
  const { classes, seed, shape } = options;
  return {
    count: source.count,
    async batch(indices, epoch): Promise<Batch> {
      const { images, labels, ...rest } = await source.batch(indices, epoch);
      const n = rest.indices.length;
      const shares = sharesOf(labels, classes);
      if (n > 1) {
        const next = uniform(seedFrom(seed, epoch, indices[0]!, n));
        const isCut = options.mixup === 0 || (options.cutmix > 0 && next() < 0.5);
        const drawn = symmetricBeta(isCut ? options.cutmix : options.mixup, next);
        if (isCut) mixup({ images: new Float32Array(0), labels: shares }, n, cutmix(images, n, shape, drawn, next));
        else mixup({ images, labels: shares }, n, drawn);
      }
      return { ...rest, images, labels: shares };
    },
  };
}
