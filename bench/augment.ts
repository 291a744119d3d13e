/** What varying one image of 224 × 224 costs, in milliseconds: minimum and median. The network's step of it takes far longer. */
import { uniform } from "../src/models/random.ts";
import { PRESETS } from "../src/preprocess.ts";
import { recolour } from "../src/train/augment.ts";
import { erase } from "../src/train/erase.ts";
import { OPERATIONS, randAugment } from "../src/train/rand-augment.ts";

const [SIDE, ROUNDS] = [224, 60] as const;

export async function run(): Promise<number> {
  const way = PRESETS["torchvision-v1"];
  const input = Float32Array.from({ length: SIDE * SIDE * 3 }, (_, i) => Math.sin(i / 7));
  const data = Uint8ClampedArray.from(input, (value) => 100 + 90 * value);
  const image = { width: SIDE, height: SIDE, channels: 3, data, luma: [0.299, 0.587, 0.114] };
  const next = uniform(1);
  const time = (name: string, work: () => void): void => {
    const times = Array.from({ length: ROUNDS }, () => {
      const start = performance.now();
      work();
      return performance.now() - start;
    }).sort((a, b) => a - b);
    console.log(`${name.padEnd(24)} ${times[0]!.toFixed(2)}  ${times[ROUNDS >> 1]!.toFixed(2)}`);
  };
  for (const [name, operation] of Object.entries(OPERATIONS)) time(name, () => operation(image, 0.9, 1));
  time("two operations", () => randAugment(input.slice(), SIDE, way, 9, next));
  time("erasing", () => erase(input.slice(), SIDE, 3, 1, next));
  time("colours", () => recolour(input.slice(), way, [1.1, 0.9, 1.1]));
  return 0;
}
