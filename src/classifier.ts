/**
 * The first story: pixels → labels. A classifier is an engine with a forward tape; its memory goes when it is disposed.
 */

import { type BuildOptions, checkBuildOptions, chooseHere, repackingOf } from "./choice.ts";
import { fetchPhoto, type ImageInput, type Photo } from "./decode/input.ts";
import { checkDecode, type DecodeMode } from "./decode/wanted.ts";
import { createEngine, type Engine, type Region } from "./engine.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { type Forward, ForwardPass, type Job, type Packed, PLANS, type Reading } from "./forward.ts";
import { featuresNode, type Graph, inputShape, nodeOf, outputNode } from "./graph.ts";
import type { Build } from "./kernels.ts";
import { type Model, type ModelOptions, type Source, withModel } from "./model.ts";
import { classCount, type OutputKind, probabilitiesOf } from "./output.ts";
import { plan } from "./plan.ts";
import { type Bounds, type Replicas, startReplicas } from "./replicas.ts";
import type { Runtime } from "./runtime.ts";
import { allFinite } from "./tensor.ts";
import type { Vectors } from "./variants.ts";
import type { Views } from "./views.ts";
import { packWeights } from "./weights.ts";

export interface LoadOptions extends ModelOptions, BuildOptions, DecodeDefault {}

/** How photos are decoded where a call does not say. */
export interface DecodeDefault {
  /**
   * `exact`, the default everywhere, so that answers are the same in every runtime and PyTorch's: every pixel of a JPEG, as Pillow
   * decodes it. `fast`: large JPEGs at 1/2, 1/4 or 1/8 of their size, where that leaves at least twice what the resize gives;
   * half to two thirds of the time, the same memory, and inputs that differ by 0.004 on average.
   */
  readonly decode?: DecodeMode;
}

/** How one photo is decoded. */
export interface PhotoOptions extends DecodeDefault {
  /** A limit for encoded images, in pixels. */
  readonly maxPixels?: number;
  /** A limit for the memory that decoding takes, in bytes: little for JPEGs, whatever their size; all pixels of others, and more. */
  readonly maxDecodeBytes?: number;
  /** Takes a JPEG that is cut short for what is there of it, gray where nothing is. */
  readonly truncated?: boolean;
}

/** A batch of preprocessed images: `shape` `[n, h, w, 3]`, or `[n, h, w, 1]` for a gray network, `data` in that order. */
export interface ImageTensor {
  readonly data: Float32Array;
  readonly shape: readonly [n: number, h: number, w: number, c: number];
}

/** Rows of numbers: `shape` `[n, classes]` or `[n, channels]`. */
export interface Matrix {
  readonly data: Float32Array;
  readonly shape: readonly [rows: number, columns: number];
}

export interface Prediction {
  readonly index: number;
  /** The class's name, or its index as text where the model has none. */
  readonly label: string;
  /** 0…1: softmax of the logits, or the sigmoid of its own where classes do not exclude each other. */
  readonly probability: number;
}

export interface ClassifyOptions extends PhotoOptions {
  /** How many classes are given at most; 5 when absent. */
  readonly topK?: number;
  /** Where classes do not exclude each other: those of at least this probability are given; 0.5 when absent. */
  readonly threshold?: number;
  /** Ends the call before its image is computed; with replicas at any time, at the cost of a replica that is then replaced. */
  readonly signal?: AbortSignal;
  /** Milliseconds that a replica may take for the image; then the call ends with a `TimeoutError`, and the replica is replaced. */
  readonly timeoutMs?: number;
}

/** Images computed at once; a longer batch is cut up. Memory for activations grows with it. */
const BATCH = 8;
/** Address space beyond the weights that shared memory, which needs a limit, leaves for activations and photos. */
const SHARED_ROOM = 512 * 2 ** 20;

/**
 * Loads a model.
 *
 * @param source its name, bytes, stream …: see `Source`
 * @throws ModelError when there is no model or it is not what it says; OptionError when memory or an option is out of range
 */
export async function loadWith(runtime: Runtime, source: Source, options: LoadOptions = {}): Promise<Classifier> {
  checkBuildOptions(options);
  checkDecode(options.decode);
  return withModel(runtime, source, options, (model) => loadModel(runtime, model, options));
}

/**
 * Makes a classifier from an opened model. The model stays open: it is the caller's to close, or to read again.
 *
 * @throws ModelError when a weight is missing, short or not finite; OptionError when memory or an option is out of range
 */
export async function loadModel(
  runtime: Runtime,
  model: Model,
  options: BuildOptions & DecodeDefault = {},
): Promise<Classifier> {
  checkBuildOptions(options);
  checkDecode(options.decode);
  const graph = fold(model.graph);
  const choice = await chooseHere(runtime, graph, options, model.checkpoint.packed);
  const { target, weights } = choice;
  const { replicas: count } = options;
  const room = { bytes: weights.end + (count ?? 1) * SHARED_ROOM, plans: PLANS };
  const shared = target.threads > 1 || count !== undefined;
  const engine = await createEngine<Forward>(runtime, model.source, target, { ...room, shared });
  await packWeights(model.source, graph, weights, model.checkpoint, engine.kernels, options.signal);
  const announced = { ...model, guesses: [...model.guesses, ...repackingOf(model.checkpoint.packed, choice)] };
  const packed = { source: model.source, graph, weights, preprocess: model.preprocess };
  const { decode = "exact" } = options;
  if (count === undefined) {
    await engine.start(runtime);
    return new Classifier(runtime, packed, announced, engine, decode);
  }
  const { end } = plan(graph, weights, target, 1, inputShape(graph), [featuresNode(graph).name]);
  const regions = divide(weights.end, end - weights.end, count);
  engine.reserve(regions.at(-1)!.end);
  const replicas = await startReplicas(runtime, packed, engine, regions);
  return new Classifier(runtime, packed, announced, engine, decode, replicas);
}

/** A page of most systems: two replicas never write to the same one. */
const PAGE_BYTES = 4096;

/** `count` regions of at least `bytes`, one behind the other. */
function divide(start: number, bytes: number, count: number): readonly Region[] {
  const up = (value: number): number => Math.ceil(value / PAGE_BYTES) * PAGE_BYTES;
  return Array.from({ length: count }, (_, i) => {
    const base = up(start) + i * up(bytes);
    return { base, end: base + up(bytes) };
  });
}

/**
 * A loaded model. Calls made at once are queued; each has the memory to itself. With replicas as many as there are of them
 * are computed at once.
 */
export class Classifier {
  readonly model: Model;
  readonly #runtime: Runtime;
  readonly #graph: Graph;
  readonly #engine: Engine<Forward>;
  readonly #pass: ForwardPass;
  readonly #decode: DecodeMode;
  readonly #replicas: Replicas | undefined;

  /** For `loadModel`: everything is checked and packed already. */
  constructor(
    runtime: Runtime,
    packed: Packed,
    model: Model,
    engine: Engine<Forward>,
    decode: DecodeMode,
    replicas?: Replicas,
  ) {
    this.model = model;
    this.#runtime = runtime;
    this.#graph = packed.graph;
    this.#engine = engine;
    this.#pass = new ForwardPass(packed, engine, runtime);
    this.#decode = decode;
    this.#replicas = replicas;
  }

  /** The kernels in use. */
  get build(): Build {
    return this.#engine.kernels.build;
  }

  /** Bits of the vectors that it computes with: 256 where the engine packs pairs of SIMD operations. */
  get vectors(): Vectors {
    return this.#engine.target.vectors ?? 128;
  }

  /** What the numbers of the last layer mean. */
  get output(): OutputKind {
    return this.#graph.output ?? "softmax";
  }

  /** Bytes of wasm memory held now. */
  get memoryBytes(): number {
    return this.#engine.kernels.memory.buffer.byteLength + (this.#replicas?.ownBytes ?? 0);
  }

  /** Replicas that share the weights; absent where the caller's thread or a team of threads computes. */
  get replicas(): number | undefined {
    return this.#replicas?.count;
  }

  /**
   * The most probable classes of one image, best first. Where classes do not exclude each other (`output` is
   * `sigmoid`), those above the threshold: all, some or none. A network of one logit always answers: with the probability
   * of its one class, or of both where it has two labels.
   *
   * @throws ArgumentTypeError for something that is no image; OptionError for an option out of range; ImageError for an image
   * that cannot be decoded; ModelError with the code `no-classes` for a network without a classifier, with `not-finite`
   * where its numbers overflow; StateError after `dispose`
   */
  async classify(
    image: ImageInput,
    { topK = 5, threshold, ...options }: ClassifyOptions = {},
  ): Promise<readonly Prediction[]> {
    if (!Number.isInteger(topK) || topK < 1) {
      throw new OptionError("topK", expectedGot("topK", "a whole number from 1", `${topK}`));
    }
    if (threshold !== undefined && !(threshold >= 0 && threshold <= 1)) {
      throw new OptionError("threshold", expectedGot("threshold", "a number from 0 to 1", `${threshold}`));
    }
    const { timeoutMs } = options;
    if (timeoutMs !== undefined && this.#replicas === undefined) {
      const hint = "only a replica can be ended: load with { replicas: 1 } or more";
      throw new OptionError("timeoutMs", expectedGot("timeoutMs", "a model with replicas", "one without", hint));
    }
    if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs < 2 ** 31)) {
      throw new OptionError("timeoutMs", expectedGot("timeoutMs", "milliseconds above 0", `${timeoutMs}`));
    }
    const kind = this.#classKind();
    const { labels } = this.model;
    const [logits] = await this.#views(image, outputNode(this.#graph).name, {}, options);
    const probabilities = Float32Array.from(probabilitiesOf(kind, logits!, classCount(logits!.length, labels)));
    const least = threshold ?? (kind === "sigmoid" && logits!.length > 1 ? 0.5 : 0);
    return [...probabilities.keys()]
      .filter((index) => probabilities[index]! >= least)
      .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
      .slice(0, topK)
      .map((index) => ({ index, label: labels[index] ?? `${index}`, probability: probabilities[index]! }));
  }

  /**
   * Probabilities of every class, averaged over several views of one image. Several are made of all its pixels, decoded exactly.
   *
   * @returns `[classes]`: they sum to 1, unless classes do not exclude each other; two for one logit with two labels
   * @throws as `classify`; OptionError for views that cannot be had
   */
  async probabilities(image: ImageInput, views: Views = {}): Promise<Float32Array> {
    const kind = this.#classKind();
    const { name, shape } = outputNode(this.#graph);
    const classes = classCount(shape[2], this.model.labels);
    const outputs = await this.#views(image, name, views);
    const sums = new Float64Array(classes);
    for (const logits of outputs) {
      probabilitiesOf(kind, logits, classes).forEach((part, i) => {
        sums[i]! += part;
      });
    }
    return Float32Array.from(sums, (sum) => sum / outputs.length);
  }

  /**
   * Logits of preprocessed images.
   *
   * @param images `[n, h, w, c]` f32, any height and width the network leaves pixels of
   * @returns `[n, classes]`
   * @throws OptionError when shape and data disagree
   */
  async logits(images: ImageTensor): Promise<Matrix> {
    return this.#batches(images, outputNode(this.#graph).name);
  }

  /** The output of a node of shape `[1, 1, columns]` for preprocessed images. */
  #batches(images: ImageTensor, name: string): Promise<Matrix> {
    const [n, h, w, c] = images.shape;
    const size = n * h * w * c;
    const channels = inputShape(this.#graph)[2];
    if (
      c !== channels ||
      ![n, h, w].every((side) => Number.isInteger(side) && side > 0) ||
      size !== images.data.length
    ) {
      throw new OptionError(
        "images",
        expectedGot(
          "images",
          `[n, h, w, ${channels}] with as many numbers`,
          `[${images.shape}] with ${images.data.length}`,
        ),
      );
    }
    // What is not a number would become 0 in int8.
    if (this.#graph.nodes[0]!.int8 !== undefined && !allFinite(images.data)) {
      throw new OptionError("images", expectedGot("images", "finite numbers", "others"));
    }
    return this.#engine.call(async () => {
      const columns = nodeOf(this.#graph, name).shape[2];
      const data = new Float32Array(n * columns);
      const each = h * w * c;
      const count = Math.min(BATCH, Math.ceil(n / (this.#replicas?.count ?? 1)));
      const jobs: Promise<void>[] = [];
      for (let first = 0; first < n; first += count) {
        const some = Math.min(count, n - first);
        const part = images.data.subarray(first * each, (first + some) * each);
        const job = { kind: "batch", data: part, shape: [some, h, w], node: name } as const;
        jobs.push(this.#do(job).then(([values]) => data.set(values!, first * columns)));
      }
      // All of them end before the call does: `dispose` waits for calls.
      for (const done of await Promise.allSettled(jobs)) if (done.status === "rejected") throw done.reason;
      return { data, shape: [n, columns] };
    });
  }

  /**
   * The pooled features of one image, or of preprocessed images: what the last layer classifies.
   *
   * @returns `[1, channels]`, or `[n, channels]`
   */
  async features(image: ImageInput | ImageTensor, photo: PhotoOptions = {}): Promise<Matrix> {
    if (typeof image === "object" && image !== null && "shape" in image) return this.#batches(image, this.#pooled());
    const [data] = await this.#views(image, this.#pooled(), {}, photo);
    return { data: data!, shape: [1, data!.length] };
  }

  /**
   * The outputs of some of the network's nodes for one image, in real numbers: what they are after folding.
   *
   * @param names of nodes
   * @returns by name, `[h, w, c]`
   * @throws RangeError for a name the folded network does not have
   */
  async activations(image: ImageInput, names: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    for (const name of names) nodeOf(this.#graph, name);
    const outputs = await this.#photo(image, (photo) => ({ kind: "activations", ...photo, names }));
    return new Map(names.map((name, i) => [name, outputs[i]!]));
  }

  /**
   * Runs a blank image, in every replica, until the engine's optimising compiler has caught up: three runs in a row no more than 3 % faster
   * than the best, or 30 in all. Calls after it run at full speed.
   *
   * @returns milliseconds of the first run and of the best
   */
  async warmup(): Promise<{ readonly firstMs: number; readonly warmMs: number }> {
    return this.#engine.call(async () => {
      const [h, w, c] = inputShape(this.#graph);
      const job = { kind: "batch", data: new Float32Array(h * w * c), shape: [1, h, w], node: this.#pooled() } as const;
      let [firstMs, warmMs] = [0, Number.POSITIVE_INFINITY];
      for (let i = 0, still = 0; i < 30 && still < 3; ++i) {
        const start = performance.now();
        await Promise.all(Array.from({ length: this.#replicas?.count ?? 1 }, () => this.#do(job)));
        const ms = performance.now() - start;
        if (i === 0) firstMs = ms;
        still = ms < 0.97 * warmMs ? 0 : still + 1;
        warmMs = Math.min(warmMs, ms);
      }
      return { firstMs, warmMs };
    });
  }

  /** The preprocessed image, as `logits` takes it. */
  async preprocess(image: ImageInput, options: PhotoOptions = {}): Promise<ImageTensor> {
    const [data] = await this.#photo(image, (photo) => ({ kind: "input", ...photo }), options);
    const [h, w] = this.model.preprocess.crop;
    return { data: data!, shape: [1, h, w, inputShape(this.#graph)[2]] };
  }

  /** Gives back the instance, its memory, its threads and replicas. Calls made before it finish; calls after it fail. */
  async dispose(): Promise<void> {
    await this.#engine.dispose();
    this.#replicas?.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Does a job here, or in a replica. */
  #do(job: Job, bounds: Bounds = {}): Promise<readonly Float32Array[]> {
    return this.#replicas === undefined ? this.#pass.do(job, bounds.signal) : this.#replicas.run(job, bounds);
  }

  /** A job about one image, which is fetched here. */
  #photo(
    image: ImageInput,
    jobOf: (photo: { readonly photo: Photo; readonly reading: Reading }) => Job,
    { maxPixels, maxDecodeBytes, decode = this.#decode, truncated, ...bounds }: PhotoOptions & Bounds = {},
  ): Promise<readonly Float32Array[]> {
    checkDecode(decode);
    return this.#engine.call(async () => {
      bounds.signal?.throwIfAborted();
      const photo = await fetchPhoto(image, this.#runtime, maxPixels);
      return this.#do(jobOf({ photo, reading: { decode, maxPixels, maxDecodeBytes, truncated } }), bounds);
    });
  }

  /** One node's output for each view of an image. */
  async #views(
    image: ImageInput,
    node: string,
    views: Views,
    options: PhotoOptions & Bounds = {},
  ): Promise<readonly Float32Array[]> {
    return this.#photo(image, (photo) => ({ kind: "views", ...photo, views, node }), options);
  }

  /** What its output means. Throws `ModelError` where there are no classes. */
  #classKind(): Exclude<OutputKind, "none"> {
    const { output } = this;
    const { source } = this.model;
    if (output !== "none") return output;
    const hint = "`features` gives its numbers, and `finetune` trains a classifier on them";
    const message = expectedGot(source, "a network with a classifier", "one without", hint);
    throw new ModelError("no-classes", message);
  }

  #pooled(): string {
    return featuresNode(this.#graph).name;
  }
}
