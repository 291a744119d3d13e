/** A classifier as a page has it whose worker computes: the same methods, whose work is posted. */
import { untilAborted } from "../abort.ts";
import type {
  CallOptions,
  Classifier,
  ClassifyOptions,
  ImageTensor,
  Layer,
  PhotoOptions,
  Prediction,
} from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import type { Matrix } from "../embedding.ts";
import { expectedGot, StateError } from "../errors.ts";
import type { Heatmap, HeatmapOptions } from "../heatmap.ts";
import type { Model } from "../model.ts";
import type { OutputKind } from "../output.ts";
import type { Build } from "../tape.ts";
import type { Vectors } from "../variants.ts";
import type { Views } from "../views.ts";
import type { Answer, Description, Method } from "./engine.ts";
import { type PostedImage, postImage, postPixels } from "./images.ts";
import type { PlainModel } from "./models.ts";
import type { Peer } from "./peer.ts";

/** A model whose file is closed, as after any `load`. */
function closedModel({ checkpoint, ...rest }: PlainModel): Model {
  const close = async (): Promise<void> => {};
  const read = async (): Promise<never> => {
    throw new StateError(expectedGot(rest.source, "an open file", "one that `load` has closed", "use openModel"));
  };
  return { ...rest, checkpoint: { ...checkpoint, read, close }, close, [Symbol.asyncDispose]: close };
}

function isTensor(image: unknown): image is ImageTensor {
  return typeof image === "object" && image !== null && "shape" in image && "data" in image;
}

/** Numbers in memory of their own, which may move. */
function postTensor({ data, shape }: ImageTensor): PostedImage {
  const isNumbers = data instanceof Float32Array;
  const copy = isNumbers ? data.slice() : data;
  return { image: { data: copy, shape }, transfer: isNumbers ? [copy.buffer as ArrayBuffer] : [] };
}

/** What both kinds of classifiers can do. */
type Public<T> = { readonly [K in keyof T]: T[K] };

export class RemoteClassifier implements Public<Classifier> {
  readonly model: Model;
  readonly build: Build;
  readonly vectors: Vectors;
  readonly layers: readonly Layer[];
  readonly output: OutputKind;
  readonly replicas: number | undefined;
  readonly #engine: Peer;
  readonly #id: number;
  readonly #onDispose: () => void;
  readonly #calls = new Set<Promise<unknown>>();
  #memoryBytes: number;
  #disposal: Promise<void> | undefined;

  /** @param onDispose is told when the worker has one fewer to do */
  constructor(engine: Peer, description: Description, onDispose: () => void) {
    const { id, model, build, vectors, layers, output, replicas, memoryBytes } = description;
    this.model = closedModel(model);
    this.build = build;
    this.vectors = vectors;
    this.layers = layers;
    this.output = output;
    this.replicas = replicas;
    this.#engine = engine;
    this.#id = id;
    this.#memoryBytes = memoryBytes;
    this.#onDispose = onDispose;
  }

  get labels(): readonly string[] | undefined {
    const { labels } = this.model;
    return labels.length === 0 ? undefined : labels;
  }

  /** As of the last answer. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  classify(image: ImageInput, options?: ClassifyOptions): Promise<readonly Prediction[]>;
  classify(images: readonly ImageInput[], options?: ClassifyOptions): Promise<readonly (readonly Prediction[])[]>;
  classify(given: ImageInput | readonly ImageInput[], options: ClassifyOptions = {}): Promise<never> {
    return this.#call(options, async () => {
      const one = (image: ImageInput): Promise<unknown> => this.#image("classify", image, [], options);
      if (!Array.isArray(given)) return one(given as ImageInput);
      // Refuses wrong options, which are of no image.
      await this.#do("classify", { image: [], transfer: [] }, [], options);
      return this.#several(given, one, options);
    });
  }

  probabilities(image: ImageInput, views: Views = {}, options: PhotoOptions = {}): Promise<Float32Array> {
    return this.#call(options, () => this.#image("probabilities", image, [views], options));
  }

  logits(images: ImageTensor, options: CallOptions = {}): Promise<Matrix> {
    return this.#call(options, () => this.#do("logits", postTensor(images), [], options));
  }

  features(image: ImageInput | readonly ImageInput[] | ImageTensor, options: PhotoOptions = {}): Promise<Matrix> {
    return this.#call(options, () => this.#rows("features", image, options));
  }

  embed(image: ImageInput, options?: PhotoOptions): Promise<Float32Array>;
  embed(images: readonly ImageInput[] | ImageTensor, options?: PhotoOptions): Promise<Matrix>;
  embed(given: ImageInput | readonly ImageInput[] | ImageTensor, options: PhotoOptions = {}): Promise<never> {
    return this.#call(options, () => this.#rows("embed", given, options));
  }

  activations(
    image: ImageInput,
    names: readonly string[],
    options: PhotoOptions = {},
  ): ReturnType<Classifier["activations"]> {
    return this.#call(options, () => this.#image("activations", image, [[...names]], options));
  }

  heatmap(image: ImageInput, options: HeatmapOptions & PhotoOptions = {}): Promise<Heatmap> {
    return this.#call(options, () => this.#image("heatmap", image, [], options));
  }

  warmup(options: CallOptions = {}): ReturnType<Classifier["warmup"]> {
    return this.#call(options, () => this.#do("warmup", { image: {}, transfer: [] }, [], options));
  }

  preprocess(image: ImageInput, options: PhotoOptions = {}): Promise<ImageTensor> {
    return this.#call(options, () => this.#image("preprocess", image, [], options));
  }

  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await Promise.allSettled(this.#calls);
      // A worker that has ended has nothing to give back.
      await this.#engine.call("dispose", [this.#id]).catch(() => {});
      this.#onDispose();
    })();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** A public call from start to end, which `dispose` waits for; its caller does not, once it has aborted. */
  async #call<T>({ signal }: CallOptions, work: () => Promise<unknown>): Promise<T> {
    if (this.#disposal !== undefined) {
      const { source } = this.model;
      throw new StateError(expectedGot(source, "a loaded model", "one that was disposed", "load it again"));
    }
    signal?.throwIfAborted();
    const result = work();
    this.#calls.add(result);
    const forget = (): unknown => this.#calls.delete(result);
    result.then(forget, forget);
    return untilAborted(result as Promise<T>, signal);
  }

  /** A method of the worker's classifier. */
  async #do(
    method: Method,
    { image, transfer }: PostedImage,
    more: readonly unknown[],
    { signal, ...options }: CallOptions,
  ): Promise<unknown> {
    const args = method === "warmup" ? [options] : [image, ...more, options];
    const posted = [this.#id, method, args, signal !== undefined];
    const { result, memoryBytes } = (await this.#engine.call("do", posted, { signal, transfer })) as Answer;
    this.#memoryBytes = memoryBytes;
    return result;
  }

  /** One about an image. */
  async #image(method: Method, image: ImageInput, more: readonly unknown[], options: PhotoOptions): Promise<unknown> {
    const { maxPixels } = options;
    const posted = await postImage(image, maxPixels);
    try {
      return await this.#do(method, posted, more, options);
    } catch (error) {
      // A picture of another origin may be drawn, but not posted: reading its pixels says why.
      if ((error as Error)?.name !== "DataCloneError") throw error;
      return this.#do(method, await postPixels(image, maxPixels), more, options);
    }
  }

  /** One about several, a few at a time. */
  async #several<T>(
    images: readonly ImageInput[],
    one: (image: ImageInput) => Promise<T>,
    { signal }: CallOptions,
  ): Promise<readonly T[]> {
    const { inTurn, placed } = await import("../several.ts");
    return inTurn(images, 1 + (this.replicas ?? 1), one, (error, index) => placed(error, index, signal));
  }

  /** Features or embeddings. */
  async #rows(
    method: "features" | "embed",
    given: ImageInput | readonly ImageInput[] | ImageTensor,
    options: PhotoOptions,
  ): Promise<unknown> {
    if (isTensor(given)) return this.#do(method, postTensor(given), [], options);
    if (!Array.isArray(given)) return this.#image(method, given as ImageInput, [], options);
    const none = (await this.#do(method, { image: [], transfer: [] }, [], options)) as Matrix;
    const [, columns] = none.shape;
    const one = async (image: ImageInput): Promise<Float32Array> => {
      const row = (await this.#image(method, image, [], options)) as Matrix | Float32Array;
      return row instanceof Float32Array ? row : row.data;
    };
    const rows = await this.#several(given, one, options);
    const data = new Float32Array(rows.length * columns);
    for (const [i, row] of rows.entries()) data.set(row, i * columns);
    return { data, shape: [rows.length, columns] } satisfies Matrix;
  }
}
