/** A photo for those who have none at hand. */
import sharp from "sharp";
import { uniform } from "../../src/models/random.ts";

const [WIDTH, HEIGHT] = [4000, 3000];
/** Sizes of random pictures that are enlarged and added, and their weights: a photo has more of what is coarse. */
const LAYERS = [
  [8, 0.5],
  [64, 0.3],
  [512, 0.2],
] as const;
/** Largest value of the noise that every pixel has, as a sensor's. */
const NOISE = 7;
const QUALITY = 90;

/** A JPEG of 12 megapixels, baseline, 4:2:0, some 2.5 MB: shapes of every size with soft edges, and noise. The same each time. */
export async function samplePhoto(): Promise<Uint8Array> {
  const next = uniform(4);
  const sum = new Float32Array(3 * WIDTH * HEIGHT);
  for (const [width, weight] of LAYERS) {
    const height = (width * HEIGHT) / WIDTH;
    const data = new Uint8Array(3 * width * height).map(() => 256 * next());
    const layer = await sharp(data, { raw: { width, height, channels: 3 } })
      .resize(WIDTH, HEIGHT, { fit: "fill", kernel: "cubic" })
      .raw()
      .toBuffer();
    for (let i = 0; i < sum.length; ++i) sum[i]! += weight * layer[i]!;
  }
  const pixels = new Uint8Array(sum.length);
  for (let i = 0; i < pixels.length; i += 3) {
    const noise = NOISE * (next() + next() - 1);
    for (let c = i; c < i + 3; ++c) pixels[c] = Math.min(255, Math.max(0, sum[c]! + noise));
  }
  return sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .jpeg({ quality: QUALITY, chromaSubsampling: "4:2:0" })
    .toBuffer();
}
