/**
 * The first story: pixels → labels. A classifier is an engine with a forward tape; its memory goes when it is disposed.
 */

import { letEventsRun, untilAborted } from "./abort.ts";
import { type BuildOptions, checkBuildOptions, chooseHere, repackingOf } from "./choice.ts";
import { fetchPhoto, type ImageInput, type Photo } from "./decode/input.ts";
import { checkDecode, type DecodeMode } from "./decode/wanted.ts";
import { type Matrix, normalized } from "./embedding.ts";
import { createEngine, type Engine, type Region } from "./engine.ts";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { type Forward, ForwardPass, type Job, type Packed, PLANS, type Reading } from "./forward.ts";
import { featuresNode, type Graph, inputShape, type Node, nodeOf, outputNode, type Shape } from "./graph.ts";
import type { Heatmap, HeatmapOptions, HeatmapPlan } from "./heatmap.ts";
import { type Build, prepareKernels } from "./kernels.ts";
import { type Model, type ModelOptions, type Source, withModel } from "./model.ts";
import { classCount, type OutputKind, probabilitiesOf } from "./output.ts";
import { plan } from "./plan.ts";
import type { Bounds, Replicas } from "./replicas.ts";
import type { Runtime } from "./runtime.ts";
import { allFinite } from "./tensor.ts";
import type { Vectors } from "./variants.ts";
import type { Views } from "./views.ts";
import { packWeights } from "./weights.ts";

export interface LoadOptions extends ModelOptions, BuildOptions, DecodeDefault {
  /**
   * In pages: `worker`, the default, computes in a worker, so that the page never waits; `page` in the page itself, where pauses are
   * between steps. Where workers are refused (by a policy, in a `file:` page) the default is `page`, and `guesses` says so.
   */
  readonly where?: "page" | "worker";
}

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
export interface PhotoOptions extends DecodeDefault, CallOptions {
  /** A limit for encoded images, in pixels. */
  readonly maxPixels?: number;
  /** A limit for the memory that decoding takes, in bytes: little for JPEGs, whatever their size; all pixels of others, and more. */
  readonly maxDecodeBytes?: number;
  /** Takes a JPEG that is cut short for what is there of it, gray where nothing is. */
  readonly truncated?: boolean;
}

/** What ends a call before its time. */
export interface CallOptions {
  /**
   * When it aborts, the call rejects with its reason at once. What a replica computes ends then, at the cost of the replica, which is
   * replaced; threads finish the image that they are at.
   */
  readonly signal?: AbortSignal;
}

/** A batch of preprocessed images: `shape` `[n, h, w, 3]`, or `[n, h, w, 1]` for a gray network, `data` in that order. */
export interface ImageTensor {
  readonly data: Float32Array;
  readonly shape: readonly [n: number, h: number, w: number, c: number];
}

/** The output of one layer for one image, in real numbers: `data` in the order of `shape`. */
export interface Activation {
  readonly data: Float32Array;
  readonly shape: Shape;
}

/** A layer as it is computed: norms, additions and clamps are in the convolutions before them. */
export type Layer = Pick<Node, "name" | "op" | "shape">;

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
  const { build, threads } = checkBuildOptions(options);
  checkDecode(options.decode);
  if (options.where === "worker") throw new OptionError("where", expectedGot("where", "page here", "worker"));
  // While the model is opened, which may take a download.
  prepareKernels(runtime, build, threads > 1 || options.replicas !== undefined);
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
  await letEventsRun(options.signal);
  const announced = { ...model, guesses: [...model.guesses, ...repackingOf(model.checkpoint.packed, choice)] };
  const packed = { source: model.source, graph, weights, preprocess: model.preprocess };
  const { decode = "exact" } = options;
  if (count === undefined) {
    await engine.start(runtime);
    return unlessAborted(new Classifier(runtime, packed, announced, engine, decode), options.signal);
  }
  const { end } = plan(graph, weights, target, 1, inputShape(graph), [featuresNode(graph).name]);
  const regions = divide(weights.end, end - weights.end, count);
  engine.reserve(regions.at(-1)!.end);
  const { startReplicas } = await import("./replicas.ts");
  const replicas = await startReplicas(runtime, packed, engine, regions);
  return unlessAborted(new Classifier(runtime, packed, announced, engine, decode, replicas), options.signal);
}

/** The same classifier; without its threads when nobody wants it any more. Throws the signal's reason then. */
async function unlessAborted(classifier: Classifier, signal: AbortSignal | undefined): Promise<Classifier> {
  if (signal?.aborted === true) await classifier.dispose();
  signal?.throwIfAborted();
  return classifier;
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
  readonly #packed: Packed;
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
    this.#packed = packed;
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

  get #graph(): Graph {
    return this.#packed.graph;
  }

  /** Names of the classes, by index; absent where the model has none. */
  get labels(): readonly string[] | undefined {
    const { labels } = this.model;
    return labels.length === 0 ? undefined : labels;
  }

  /** What `activations` can give: the network's layers, as they are computed. */
  get layers(): readonly Layer[] {
    return this.#graph.nodes.map(({ name, op, shape }) => ({ name, op, shape }));
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
   * The most probable classes of one image, best first; of several images, a list for each, in their order. Where classes do not exclude each other (`output` is
   * `sigmoid`), those above the threshold: all, some or none. A network of one logit always answers: with the probability
   * of its one class, or of both where it has two labels.
   *
   *     const [{ label, probability }] = await model.classify("photo.jpg");
   *     const [ofFirst, ofSecond] = await model.classify(["a.jpg", "b.jpg"], { topK: 3 });
   *
   * A canvas among several is read when its turn comes. With several images the first that fails fails the call: the error's `index`, and its message, tell which. For an answer or an
   * error from each, call it for each: `Promise.allSettled(photos.map((photo) => model.classify(photo)))`.
   *
   * @throws ArgumentTypeError for something that is no image; OptionError for an option out of range; ImageError for an image
   * that cannot be decoded; ModelError with the code `no-classes` for a network without a classifier, with `not-finite`
   * where its numbers overflow; StateError after `dispose`; the signal's reason
   */
  async classify(image: ImageInput, options?: ClassifyOptions): Promise<readonly Prediction[]>;
  async classify(images: readonly ImageInput[], options?: ClassifyOptions): Promise<readonly (readonly Prediction[])[]>;
  async classify(
    given: ImageInput | readonly ImageInput[],
    { topK = 5, threshold, ...options }: ClassifyOptions = {},
  ): Promise<readonly Prediction[] | readonly (readonly Prediction[])[]> {
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
    const best = (logits: Float32Array): readonly Prediction[] => {
      const probabilities = Float32Array.from(probabilitiesOf(kind, logits, classCount(logits.length, labels)));
      const least = threshold ?? (kind === "sigmoid" && logits.length > 1 ? 0.5 : 0);
      return [...probabilities.keys()]
        .filter((index) => probabilities[index]! >= least)
        .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
        .slice(0, topK)
        .map((index) => ({ index, label: labels[index] ?? `${index}`, probability: probabilities[index]! }));
    };
    const { name } = outputNode(this.#graph);
    if (isSeveral(given)) return (await this.#several(given, name, options)).map(best);
    const [logits] = await this.#views(given, name, {}, options);
    return best(logits!);
  }

  /**
   * Probabilities of every class, averaged over several views of one image. Several are made of all its pixels, decoded exactly.
   *
   * @returns `[classes]`: they sum to 1, unless classes do not exclude each other; two for one logit with two labels
   * @throws as `classify`; OptionError for views that cannot be had
   */
  async probabilities(image: ImageInput, views: Views = {}, options: PhotoOptions = {}): Promise<Float32Array> {
    const kind = this.#classKind();
    const { name, shape } = outputNode(this.#graph);
    const classes = classCount(shape[2], this.model.labels);
    const outputs = await this.#views(image, name, views, options);
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
   * @throws OptionError when shape and data disagree; the signal's reason
   */
  async logits(images: ImageTensor, options: CallOptions = {}): Promise<Matrix> {
    return this.#batches(images, outputNode(this.#graph).name, options);
  }

  /** The output of a node of shape `[1, 1, columns]` for preprocessed images. */
  #batches(images: ImageTensor, name: string, { signal }: CallOptions): Promise<Matrix> {
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
    const bounds = signal === undefined ? {} : { signal };
    const result = this.#engine.call(async () => {
      const columns = nodeOf(this.#graph, name).shape[2];
      const data = new Float32Array(n * columns);
      const each = h * w * c;
      const count = Math.min(BATCH, Math.ceil(n / (this.#replicas?.count ?? 1)));
      const firsts = Array.from({ length: Math.ceil(n / count) }, (_, i) => i * count);
      const { inTurn } = await import("./several.ts");
      await inTurn(firsts, this.#replicas?.count ?? 1, async (first) => {
        const some = Math.min(count, n - first);
        const part = images.data.subarray(first * each, (first + some) * each);
        const job = { kind: "batch", data: part, shape: [some, h, w], node: name } as const;
        const [values] = await this.#do(job, bounds);
        data.set(values!, first * columns);
      });
      return { data, shape: [n, columns] } as const;
    });
    return untilAborted(result, signal);
  }

  /**
   * The pooled features of one image, of several, or of preprocessed images: what the last layer classifies. Several fail as in
   * `classify`.
   *
   * @returns `[1, channels]`, or `[n, channels]`
   */
  async features(image: ImageInput | readonly ImageInput[] | ImageTensor, options: PhotoOptions = {}): Promise<Matrix> {
    const { name, shape } = featuresNode(this.#graph);
    if (isTensor(image)) return this.#batches(image, name, options);
    const rows = await (isSeveral(image) ? this.#several(image, name, options) : this.#views(image, name, {}, options));
    const data = new Float32Array(rows.length * shape[2]);
    for (const [i, row] of rows.entries()) data.set(row, i * shape[2]);
    return { data, shape: [rows.length, shape[2]] };
  }

  /**
   * Features as an embedding, of length 1: images that look alike point the same way (`similarity`, `search`).
   *
   *     const query = await model.embed("query.jpg");                         // [2048]
   *     const album = await model.embed(["a.jpg", "b.jpg"]);                  // [2, 2048]
   *     const [{ index, score }] = search(query, album, { topK: 1 });
   *
   * @returns `[channels]` of one image; `[n, channels]` of several, or of preprocessed ones
   */
  async embed(image: ImageInput, options?: PhotoOptions): Promise<Float32Array>;
  async embed(images: readonly ImageInput[] | ImageTensor, options?: PhotoOptions): Promise<Matrix>;
  async embed(
    given: ImageInput | readonly ImageInput[] | ImageTensor,
    options: PhotoOptions = {},
  ): Promise<Float32Array | Matrix> {
    const rows = normalized(await this.features(given, options));
    return isTensor(given) || isSeveral(given) ? rows : rows.data;
  }

  /**
   * The outputs of some layers for one image, in real numbers.
   *
   *     const { data, shape } = (await model.activations("photo.jpg", ["layer4.2.conv3"])).get("layer4.2.conv3");
   *
   * @param names of `layers`
   * @returns by name, `[h, w, c]`
   * @throws OptionError for a name that is not among `layers`; as `features`
   */
  async activations(
    image: ImageInput,
    names: readonly string[],
    options: PhotoOptions = {},
  ): Promise<ReadonlyMap<string, Activation>> {
    const shapes = new Map(this.#graph.nodes.map(({ name, shape }) => [name, shape]));
    for (const name of names) if (!shapes.has(name)) throw await unknown(name, [...shapes.keys()]);
    const outputs = await this.#photo(image, (photo) => ({ kind: "activations", ...photo, names }), options);
    return new Map(names.map((name, i) => [name, { data: outputs[i]!, shape: shapes.get(name)! }]));
  }

  /**
   * A class activation map: how much each place of one image adds to a class's logit (Zhou et al. 2016, arXiv 1512.04150). It is exact
   * where a network ends in a global average pool and a linear layer, as ResNets do: see `Heatmap`.
   *
   *     const { data, shape, area } = await model.heatmap("photo.jpg", { class: "tabby" });          // [7, 7]
   *     const overlay = await model.heatmap("photo.jpg", { upsample: true });                        // [height, width]
   *
   * @throws OptionError for a class that the model does not have; ModelError with the code `no-classes` for a network without a
   * classifier, with `unsupported` for one that ends otherwise; as `classify`
   */
  async heatmap(image: ImageInput, options: HeatmapOptions & PhotoOptions = {}): Promise<Heatmap> {
    this.#classKind();
    let planned: HeatmapPlan | undefined;
    // The image is fetched first: what the platform draws is read when the call is made.
    const jobOf = async (photo: ReadPhoto): Promise<Job> => {
      const { planHeatmap } = await import("./heatmap.ts");
      planned = planHeatmap(this.#packed, this.model.labels, this.#engine.kernels.memory, options);
      return { kind: "activations", ...photo, names: planned.names };
    };
    const outputs = await this.#photo(image, jobOf, options);
    return planned!.heatmapOf(outputs);
  }

  /**
   * Runs a blank image, in every replica, until the engine's optimising compiler has caught up: three runs in a row no more than 3 % faster
   * than the best, or 30 in all. Calls after it run at full speed.
   *
   * @returns milliseconds of the first run and of the best
   */
  async warmup({ signal }: CallOptions = {}): Promise<{ readonly firstMs: number; readonly warmMs: number }> {
    const bounds = signal === undefined ? {} : { signal };
    const result = this.#engine.call(async () => {
      const [h, w, c] = inputShape(this.#graph);
      const node = featuresNode(this.#graph).name;
      const job = { kind: "batch", data: new Float32Array(h * w * c), shape: [1, h, w], node } as const;
      let [firstMs, warmMs] = [0, Number.POSITIVE_INFINITY];
      for (let i = 0, still = 0; i < 30 && still < 3; ++i) {
        const start = performance.now();
        await Promise.all(Array.from({ length: this.#replicas?.count ?? 1 }, () => this.#do(job, bounds)));
        const ms = performance.now() - start;
        if (i === 0) firstMs = ms;
        still = ms < 0.97 * warmMs ? 0 : still + 1;
        warmMs = Math.min(warmMs, ms);
      }
      return { firstMs, warmMs };
    });
    return untilAborted(result, signal);
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

  /** A call about one image. */
  #photo(image: ImageInput, jobOf: JobOf, options: PhotoOptions & Bounds): Promise<readonly Float32Array[]> {
    checkDecode(options.decode);
    return untilAborted(
      this.#engine.call(() => this.#fetched(image, jobOf, options)),
      options.signal,
    );
  }

  /** A job about one image, which is fetched here. */
  async #fetched(
    image: ImageInput,
    jobOf: JobOf,
    { maxPixels, maxDecodeBytes, decode = this.#decode, truncated, ...bounds }: PhotoOptions & Bounds,
  ): Promise<readonly Float32Array[]> {
    const { signal } = bounds;
    signal?.throwIfAborted();
    const photo = await untilAborted(fetchPhoto(image, this.#runtime, maxPixels, signal), signal);
    return this.#do(await jobOf({ photo, reading: { decode, maxPixels, maxDecodeBytes, truncated } }), bounds);
  }

  /** A call about several images: one node's output for each. The next is fetched while others are computed. */
  #several(
    images: readonly ImageInput[],
    node: string,
    options: PhotoOptions & Bounds,
  ): Promise<readonly Float32Array[]> {
    checkDecode(options.decode);
    const jobOf: JobOf = (photo) => ({ kind: "views", ...photo, views: {}, node });
    const one = async (image: ImageInput): Promise<Float32Array> => (await this.#fetched(image, jobOf, options))[0]!;
    const count = 1 + (this.#replicas?.count ?? 1);
    return untilAborted(
      this.#engine.call(async () => {
        const { inTurn, placed } = await import("./several.ts");
        return inTurn(images, count, one, (error, index) => placed(error, index, options.signal));
      }),
      options.signal,
    );
  }

  /** One node's output for each view of an image. */
  async #views(
    image: ImageInput,
    node: string,
    views: Views,
    options: PhotoOptions & Bounds,
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
}

interface ReadPhoto {
  readonly photo: Photo;
  readonly reading: Reading;
}

type JobOf = (photo: ReadPhoto) => Job | Promise<Job>;

function isSeveral(image: ImageInput | readonly ImageInput[] | ImageTensor): image is readonly ImageInput[] {
  return Array.isArray(image);
}

function isTensor(image: ImageInput | readonly ImageInput[] | ImageTensor): image is ImageTensor {
  return typeof image === "object" && image !== null && "shape" in image;
}

async function unknown(name: string, names: readonly string[]): Promise<OptionError> {
  const { unknownName } = await import("./near.ts");
  return unknownName("names", "a layer of `layers`", name, names);
}
