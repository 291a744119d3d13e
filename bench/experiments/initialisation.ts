/**
 * ResNet-110 and plain-110 before any training: the norm of the first gradient by depth. Both have batch norms and He et al.'s
 * initialisation; only the shortcuts differ.
 */

import type { Dataset } from "../../src/runtimes/node.ts";
import { PRESETS } from "../../src/runtimes/node.ts";
import { cifarImages } from "./cifar.ts";
import { type DepthRow, depthPoints, depthRows, spread } from "./depth.ts";
import { type Batch, firstGradNorms } from "./gradients.ts";
import type { Run, Summary } from "./run.ts";

const NETWORKS = ["plain110", "resnet110"] as const;

export async function run(run: Run): Promise<Summary> {
  const seeds = Array.from({ length: run.quick ? 1 : 5 }, (_, i) => run.seed + i);
  const batch = batchOf(await cifarImages(run, "train", run.quick ? 16 : 128));
  const rows: DepthRow[] = [];
  const spreads: Record<string, number[]> = {};
  for (const network of NETWORKS) {
    for (const seed of seeds) {
      const { loss, layers } = await firstGradNorms(run, network, seed, batch);
      rows.push(...depthRows(network, seed, layers));
      spreads[network] = [...(spreads[network] ?? []), spread(layers)];
      const factor = spread(layers).toPrecision(3);
      run.say(
        `${network}, seed ${seed}: loss ${loss.toFixed(3)}, largest gradient of a layer ${factor} of the smallest`,
      );
    }
  }
  await run.table("gradients.csv", rows);
  await run.plot("gradients.svg", {
    title: "The first gradient, layer by layer",
    ...{ x: "layer, from the input", y: "norm of the weights' gradient", logY: true, points: depthPoints(rows) },
  });
  return { images: batch.labels.length, seeds, spreads, first: firstLayers(rows) };
}

/** The norm at the input, by network: the mean over the seeds. */
function firstLayers(rows: readonly DepthRow[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    NETWORKS.map((network) => {
      const norms = rows.filter((row) => row.network === network && row.depth === 1).map(({ gradNorm }) => gradNorm);
      return [network, norms.reduce((sum, norm) => sum + norm, 0) / norms.length];
    }),
  );
}

/** Images as they are, nothing varied. */
export function batchOf({ examples }: Dataset): Batch {
  const { mean, std } = PRESETS.cifar;
  const images = new Float32Array(examples.length * 32 * 32 * 3);
  examples.forEach(({ image }, i) => {
    const { data } = image() as { readonly data: Uint8Array };
    for (let p = 0; p < 32 * 32; ++p) {
      for (let c = 0; c < 3; ++c) images[(i * 32 * 32 + p) * 3 + c] = (data[4 * p + c]! / 255 - mean[c]!) / std[c]!;
    }
  });
  return { images, labels: Int32Array.from(examples, ({ label }) => label as number) };
}
