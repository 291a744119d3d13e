/** The pooled features of images: what a head is trained on, computed once by the rest of the network. */

import { letEventsRun, untilAborted } from "../abort.ts";
import type { Classifier } from "../classifier.ts";
import { inputShape } from "../graph.ts";
import type { Augment } from "./augments.ts";
import type { BatchSource, Features } from "./sources.ts";

/** Variations of each image whose features are computed. */
export const VIEWS: Readonly<Record<Augment, number>> = { none: 1, light: 2, standard: 4 };

/** Images whose features are computed at once. */
export const FEATURE_BATCH = 8;

/**
 * Computes the features of a set. The next images are prepared meanwhile.
 *
 * @param views a source of the same examples for each view
 * @param onImages is told how many images are done
 */
export async function computeFeatures(
  classifier: Classifier,
  views: readonly BatchSource[],
  channels: number,
  signal: AbortSignal | undefined,
  onImages: (count: number) => void,
): Promise<Features> {
  const [h, w, c] = inputShape(classifier.model.graph);
  // At least one image for each replica.
  const size = Math.max(FEATURE_BATCH, classifier.replicas ?? 1);
  const rows: (Float32Array | undefined)[][] = [];
  for (const [view, source] of views.entries()) {
    const mine: (Float32Array | undefined)[] = new Array(source.count).fill(undefined);
    const groups = Array.from({ length: Math.ceil(source.count / size) }, (_, i) => {
      const first = i * size;
      return Array.from({ length: Math.min(size, source.count - first) }, (_, j) => first + j);
    });
    let coming = groups.length === 0 ? undefined : source.batch(groups[0]!, view);
    for (const [i, group] of groups.entries()) {
      const { images: data, indices } = await untilAborted(coming!, signal);
      coming = i + 1 < groups.length ? source.batch(groups[i + 1]!, view) : undefined;
      coming?.catch(() => {});
      await letEventsRun(signal);
      if (indices.length > 0) {
        const features = await classifier.features({ data, shape: [indices.length, h, w, c] });
        indices.forEach((index, j) => {
          mine[index] = features.data.slice(j * channels, (j + 1) * channels);
        });
      }
      onImages(group.length);
    }
    rows.push(mine);
  }
  return { channels, views: views.length, rows };
}
