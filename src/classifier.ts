/**
 * The first story: pixels → labels. A classifier owns one wasm instance: its memory goes when it is disposed.
 */
import { type ByteSource, release } from "./bytes.ts";
import { type ImageInput, toPixels } from "./decode/input.ts";
import { measureDotThroughput } from "./dot-throughput.ts";
import { expectedGot, OptionError } from "./errors.ts";
import { fold } from "./fold.ts";
import { elementBytes, type Graph, inputShape, nodeOf, outputNode } from "./graph.ts";
import { centreView, checkPixels, type Pixels, pixelAffine, planView, type View } from "./image.ts";
import { type Build, type Kernels, loadKernels, pickBuild } from "./kernels.ts";
import { type Model, type ModelOptions, openModel } from "./model.ts";
import { align, defaultMemory, fitWeights, type Plan, plan, type WeightPlan } from "./plan.ts";
import type { Runtime } from "./runtime.ts";
import { run, runStep, step } from "./tape.ts";
import { startTeam, type Team } from "./threads.ts";
import type { Tuning } from "./variants.ts";
import { type Views, viewsOf } from "./views.ts";
import { ensureMemory, packWeights } from "./weights.ts";

export interface LoadOptions extends ModelOptions {
  /** Which kernels; `auto` takes relaxed SIMD where the engine has it and gets it right. */
  readonly build?: Build | "auto";
  /**
   * Bytes of wasm memory for weights and the activations of one image: a smaller budget gives up speed. Twice the f32
   * weights when absent, and at least 180 MB. Batches and decoded photos come on top.
   */
  readonly memory?: number;
  /** `false` computes every convolution by direct sums: slower, and about two digits closer to exact. */
  readonly winograd?: boolean;
  /** Times that `tune` measured on this machine: they replace estimates when algorithms are chosen. */
  readonly tuning?: Tuning;
  /** Workers that share the computing; 1, the default, needs no workers and no shared memory. */
  readonly threads?: number;
}

/** A batch of preprocessed images: `shape` `[n, h, w, 3]`, `data` in that order. */
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
  /** Softmax of the logits, 0…1. */
  readonly probability: number;
}

/** Images computed at once; a longer batch is cut up. Memory for activations grows with it. */
const BATCH = 8;
/** Plans kept, one for each batch and input size seen lately. */
const PLANS = 4;

/**
 * Loads a model.
 *
 * @param source a short name (`resnet50`), a path, `npm:package@version/path`, or the bytes of a safetensors file
 * @throws ModelError when there is no model or it is not what it says; RangeError when memory or an option is out of range
 */
export async function loadWith(
  runtime: Runtime,
  source: string | Uint8Array | ByteSource,
  options: LoadOptions = {},
): Promise<Classifier> {
  const model = await openModel(source, options, runtime);
  try {
    const graph = fold(model.graph);
    const threads = options.threads ?? 1;
    if (!Number.isInteger(threads) || threads < 1) {
      throw new OptionError("threads", expectedGot("threads", "a whole number from 1", `${threads}`));
    }
    const target = { build: pickBuild(options.build), threads };
    const { tuning, winograd = true, memory = defaultMemory(graph) } = options;
    if (tuning !== undefined && tuning.build !== target.build) {
      throw new OptionError(
        "tuning",
        expectedGot("tuning", `one for the ${target.build} build`, `one for ${tuning.build}`, "tune again"),
      );
    }
    const isInt8 = graph.nodes[0]!.int8 !== undefined;
    const dots = isInt8 ? await measureDotThroughput(runtime, target.build) : undefined;
    const budget = { memory, winograd, tuning, dots };
    const weights = fitWeights(graph, target.build, budget, outputNode(graph).inputs);
    const kernels = await loadKernels(runtime, target.build, newMemory(weights.end, threads > 1));
    await packWeights(model.source, graph, weights, model.checkpoint, kernels, options.signal);
    const team = threads > 1 ? await startTeam(runtime, kernels.module, kernels.memory, threads) : undefined;
    return new Classifier(runtime, model, graph, weights, kernels, team);
  } finally {
    await model.checkpoint.close();
  }
}

/** Address space beyond the weights that shared memory, which needs a limit, leaves for activations and photos. */
const SHARED_ROOM = 512 * 2 ** 20;

/** A memory that can hold at least `bytes`; a shared one cannot grow much further. */
function newMemory(bytes: number, shared: boolean): WebAssembly.Memory {
  if (!shared) return new WebAssembly.Memory({ initial: 1 });
  if (typeof SharedArrayBuffer === "undefined") {
    const hint = "a page must be cross-origin isolated (COOP and COEP headers) for more than one thread";
    throw new OptionError("threads", expectedGot("threads", "1 where there is no shared memory", "more", hint));
  }
  return new WebAssembly.Memory({ initial: 1, maximum: Math.ceil((bytes + SHARED_ROOM) / 65536), shared: true });
}

/** A plan, and its number in the team where there is one. */
interface Fitted extends Plan {
  readonly id: number | undefined;
}

/** A loaded model. Calls made at once are queued; each has the memory to itself. */
export class Classifier {
  readonly model: Model;
  readonly #runtime: Runtime;
  readonly #graph: Graph;
  readonly #weights: WeightPlan;
  readonly #plans = new Map<string, Fitted>();
  readonly #team: Team | undefined;
  #kernels: Kernels | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  /** For `loadWith`: everything is checked and packed already. */
  constructor(
    runtime: Runtime,
    model: Model,
    graph: Graph,
    weights: WeightPlan,
    kernels: Kernels,
    team: Team | undefined,
  ) {
    this.model = model;
    this.#runtime = runtime;
    this.#graph = graph;
    this.#weights = weights;
    this.#kernels = kernels;
    this.#team = team;
  }

  /** The kernels in use. */
  get build(): Build {
    return this.#live().build;
  }

  /** Bytes of wasm memory held now. */
  get memoryBytes(): number {
    return this.#live().memory.buffer.byteLength;
  }

  /**
   * The most probable classes of one image, best first.
   *
   * @throws TypeError for something that is no image; RangeError for a `topK` below 1; Error naming an image that
   * cannot be decoded
   */
  async classify(
    image: ImageInput,
    { topK = 5, maxPixels }: { readonly topK?: number; readonly maxPixels?: number } = {},
  ): Promise<readonly Prediction[]> {
    if (!Number.isInteger(topK) || topK < 1)
      throw new OptionError("topK", expectedGot("topK", "a whole number from 1", `${topK}`));
    const pixels = await this.#pixels(image, maxPixels);
    return this.#alone(async () => {
      const logits = await this.#runPixels(pixels, outputNode(this.#graph).name);
      if (pixels !== image) release(pixels.data);
      return this.#best(logits, topK);
    });
  }

  /**
   * Probabilities of every class, averaged over several views of one image.
   *
   * @returns `[classes]`, which sum to 1
   * @throws as `classify`; RangeError for views that cannot be had
   */
  async probabilities(image: ImageInput, views: Views = {}): Promise<Float32Array> {
    const pixels = await this.#pixels(image);
    const { preprocess } = this.model;
    checkPixels(pixels);
    return this.#alone(async () => {
      const seen = viewsOf(pixels, preprocess, views);
      const output = outputNode(this.#graph);
      const sums = new Float64Array(output.shape[2]);
      for (const view of seen) {
        const fitted = this.#prepare(pixels, [], view);
        await this.#run(fitted);
        softmax(this.#values(fitted, output.name, output.shape[2])).forEach((part, i) => {
          sums[i]! += part;
        });
      }
      return Float32Array.from(sums, (sum) => sum / seen.length);
    });
  }

  /**
   * Logits of preprocessed images.
   *
   * @param images `[n, h, w, 3]` f32, any height and width the network leaves pixels of
   * @returns `[n, classes]`
   * @throws RangeError when shape and data disagree
   */
  async logits(images: ImageTensor): Promise<Matrix> {
    return this.#batches(images, outputNode(this.#graph).name);
  }

  /** What a node of shape `[1, 1, columns]` makes of preprocessed images. */
  #batches(images: ImageTensor, name: string): Promise<Matrix> {
    const [n, h, w, c] = images.shape;
    const size = n * h * w * c;
    if (c !== 3 || ![n, h, w].every((side) => Number.isInteger(side) && side > 0) || size !== images.data.length) {
      throw new OptionError(
        "images",
        expectedGot("images", "[n, h, w, 3] with as many numbers", `[${images.shape}] with ${images.data.length}`),
      );
    }
    return this.#alone(async () => {
      const columns = nodeOf(this.#graph, name).shape[2];
      const data = new Float32Array(n * columns);
      const each = h * w * c;
      for (let first = 0; first < n; first += BATCH) {
        const count = Math.min(BATCH, n - first);
        const fitted = this.#plan(count, h, w);
        this.#enter(fitted, images.data.subarray(first * each, (first + count) * each));
        await this.#run(fitted);
        data.set(this.#values(fitted, name, count * columns), first * columns);
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
    const pixels = await this.#pixels(image);
    return this.#alone(async () => {
      const data = await this.#runPixels(pixels, this.#pooled());
      return { data, shape: [1, data.length] };
    });
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
    const pixels = await this.#pixels(image);
    return this.#alone(async () => {
      const fitted = this.#prepare(pixels, names);
      await this.#run(fitted);
      return new Map(nodes.map(({ name, shape: [h, w, c] }) => [name, this.#values(fitted, name, h * w * c)]));
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
      const [h, w] = inputShape(this.#graph);
      const fitted = this.#plan(1, h, w);
      this.#enter(fitted, new Float32Array(h * w * 3));
      let [firstMs, warmMs] = [0, Number.POSITIVE_INFINITY];
      for (let i = 0, still = 0; i < 30 && still < 3; ++i) {
        const start = performance.now();
        await this.#run(fitted);
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
    const pixels = await this.#pixels(image);
    return this.#alone(async () => {
      const fitted = this.#prepare(pixels);
      const [h, w, c] = fitted.input;
      const data = this.#values(fitted, "input", h * w * c);
      return { data, shape: [1, h, w, c] };
    });
  }

  /** Lets the instance and all its memory go. Calls after this one fail; those before it finish. */
  async dispose(): Promise<void> {
    await this.#queue;
    this.#team?.dispose();
    this.#kernels = undefined;
    this.#plans.clear();
  }

  #live(): Kernels {
    if (this.#kernels === undefined) {
      throw new Error(expectedGot(this.model.source, "a loaded model", "one that was disposed", "load it again"));
    }
    return this.#kernels;
  }

  /** Runs `work` when everything asked for before it is done. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #pixels(image: ImageInput, maxPixels?: number): Promise<Pixels> {
    this.#live();
    return toPixels(image, this.#runtime, maxPixels);
  }

  #pooled(): string {
    return outputNode(this.#graph).inputs[0]!;
  }

  /** The plan for a batch and input size, with memory for it. */
  #plan(batch: number, h: number, w: number, kept: readonly string[] = []): Fitted {
    const { build, memory } = this.#live();
    const key = `${batch}×${h}×${w} ${kept.join(" ")}`;
    let fitted = this.#plans.get(key);
    if (fitted === undefined) {
      const target = { build, threads: this.#team?.size ?? 1 };
      const made = plan(this.#graph, this.#weights, target, batch, [h, w, 3], [this.#pooled(), ...kept]);
      ensureMemory(memory, made.end);
      if (this.#plans.size === PLANS) this.#forget(this.#plans.keys().next().value!);
      fitted = { ...made, id: this.#team?.add(made.tape, made.scratchBytes) };
      this.#plans.set(key, fitted);
    }
    return fitted;
  }

  #forget(key: string): void {
    const id = this.#plans.get(key)?.id;
    if (id !== undefined) this.#team?.forget(id);
    this.#plans.delete(key);
  }

  async #run(fitted: Fitted): Promise<void> {
    if (fitted.id === undefined) run(this.#live().exports, fitted.tape);
    else await this.#team!.run(fitted.id);
  }

  #view(address: number, length: number): Float32Array {
    return new Float32Array(this.#live().memory.buffer, address, length);
  }

  /** Writes preprocessed images, `[batch, h, w, 3]`, into the input of a plan. */
  #enter(fitted: Fitted, images: Float32Array): void {
    const { memory, exports } = this.#live();
    const input = fitted.addresses.get("input")!;
    if (this.#graph.nodes[0]!.int8 === undefined) {
      this.#view(input, images.length).set(images);
      return;
    }
    // Activations are dead now: the images may lie over them until they are bytes.
    const affine = align(input + images.length);
    const staged = align(affine + 96);
    ensureMemory(memory, staged + 4 * images.length);
    const numbers = pixelAffine(this.model.preprocess);
    const each = Array.from({ length: 12 }, (_, i) => i % 3);
    this.#view(affine, 24).set([...each.map((i) => numbers[i]!), ...each.map((i) => numbers[3 + i]!)]);
    this.#view(staged, images.length).set(images);
    const [h, w] = fitted.input;
    runStep(exports, step("input", "quantize_i8", fitted.batch * h, { c: w, input: staged, affine, out: input }));
  }

  /** The first `count` numbers of a node's output, whatever its element. */
  #values(fitted: Fitted, name: string, count: number): Float32Array {
    const node = nodeOf(this.#graph, name);
    const address = fitted.addresses.get(name)!;
    const unit = node.int8?.step;
    if (unit === undefined) return this.#view(address, count).slice();
    const bytes = new Int8Array(this.#live().memory.buffer, address, count);
    if (node.op !== "input") return Float32Array.from(bytes, (value) => value * unit);
    const affine = pixelAffine(this.model.preprocess);
    return Float32Array.from(bytes, (value, i) => (value - affine[3 + (i % 3)]!) / affine[i % 3]!);
  }

  /** Resizes, crops and normalises one image into the input of the returned plan. */
  #prepare(pixels: Pixels, kept: readonly string[] = [], seen?: View): Fitted {
    const { memory, exports } = this.#live();
    const { preprocess } = this.model;
    checkPixels(pixels);
    const view = seen ?? centreView(pixels, preprocess);
    const { width: w, height: h } = view;
    const fitted = this.#plan(1, h, w, kept);
    const [node] = this.#graph.nodes;
    const recipe = planView(pixels, view, preprocess, node!.int8 !== undefined);
    // Activations are dead now, all but the input: the staging area may lie over them.
    const input = fitted.addresses.get("input")!;
    const staging = align(input + h * w * 3 * elementBytes(node!));
    ensureMemory(memory, staging + recipe.bytes);
    const { tables, steps } = recipe.place(staging, input);
    for (const { address, bytes } of tables) new Uint8Array(memory.buffer, address, bytes.length).set(bytes);
    run(exports, steps);
    return fitted;
  }

  async #runPixels(pixels: Pixels, name: string): Promise<Float32Array> {
    const fitted = this.#prepare(pixels);
    await this.#run(fitted);
    return this.#values(fitted, name, nodeOf(this.#graph, name).shape[2]);
  }

  #best(logits: Float32Array, topK: number): readonly Prediction[] {
    const { exports } = this.#live();
    const n = logits.length;
    // The output of the last run is free to be overwritten.
    const fitted = [...this.#plans.values()].at(-1)!;
    const address = fitted.addresses.get(outputNode(this.#graph).name)!;
    this.#view(address, n).set(logits);
    runStep(exports, step("softmax", "softmax_f32", 1, { n, input: address, out: address }));
    const probabilities = this.#view(address, n).slice();
    return [...probabilities.keys()]
      .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
      .slice(0, topK)
      .map((index) => ({
        index,
        label: this.model.labels[index] ?? `${index}`,
        probability: probabilities[index]!,
      }));
  }
}

/** Softmax in f64, shifted by the largest logit so that it never overflows. */
function softmax(logits: Float32Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const parts = Float64Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}
