/** The pooled features of images: what a head is trained on, computed once by the rest of the network. */

import { letEventsRun, untilAborted } from "../abort.ts";
import type { BuildOptions } from "../choice.ts";
import { type Classifier, type DecodeDefault, loadModel, type PhotoOptions } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { featuresNode, inputShape } from "../graph.ts";
import type { Model } from "../model.ts";
import type { Runtime } from "../runtime.ts";
import type { Augment } from "./augment.ts";
import type { BatchSource, Features } from "./sources.ts";

/** How features are computed. */
export interface FeatureOptions extends BuildOptions, DecodeDefault {}

/** A network that computes features of photos, without training anything. It is the caller's to dispose. */
export class FeatureExtractor {
  readonly #classifier: Classifier;
  readonly channels: number;

  /** For `openFeatures`. */
  constructor(classifier: Classifier, channels: number) {
    this.#classifier = classifier;
    this.channels = channels;
  }

  /**
   * The pooled features of one photo, `[channels]`, as the network gives them: not normalised.
   *
   * @throws as `Classifier.features`
   */
  async features(image: ImageInput, options: PhotoOptions = {}): Promise<Float32Array> {
    return (await this.#classifier.features(image, options)).data;
  }

  dispose(): Promise<void> {
    return this.#classifier.dispose();
  }
}

/**
 * Puts an opened model into memory to compute features. The model stays open.
 *
 * @throws as `loadModel`
 */
export async function openFeatures(
  runtime: Runtime,
  model: Model,
  options: FeatureOptions = {},
): Promise<FeatureExtractor> {
  const classifier = await loadModel(runtime, model, options);
  return new FeatureExtractor(classifier, featuresNode(model.graph).shape[2]);
}

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
