/**
 * Images without photos, to calibrate int8 with: "dead leaves", discs and boxes of every size that cover each other, whose edges,
 * contrasts and sizes are distributed as in photos (Lee, Mumford, Huang 2001; networks can learn from them: arXiv 2106.05963).
 * Only sums, products and square roots, so that every engine makes the same pixels.
 */
import type { RawPixels } from "./decode/raw.ts";

const SIDE = 256;
/** Of the leaves, in pixels; their number falls with the cube of the radius, which looks the same at every distance. */
const RADII = [2, 128] as const;
/** A numerical limit: the last pixels of an image stay as dark as the ground. */
const MAX_LEAVES = 20_000;

/** Numbers of 0…1 from a linear congruential generator (Numerical Recipes). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `count` images of 256×256 pixels, always the same. */
export function* leafImages(count: number): Generator<RawPixels> {
  const random = randomFrom(12_345);
  for (let i = 0; i < count; ++i) yield { width: SIDE, height: SIDE, data: leafImage(random) };
}

function leafImage(random: () => number): Uint8Array {
  const data = new Uint8Array(SIDE * SIDE * 3);
  const covered = new Uint8Array(SIDE * SIDE);
  let open = SIDE * SIDE;
  for (let leaf = 0; open > 0 && leaf < MAX_LEAVES; ++leaf) open -= drop(data, covered, random);
  return data;
}

/** Lays a leaf under those that are there: from the nearest to the farthest. Returns the pixels that it shows. */
function drop(data: Uint8Array, covered: Uint8Array, random: () => number): number {
  const share = random();
  const radius = 1 / Math.sqrt(share / RADII[1] ** 2 + (1 - share) / RADII[0] ** 2);
  const [x0, y0] = [random() * SIDE, random() * SIDE];
  const gray = random() * 255;
  const colour = [0, 1, 2].map(() => gray + (random() - 0.5) * 120);
  const isBox = random() < 0.4;
  const turn = 2 * random() - 1;
  const [cos, sin] = [(1 - turn * turn) / (1 + turn * turn), (2 * turn) / (1 + turn * turn)];
  // Light that falls off over the leaf, stripes, and noise.
  const [dx, dy] = [random() - 0.5, random() - 0.5];
  const [frequency, contrast] = [random() * 0.13, random() * 50];
  const reach = Math.ceil(radius * 1.42);
  let shown = 0;
  for (let y = Math.max(0, Math.floor(y0 - reach)); y < Math.min(SIDE, y0 + reach); ++y) {
    for (let x = Math.max(0, Math.floor(x0 - reach)); x < Math.min(SIDE, x0 + reach); ++x) {
      const at = y * SIDE + x;
      if (covered[at] === 1) continue;
      const [px, py] = [x - x0, y - y0];
      const [u, v] = [cos * px + sin * py, cos * py - sin * px];
      const isOutside = isBox ? Math.abs(u) > radius || Math.abs(v) > 0.7 * radius : u * u + v * v > radius * radius;
      if (isOutside) continue;
      covered[at] = 1;
      shown += 1;
      const phase = frequency * u - Math.floor(frequency * u);
      const stripe = contrast * (4 * Math.abs(phase - 0.5) - 1);
      const light = dx * px + dy * py + stripe + (random() - 0.5) * 12;
      for (let i = 0; i < 3; ++i) data[3 * at + i] = Math.max(0, Math.min(255, colour[i]! + light));
    }
  }
  return shown;
}
