/** The pooled features of images: what a head is trained on, computed once by the rest of the network. */

import { letEventsRun, untilAborted } from "../abort.ts";
import type { BuildOptions } from "../choice.ts";
import { type Classifier, type DecodeDefault, loadModel, type PhotoOptions } from "../classifier.ts";
import { fetchPhoto, type ImageInput, type Photo } from "../decode/input.ts";
import { ArgumentTypeError, ImageError, OptionError } from "../errors.ts";
import { featuresNode, inputShape } from "../graph.ts";
import { type Model, openModelWith } from "../model.ts";
import type { Runtime } from "../runtime.ts";
import { inTurn } from "../several.ts";
import type { Augment } from "./augments.ts";
import type { Example } from "./dataset.ts";
import { digestOfPhoto, digestOfTexts, digestOfTrunk, type FeatureStore, keptFeatures } from "./feature-store.ts";
import type { FeatureKind } from "./options.ts";
import type { BatchSource, Features } from "./sources.ts";
import { groupsOf } from "./validate.ts";

/** Variations of each image whose features are computed. */
export const VIEWS: Readonly<Record<Augment, number>> = { none: 1, light: 2, standard: 4 };

/** Images whose features are computed at once. */
export const FEATURE_BATCH = 8;

/** Photos that a network is quantized with. */
const SAMPLES = 8;

/** How features are computed. */
export interface FeatureOptions extends BuildOptions, DecodeDefault {
  /** `int8`: by an int8 network, made of the f32 one with `samples`; `f32`, as the model is, when absent. */
  readonly features?: FeatureKind;
  /** Photos of those to come: 8 of them, the same ones in any order, tell int8 its ranges. */
  readonly samples?: readonly Example[];
  /** Where features are kept. */
  readonly store?: FeatureStore;
  /** The model's `digestOfTrunk`, where that is known already. */
  readonly trunk?: string;
}

/** What of a photo is seen. */
export interface FeatureView {
  /** The same examples, prepared so. */
  readonly source: BatchSource;
  /** How the inputs of an example differ from those of `classify`, in a word that tells variations apart; absent where they do not. */
  readonly variation?: (index: number) => string;
}

/** Features of one example; undefined for what is not known. */
type Row = Float32Array | undefined;

/**
 * A network that computes features of photos, and trains nothing. Where features are kept, its weights are put into memory when the
 * first photo comes whose features are not known. It is the caller's to dispose; the model stays open.
 */
export class FeatureExtractor {
  readonly #runtime: Runtime;
  readonly #model: Model;
  readonly #options: FeatureOptions;
  #classifier: Promise<Classifier> | undefined;
  #samples: Promise<readonly Sample[]> | undefined;
  #network: Promise<string> | undefined;
  readonly channels: number;

  /** For `openFeatures`. */
  constructor(runtime: Runtime, model: Model, options: FeatureOptions) {
    this.#runtime = runtime;
    this.#model = model;
    this.#options = options;
    this.channels = featuresNode(model.graph).shape[2];
  }

  /**
   * The pooled features of one photo, `[channels]`, as the network gives them: not normalised.
   *
   * @throws as `Classifier.features`
   */
  async features(image: ImageInput, options: PhotoOptions = {}): Promise<Float32Array> {
    const compute = async (of: ImageInput): Promise<Float32Array> =>
      (await (await this.load()).features(of, options)).data;
    if (this.#options.store === undefined) return compute(image);
    const { signal, maxPixels, decode } = options;
    const photo = await untilAborted(fetchPhoto(image, this.#runtime, maxPixels, signal), signal);
    const key = await this.#keyOf(await digestOfPhoto(this.#runtime, photo), "", decode);
    const kept = await this.#kept(key);
    if (kept !== undefined) return kept;
    const features = await compute(again(image, photo));
    await this.#keep(key, features);
    return features;
  }

  /**
   * The features of a set. Known ones are looked up first; of the others the next are read and prepared while some are computed.
   *
   * @param failed gets the message of each image that cannot be read, by name
   * @param onImages is told how many more images are done, and how many of them were known
   */
  async featuresOf(
    examples: readonly Example[],
    views: readonly FeatureView[],
    failed: Map<string, string>,
    signal: AbortSignal | undefined,
    onImages: (count: number, known: number) => void,
  ): Promise<Features> {
    const digests = await inTurn(examples, 8, async (example) => {
      await letEventsRun(signal);
      return this.#options.store && digestOfExample(this.#runtime, example);
    });
    const rows: (readonly Row[])[] = [];
    for (const { source, variation } of views) {
      const mine: Row[] = new Array(examples.length).fill(undefined);
      const isHere = variation === undefined && this.#decodes;
      const keys = await inTurn(digests, 8, async (digest, i) => {
        const decode = isHere ? this.#options.decode : "exact";
        const key = digest && (await this.#keyOf(digest, variation?.(i), decode));
        mine[i] = await this.#kept(key);
        return key;
      });
      const missing = [...examples.keys()].filter((i) => mine[i] === undefined);
      const known = examples.length - missing.length;
      if (known > 0) onImages(known, known);
      const found = async (i: number, features: Float32Array): Promise<void> => {
        mine[i] = features;
        await this.#keep(keys[i], features);
      };
      const onComputed = (count: number): void => onImages(count, 0);
      if (isHere) await this.#each(missing, examples, failed, signal, found, onComputed);
      else await this.#batches(missing, source, rows.length, signal, found, onComputed);
      rows.push(mine);
    }
    return { channels: this.channels, views: views.length, rows };
  }

  /** Puts the network into memory. */
  load(): Promise<Classifier> {
    this.#classifier ??= this.#load();
    return this.#classifier;
  }

  async dispose(): Promise<void> {
    const loaded = await this.#classifier?.catch(() => undefined);
    await loaded?.dispose();
  }

  /** Photo by photo, each decoded where it is computed. */
  async #each(
    indices: readonly number[],
    examples: readonly Example[],
    failed: Map<string, string>,
    signal: AbortSignal | undefined,
    found: (index: number, features: Float32Array) => Promise<void>,
    onImages: (count: number) => void,
  ): Promise<void> {
    if (indices.length === 0) return;
    const classifier = await this.load();
    // Each replica's, and one that is being read.
    await inTurn(indices, 1 + (classifier.replicas ?? 1), async (index) => {
      await letEventsRun(signal);
      const example = examples[index]!;
      try {
        const { data } = await classifier.features(imageOf(example), signal === undefined ? {} : { signal });
        await found(index, data);
      } catch (error) {
        if (signal?.aborted === true || !isAboutPhoto(error)) throw error;
        failed.set(example.name, error.message);
      }
      onImages(1);
    });
  }

  /** In batches that a preparer makes: weights are read once for all images of one. */
  async #batches(
    indices: readonly number[],
    source: BatchSource,
    view: number,
    signal: AbortSignal | undefined,
    found: (index: number, features: Float32Array) => Promise<void>,
    onImages: (count: number) => void,
  ): Promise<void> {
    if (indices.length === 0) return;
    const classifier = await this.load();
    const [h, w, c] = inputShape(this.#model.graph);
    const { channels } = this;
    // At least one image for each replica.
    const groups = groupsOf(indices, Math.max(FEATURE_BATCH, classifier.replicas ?? 1));
    // One is computed, or two so that no replica waits for the last of a batch; the next is prepared.
    await inTurn(groups, classifier.replicas === undefined ? 2 : 3, async (group) => {
      const { images: data, indices: read } = await untilAborted(source.batch(group, view), signal);
      await letEventsRun(signal);
      if (read.length > 0) {
        const features = await classifier.features({ data, shape: [read.length, h, w, c] });
        for (const [j, index] of read.entries()) {
          await found(index, features.data.slice(j * channels, (j + 1) * channels));
        }
      }
      onImages(group.length);
    });
  }

  /** Whether photos are decoded where they are computed: by each replica, or smaller than they are. */
  get #decodes(): boolean {
    return this.#options.replicas !== undefined || this.#options.decode === "fast";
  }

  async #kept(key: string | undefined): Promise<Row> {
    const { store } = this.#options;
    return store === undefined || key === undefined ? undefined : keptFeatures(store, key, this.channels);
  }

  async #keep(key: string | undefined, features: Float32Array): Promise<void> {
    if (key !== undefined) await this.#options.store?.put(key, new Uint8Array(features.slice().buffer));
  }

  /** Where the features of a photo are kept. */
  async #keyOf(photo: string, variation = "", decode = this.#options.decode ?? "exact"): Promise<string> {
    this.#network ??= this.#digest();
    return `${await this.#network}/${await digestOfTexts(this.#runtime, [photo, decode, variation])}`;
  }

  get #isQuantized(): boolean {
    return this.#options.features === "int8" && this.#model.graph.nodes[0]!.int8 === undefined;
  }

  async #digest(): Promise<string> {
    const { winograd = true } = this.#options;
    const kind = this.#isQuantized ? ["int8", ...(await this.#chosen()).map(({ digest }) => digest)] : [];
    const trunk = this.#options.trunk ?? (await digestOfTrunk(this.#runtime, this.#model));
    return digestOfTexts(this.#runtime, [trunk, `winograd ${winograd}`, ...kind]);
  }

  /** Which photos int8 is made with: those with the smallest digests, so that their order does not matter. */
  #chosen(): Promise<readonly Sample[]> {
    this.#samples ??= chooseSamples(this.#runtime, this.#options.samples ?? []);
    return this.#samples;
  }

  async #load(): Promise<Classifier> {
    if (!this.#isQuantized) return loadModel(this.#runtime, this.#model, this.#options);
    const { signal } = this.#options;
    const { quantizeWith } = await import("../quantizer.ts");
    const images = (await this.#chosen()).map(({ example }) => imageOf(example));
    const { bytes } = await quantizeWith(this.#runtime, this.#model, images, signal === undefined ? {} : { signal });
    const int8 = await openModelWith(this.#runtime, bytes);
    try {
      return await loadModel(this.#runtime, int8, this.#options);
    } finally {
      await int8.close();
    }
  }
}

/**
 * Makes ready to compute the features of an opened model. Without a store, its weights are put into memory now.
 *
 * @throws as `loadModel`
 */
export async function openFeatures(
  runtime: Runtime,
  model: Model,
  options: FeatureOptions = {},
): Promise<FeatureExtractor> {
  const extractor = new FeatureExtractor(runtime, model, options);
  if (options.store === undefined) await extractor.load();
  return extractor;
}

interface Sample {
  readonly example: Example;
  readonly digest: string;
}

async function chooseSamples(runtime: Runtime, examples: readonly Example[]): Promise<readonly Sample[]> {
  const all = await inTurn(examples, 8, async (example): Promise<readonly Sample[]> => {
    const digest = await digestOfExample(runtime, example);
    return digest === undefined ? [] : [{ example, digest }];
  });
  const sorted = all.flat().sort((a, b) => (a.digest < b.digest ? -1 : 1));
  // The same photo twice says nothing more.
  return sorted.filter(({ digest }, i) => digest !== sorted[i - 1]?.digest).slice(0, SAMPLES);
}

/** What an example's photo is; undefined for one that cannot be read, which is told when it is computed. */
async function digestOfExample(runtime: Runtime, example: Example): Promise<string | undefined> {
  try {
    return await digestOfPhoto(runtime, await fetchPhoto(imageOf(example), runtime));
  } catch (error) {
    if (isAboutPhoto(error)) return undefined;
    throw error;
  }
}

/** The caller's function may fail as it likes. */
function imageOf(example: Example): ImageInput {
  try {
    return example.image();
  } catch (cause) {
    throw new ImageError("not-found", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function isAboutPhoto(error: unknown): error is Error {
  return error instanceof ImageError || error instanceof ArgumentTypeError || error instanceof OptionError;
}

/** An image to be read a second time; what can be read once, or comes from afar, as the bytes that came. */
function again(image: ImageInput, photo: Photo): ImageInput {
  if ("pixels" in photo) return photo.pixels;
  const isNear = typeof image === "string" && !/^https?:/i.test(image);
  return isNear ? image : photo.encoded;
}
