/**
 * The first story: pixels → labels. A classifier is an engine with a forward tape; its memory goes when it is disposed.
 */

import { type BuildOptions, checkBuildOptions, chooseHere, repackingOf } from "./choice.ts";
import { type ImageInput, withPixels } from "./decode/input.ts";
import { createEngine, type Engine } from "./engine.ts";
import { expectedGot, ImageError, ModelError, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { elementBytes, featuresNode, type Graph, inputShape, nodeOf, outputNode } from "./graph.ts";
import { centreView, type Pixels, pixelAffine, planView, type View } from "./image.ts";
import type { Build } from "./kernels.ts";
import { type Model, type ModelOptions, type Source, withModel } from "./model.ts";
import { classCount, type OutputKind, probabilitiesOf } from "./output.ts";
import { align, type Plan, plan, type WeightPlan } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { run, runStep, step, type Tape } from "./tape.ts";
import { allFinite } from "./tensor.ts";
import type { Vectors } from "./variants.ts";
import { type Views, viewsOf } from "./views.ts";
import { packWeights } from "./weights.ts";

export interface LoadOptions extends ModelOptions, BuildOptions {}

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

export interface ClassifyOptions {
  /** How many classes are given at most; 5 when absent. */
  readonly topK?: number;
  /** Where classes do not exclude each other: those of at least this probability are given; 0.5 when absent. */
  readonly threshold?: number;
  /** A limit for encoded images, in pixels. */
  readonly maxPixels?: number;
}

/** Images computed at once; a longer batch is cut up. Memory for activations grows with it. */
const BATCH = 8;
/** Plans cached, one for each batch, input size and set of outputs. */
const PLANS = 4;
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
  return withModel(runtime, source, options, (model) => loadModel(runtime, model, options));
}

/**
 * Makes a classifier from an opened model. The model stays open: it is the caller's to close, or to read again.
 *
 * @throws ModelError when a weight is missing, short or not finite; OptionError when memory or an option is out of range
 */
export async function loadModel(runtime: Runtime, model: Model, options: BuildOptions = {}): Promise<Classifier> {
  checkBuildOptions(options);
  const graph = fold(model.graph);
  const { packed } = model.checkpoint;
  const choice = await chooseHere(runtime, graph, options, packed);
  const { target, weights } = choice;
  const room = { bytes: weights.end + SHARED_ROOM, plans: PLANS };
  const engine = await createEngine<Forward>(runtime, model.source, target, room);
  await packWeights(model.source, graph, weights, model.checkpoint, engine.kernels, options.signal);
  await engine.start(runtime);
  const guesses = [...model.guesses, ...repackingOf(packed, choice)];
  return new Classifier(runtime, { ...model, guesses }, graph, weights, engine);
}

/** A plan as an engine caches it. */
interface Forward extends Plan {
  readonly tapes: readonly [Tape];
}

/** A loaded model. Calls made at once are queued; each has the memory to itself. */
export class Classifier {
  readonly model: Model;
  readonly #runtime: Runtime;
  readonly #graph: Graph;
  readonly #weights: WeightPlan;
  readonly #engine: Engine<Forward>;

  /** For `loadModel`: everything is checked and packed already. */
  constructor(runtime: Runtime, model: Model, graph: Graph, weights: WeightPlan, engine: Engine<Forward>) {
    this.model = model;
    this.#runtime = runtime;
    this.#graph = graph;
    this.#weights = weights;
    this.#engine = engine;
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
    return this.#engine.kernels.memory.buffer.byteLength;
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
    { topK = 5, threshold, maxPixels }: ClassifyOptions = {},
  ): Promise<readonly Prediction[]> {
    if (!Number.isInteger(topK) || topK < 1) {
      throw new OptionError("topK", expectedGot("topK", "a whole number from 1", `${topK}`));
    }
    if (threshold !== undefined && !(threshold >= 0 && threshold <= 1)) {
      throw new OptionError("threshold", expectedGot("threshold", "a number from 0 to 1", `${threshold}`));
    }
    const kind = this.#classKind();
    const { labels } = this.model;
    const logits = await this.#one(image, outputNode(this.#graph).name, maxPixels);
    const probabilities = Float32Array.from(probabilitiesOf(kind, logits, classCount(logits.length, labels)));
    const least = threshold ?? (kind === "sigmoid" && logits.length > 1 ? 0.5 : 0);
    return [...probabilities.keys()]
      .filter((index) => probabilities[index]! >= least)
      .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
      .slice(0, topK)
      .map((index) => ({ index, label: labels[index] ?? `${index}`, probability: probabilities[index]! }));
  }

  /**
   * Probabilities of every class, averaged over several views of one image.
   *
   * @returns `[classes]`: they sum to 1, unless classes do not exclude each other; two for one logit with two labels
   * @throws as `classify`; OptionError for views that cannot be had
   */
  async probabilities(image: ImageInput, views: Views = {}): Promise<Float32Array> {
    const kind = this.#classKind();
    return this.#withPixels(image, async (pixels) => {
      const seen = viewsOf(pixels, this.model.preprocess, views);
      const { name, shape } = outputNode(this.#graph);
      const classes = classCount(shape[2], this.model.labels);
      const sums = new Float64Array(classes);
      for (const view of seen) {
        const logits = await this.#forward(name, shape[2], (kept) => this.#prepare(pixels, kept, view));
        probabilitiesOf(kind, logits, classes).forEach((part, i) => {
          sums[i]! += part;
        });
      }
      return Float32Array.from(sums, (sum) => sum / seen.length);
    });
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
    return this.#alone(async () => {
      const columns = nodeOf(this.#graph, name).shape[2];
      const data = new Float32Array(n * columns);
      const each = h * w * c;
      for (let first = 0; first < n; first += BATCH) {
        const count = Math.min(BATCH, n - first);
        const batch = images.data.subarray(first * each, (first + count) * each);
        const values = await this.#forward(name, count * columns, (kept) => this.#write(count, h, w, batch, kept));
        data.set(values, first * columns);
      }
      return { data, shape: [n, columns] };
    });
  }

  /**
   * The pooled features of one image, or of preprocessed images: what the last layer classifies.
   *
   * @returns `[1, channels]`, or `[n, channels]`
   */
  async features(image: ImageInput | ImageTensor): Promise<Matrix> {
    if (typeof image === "object" && image !== null && "shape" in image) return this.#batches(image, this.#pooled());
    const data = await this.#one(image, this.#pooled());
    return { data, shape: [1, data.length] };
  }

  /**
   * The outputs of some of the network's nodes for one image, in real numbers: what they are after folding.
   *
   * @param names of nodes
   * @returns by name, `[h, w, c]`
   * @throws RangeError for a name the folded network does not have
   */
  async activations(image: ImageInput, names: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    const nodes = names.map((name) => nodeOf(this.#graph, name));
    return this.#withPixels(image, async (pixels) => {
      const forward = this.#prepare(pixels, names);
      await this.#engine.run(forward.tape);
      return new Map(nodes.map(({ name, shape: [h, w, c] }) => [name, this.#values(forward, name, h * w * c)]));
    });
  }

  /**
   * Runs a blank image until the engine's optimising compiler has caught up: three runs in a row no more than 3 % faster
   * than the best, or 30 in all. Calls after it run at full speed.
   *
   * @returns milliseconds of the first run and of the best
   */
  async warmup(): Promise<{ readonly firstMs: number; readonly warmMs: number }> {
    return this.#alone(async () => {
      const [h, w, c] = inputShape(this.#graph);
      const forward = this.#write(1, h, w, new Float32Array(h * w * c));
      let [firstMs, warmMs] = [0, Number.POSITIVE_INFINITY];
      for (let i = 0, still = 0; i < 30 && still < 3; ++i) {
        const start = performance.now();
        await this.#engine.run(forward.tape);
        const ms = performance.now() - start;
        if (i === 0) firstMs = ms;
        still = ms < 0.97 * warmMs ? 0 : still + 1;
        warmMs = Math.min(warmMs, ms);
      }
      return { firstMs, warmMs };
    });
  }

  /** The preprocessed image, as `logits` takes it. */
  async preprocess(image: ImageInput): Promise<ImageTensor> {
    return this.#withPixels(image, async (pixels) => {
      const forward = this.#prepare(pixels);
      const [h, w, c] = forward.input;
      return { data: this.#values(forward, "input", h * w * c), shape: [1, h, w, c] };
    });
  }

  /** Gives back the instance, its memory and its threads. Calls made before it finish; calls after it fail. */
  dispose(): Promise<void> {
    return this.#engine.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** A call that has the memory to itself. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#engine.call(() => this.#engine.exclusive(work));
  }

  /** A call about one image, which is decoded before it has the memory to itself. */
  #withPixels<T>(image: ImageInput, work: (pixels: Pixels) => Promise<T>, maxPixels?: number): Promise<T> {
    return this.#engine.call(() => {
      return withPixels(image, this.#runtime, maxPixels, (pixels) => this.#engine.exclusive(() => work(pixels)));
    });
  }

  /** One node's output for one image. */
  #one(image: ImageInput, name: string, maxPixels?: number): Promise<Float32Array> {
    const [, , columns] = nodeOf(this.#graph, name).shape;
    const work = (pixels: Pixels): Promise<Float32Array> =>
      this.#forward(name, columns, (kept) => this.#prepare(pixels, kept));
    return this.#withPixels(image, work, maxPixels);
  }

  /**
   * One node's output.
   *
   * @param enter writes the input, and returns the plan for it, which keeps these nodes' outputs
   * @throws ModelError that names the first node whose output is not finite
   */
  async #forward(name: string, count: number, enter: (kept: readonly string[]) => Forward): Promise<Float32Array> {
    const forward = enter([]);
    await this.#engine.run(forward.tape);
    const values = this.#values(forward, name, count);
    if (allFinite(values)) return values;
    // The same again, with every output kept: which was the first?
    const names = this.#graph.nodes.map((node) => node.name);
    let [culprit, got] = [name, values.find((value) => !Number.isFinite(value))!];
    try {
      const whole = enter(names);
      await this.#engine.run(whole.tape);
      const size = (node: string): number => nodeOf(this.#graph, node).shape.reduce((a, b) => a * b, whole.batch);
      culprit = names.find((node) => !allFinite(this.#values(whole, node, size(node)))) ?? name;
    } catch (error) {
      // Without memory for every output, the last one is named.
      if (!(error instanceof RangeError || error instanceof ModelError || error instanceof ImageError)) throw error;
    }
    if (culprit === "input") throw new OptionError("images", expectedGot("images", "finite numbers", `${got}`));
    const where = `${this.model.source}: "${culprit}"`;
    const hint = "its weights, or those before it, are damaged, or too large for f32";
    throw new ModelError("not-finite", expectedGot(where, "finite numbers", `${got}`, hint), { subject: culprit });
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

  /** The plan for a batch and input size, with memory for it. */
  #plan(batch: number, h: number, w: number, kept: readonly string[] = []): Forward {
    return this.#engine.plan(`${batch}×${h}×${w} ${kept.join(" ")}`, () => {
      const { target } = this.#engine;
      const [, , c] = inputShape(this.#graph);
      const made = plan(this.#graph, this.#weights, target, batch, [h, w, c], [this.#pooled(), ...kept]);
      return { ...made, tapes: [made.tape] };
    });
  }

  /** Writes preprocessed images, `[batch, h, w, c]`, into the input of the returned plan. */
  #write(batch: number, h: number, w: number, images: Float32Array, kept: readonly string[] = []): Forward {
    const engine = this.#engine;
    const forward = this.#plan(batch, h, w, kept);
    const input = forward.addresses.get("input")!;
    if (this.#graph.nodes[0]!.int8 === undefined) {
      engine.floats(input, images.length).set(images);
      return forward;
    }
    // No activation is needed any more: the images may overwrite them until they are bytes.
    // The kernel takes pixels of three channels; gray ones go three at a time, which may be two more than there are.
    const affine = align(input + images.length + 2);
    const staged = align(affine + 96);
    engine.reserve(staged + 4 * (images.length + 2));
    const numbers = pixelAffine(this.model.preprocess);
    const channels = numbers.length / 2;
    const each = Array.from({ length: 12 }, (_, i) => i % channels);
    engine.floats(affine, 24).set([...each.map((i) => numbers[i]!), ...each.map((i) => numbers[channels + i]!)]);
    engine.floats(staged, images.length).set(images);
    const [rows, c] = channels === 3 ? [batch * h, w] : [1, Math.ceil(images.length / 3)];
    const quantize = step("input", "quantize_i8", rows, { c, input: staged, affine, out: input });
    runStep(engine.kernels.exports, quantize);
    return forward;
  }

  /** The first `count` numbers of a node's output in a plan that has just run, whatever its element. */
  #values(forward: Forward, name: string, count: number): Float32Array {
    const node = nodeOf(this.#graph, name);
    const address = forward.addresses.get(name)!;
    const unit = node.int8?.scale;
    if (unit === undefined) return this.#engine.floats(address, count).slice();
    const bytes = new Int8Array(this.#engine.kernels.memory.buffer, address, count);
    if (node.op !== "input") return Float32Array.from(bytes, (value) => value * unit);
    const affine = pixelAffine(this.model.preprocess);
    const channels = affine.length / 2;
    return Float32Array.from(bytes, (value, i) => (value - affine[channels + (i % channels)]!) / affine[i % channels]!);
  }

  /** Resizes, crops and normalises one image into the input of the returned plan. */
  #prepare(pixels: Pixels, kept: readonly string[] = [], seen?: View): Forward {
    const engine = this.#engine;
    const { preprocess } = this.model;
    const view = seen ?? centreView(pixels, preprocess);
    const { width: w, height: h } = view;
    const forward = this.#plan(1, h, w, kept);
    const [node] = this.#graph.nodes;
    const recipe = planView(pixels, view, preprocess, node!.int8 !== undefined);
    // No activation is needed any more but the input: the staging area may overwrite the others.
    const input = forward.addresses.get("input")!;
    const staging = align(input + h * w * 3 * elementBytes(node!));
    try {
      engine.reserve(staging + recipe.bytes);
    } catch (cause) {
      throw new ImageError("memory", (cause as Error).message, { cause });
    }
    const { tables, steps } = recipe.place(staging, input);
    for (const { address, bytes } of tables) engine.bytes(address, bytes.length).set(bytes);
    run(engine.kernels.exports, steps);
    return forward;
  }
}
