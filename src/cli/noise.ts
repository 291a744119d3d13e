/** How far an int8 model's layers are from those it was made from. */
import type { Classifier } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { toPixels } from "../decode/photo.ts";
import { nodeRuntime } from "../runtimes/node.ts";

/** Signal-to-noise ratio of each node's output, in decibels; ∞ where nothing differs. */
export async function signalToNoise(
  exact: Classifier,
  rounded: Classifier,
  nodes: readonly string[],
  images: readonly ImageInput[],
): Promise<ReadonlyMap<string, number>> {
  const sums = new Map(nodes.map((node) => [node, { signal: 0, noise: 0 }]));
  for (const image of images) {
    const pixels = await toPixels(image, nodeRuntime()).catch(() => undefined);
    // The calibration has named those that cannot be read.
    if (pixels === undefined) continue;
    const wanted = await exact.activations(pixels, nodes);
    const got = await rounded.activations(pixels, nodes);
    for (const [node, sum] of sums) {
      const theirs = got.get(node)!.data;
      wanted.get(node)!.data.forEach((value, i) => {
        sum.signal += value * value;
        sum.noise += (value - theirs[i]!) ** 2;
      });
    }
  }
  return new Map([...sums].map(([node, { signal, noise }]) => [node, 10 * Math.log10(signal / noise)]));
}
