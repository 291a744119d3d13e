/**
 * Images → outputs of nodes: decoding, preparing, planning and running one network. What is to be done is a job, plain data,
 * so that it is done alike in the caller's thread and in a replica.
 */
import { letEventsRun } from "./abort.ts";
import type { Decoders } from "./decode/image.ts";
import type { Photo } from "./decode/input.ts";
import type { DecodeMode, Picture, Wanted } from "./decode/wanted.ts";
import type { Engine } from "./engine.ts";
import { expectedGot, ImageError, ModelError, OptionError } from "./errors.ts";
import { elementBytes, featuresNode, type Graph, inputShape, nodeOf } from "./graph.ts";
import type { Pixels, View } from "./image.ts";
import type { photoTools } from "./photos.ts";
import { pixelAffine } from "./pixels.ts";
import { align, type Plan, plan, STATIC_BYTES, type WeightPlan } from "./plan.ts";
import type { Preprocess } from "./preprocess.ts";
import { type Kernels, runStep, step, type Tape } from "./tape.ts";
import { allFinite } from "./tensor.ts";
import type { Views } from "./views.ts";
import { ensureMemory } from "./weights.ts";

/** A network whose weights are packed. */
export interface Packed {
  /** For errors: where it came from. */
  readonly source: string;
  /** Folded. */
  readonly graph: Graph;
  readonly weights: WeightPlan;
  readonly preprocess: Preprocess;
}

/** How a photo is read. */
export interface Reading {
  readonly decode: DecodeMode;
  readonly maxPixels?: number | undefined;
  readonly maxDecodeBytes?: number | undefined;
  /** Takes a JPEG that is cut short for what is there of it. */
  readonly truncated?: boolean | undefined;
}

/** What can be asked of a network, about one image or about a batch. */
export type Job =
  /** The output of a node `[1, 1, columns]` for each view of an image. */
  | {
      readonly kind: "views";
      readonly photo: Photo;
      readonly reading: Reading;
      readonly views: Views;
      readonly node: string;
    }
  /** The outputs of these nodes for an image, then the image's width and height. */
  | {
      readonly kind: "activations";
      readonly photo: Photo;
      readonly reading: Reading;
      readonly names: readonly string[];
    }
  /** The preprocessed image. */
  | { readonly kind: "input"; readonly photo: Photo; readonly reading: Reading }
  /** The output of a node `[1, 1, columns]` for preprocessed images `[n, h, w, c]`. */
  | {
      readonly kind: "batch";
      readonly data: Float32Array;
      readonly shape: readonly [n: number, h: number, w: number];
      readonly node: string;
    };

/** A plan as an engine caches it. */
export interface Forward extends Plan {
  readonly tapes: readonly [Tape];
}

/** Plans cached, one for each batch, input size and set of outputs. */
export const PLANS = 4;

/** Whether the centre crop is all that is seen. */
function isCentre({ crops = 1, scales = [] }: Views): boolean {
  return crops === 1 && scales.length === 0;
}

/** Runs one network over one engine. */
export class ForwardPass {
  readonly #packed: Packed;
  readonly #engine: Engine<Forward>;
  readonly #decoders: Decoders;
  readonly #staging: Kernels | undefined;
  /** Imported for the first photo. */
  #tools: typeof photoTools | undefined;

  /** @param staging where images are prepared; behind the input, where no activation is needed any more, when absent */
  constructor(packed: Packed, engine: Engine<Forward>, decoders: Decoders, staging?: Kernels) {
    this.#packed = packed;
    this.#engine = engine;
    this.#decoders = decoders;
    this.#staging = staging;
  }

  /**
   * Does a job. Images are decoded at once; then jobs have the memory one after the other.
   *
   * @throws ImageError for an image that cannot be decoded; ModelError with the code `not-finite` where numbers overflow;
   * OptionError for views that cannot be had, or numbers that are not finite; the signal's reason when it has aborted before
   * the job's turn
   */
  async do(job: Job, signal?: AbortSignal): Promise<readonly Float32Array[]> {
    // Before its turn, not in it: in a Worker whose client hangs up nothing is woken any more, and others wait for the turn's end.
    await letEventsRun(signal);
    if (job.kind === "batch") {
      return this.#engine.exclusive(async () => {
        signal?.throwIfAborted();
        return [await this.#batch(job)];
      });
    }
    const { photoTools } = await import("./photos.ts");
    this.#tools = photoTools;
    const { photo, reading } = job;
    const { decode, ...limits } = reading;
    const wanted = job.kind === "views" && !isCentre(job.views) ? undefined : this.#centre(decode);
    return photoTools.withPicture(photo, this.#decoders, { ...limits, wanted }, (picture) =>
      this.#engine.exclusive(async () => {
        signal?.throwIfAborted();
        if (job.kind === "input") return [this.#input(picture)];
        return job.kind === "views" ? this.#views(picture, job) : this.#activations(picture, job.names);
      }),
    );
  }

  /** What is seen of a photo by its centre crop: a decoder may make that alone. */
  #centre(decode: DecodeMode): Wanted {
    const { preprocess } = this.#packed;
    return {
      view: (size) => this.#tools!.centreView(size, preprocess),
      filter: preprocess.filter,
      gray: preprocess.order === "gray",
      decode,
    };
  }

  async #views(
    { pixels, view: made }: Picture,
    { views, node }: Extract<Job, { kind: "views" }>,
  ): Promise<readonly Float32Array[]> {
    const [, , columns] = nodeOf(this.#packed.graph, node).shape;
    const outputs: Float32Array[] = [];
    for (const view of made === undefined ? this.#tools!.viewsOf(pixels, this.#packed.preprocess, views) : [made]) {
      outputs.push(await this.#forward(node, columns, (kept) => this.#prepare(pixels, kept, view)));
    }
    return outputs;
  }

  async #activations({ size, pixels, view }: Picture, names: readonly string[]): Promise<readonly Float32Array[]> {
    const forward = this.#prepare(pixels, names, view);
    await this.#engine.run(forward.tape);
    const outputs = names.map((name) => {
      const [h, w, c] = nodeOf(this.#packed.graph, name).shape;
      return this.#values(forward, name, h * w * c);
    });
    return [...outputs, Float32Array.of(size.width, size.height)];
  }

  #input({ pixels, view }: Picture): Float32Array {
    const forward = this.#prepare(pixels, [], view);
    const [h, w, c] = forward.input;
    return this.#values(forward, "input", h * w * c);
  }

  async #batch({ data, shape: [n, h, w], node }: Extract<Job, { kind: "batch" }>): Promise<Float32Array> {
    const [, , columns] = nodeOf(this.#packed.graph, node).shape;
    return this.#forward(node, n * columns, (kept) => this.#write(n, h, w, data, kept));
  }

  /**
   * One node's output.
   *
   * @param enter writes the input, and returns the plan for it, which keeps these nodes' outputs
   * @throws ModelError that names the first node whose output is not finite
   */
  async #forward(name: string, count: number, enter: (kept: readonly string[]) => Forward): Promise<Float32Array> {
    const { graph, source } = this.#packed;
    const forward = enter([]);
    await this.#engine.run(forward.tape);
    const values = this.#values(forward, name, count);
    if (allFinite(values)) return values;
    // The same again, with every output kept: which was the first?
    const names = graph.nodes.map((node) => node.name);
    let [culprit, got] = [name, values.find((value) => !Number.isFinite(value))!];
    try {
      const whole = enter(names);
      await this.#engine.run(whole.tape);
      const size = (node: string): number => nodeOf(graph, node).shape.reduce((a, b) => a * b, whole.batch);
      culprit = names.find((node) => !allFinite(this.#values(whole, node, size(node)))) ?? name;
    } catch (error) {
      // Without memory for every output, the last one is named.
      if (!(error instanceof RangeError || error instanceof ModelError || error instanceof ImageError)) throw error;
    }
    if (culprit === "input") throw new OptionError("images", expectedGot("images", "finite numbers", `${got}`));
    const hint = "its weights, or those before it, are damaged, or too large for f32";
    const message = expectedGot(`${source}: "${culprit}"`, "finite numbers", `${got}`, hint);
    throw new ModelError("not-finite", message, { subject: culprit });
  }

  /** The plan for a batch and input size, with memory for it. */
  #plan(batch: number, h: number, w: number, kept: readonly string[] = []): Forward {
    const { graph, weights } = this.#packed;
    return this.#engine.plan(`${batch}×${h}×${w} ${kept.join(" ")}`, () => {
      const { target, region } = this.#engine;
      const [, , c] = inputShape(graph);
      const before = region === undefined ? weights : { ...weights, end: region.base };
      const made = plan(graph, before, target, batch, [h, w, c], [featuresNode(graph).name, ...kept]);
      return { ...made, tapes: [made.tape] };
    });
  }

  /**
   * Writes an input by kernels.
   *
   * @param input where, and of how many bytes
   * @param bytes that it takes beside
   * @param write gets the kernels, where to write the input and where those bytes are
   */
  #make(
    [input, size]: readonly [address: number, bytes: number],
    bytes: number,
    write: (kernels: Kernels, out: number, base: number) => void,
  ): void {
    const kernels = this.#staging ?? this.#engine.kernels;
    const out = this.#staging === undefined ? input : STATIC_BYTES;
    const base = align(out + size);
    ensureMemory(kernels.memory, base + bytes);
    write(kernels, out, base);
    if (this.#staging !== undefined) {
      this.#engine.bytes(input, size).set(new Uint8Array(kernels.memory.buffer, out, size));
    }
  }

  /** Writes preprocessed images, `[batch, h, w, c]`, into the input of the returned plan. */
  #write(batch: number, h: number, w: number, images: Float32Array, kept: readonly string[] = []): Forward {
    const forward = this.#plan(batch, h, w, kept);
    const input = forward.addresses.get("input")!;
    if (this.#packed.graph.nodes[0]!.int8 === undefined) {
      this.#engine.floats(input, images.length).set(images);
      return forward;
    }
    // The kernel takes pixels of three channels; gray ones go three at a time, which may be two more than there are.
    const count = images.length;
    const numbers = pixelAffine(this.#packed.preprocess);
    const channels = numbers.length / 2;
    const [rows, c] = channels === 3 ? [batch * h, w] : [1, Math.ceil(count / 3)];
    this.#make([input, count], align(2) + align(96) + 4 * (count + 2), ({ memory, exports }, out, base) => {
      const affine = align(base + 2);
      const staged = align(affine + 96);
      const each = Array.from({ length: 12 }, (_, i) => i % channels);
      const scales = [...each.map((i) => numbers[i]!), ...each.map((i) => numbers[channels + i]!)];
      new Float32Array(memory.buffer, affine, 24).set(scales);
      new Float32Array(memory.buffer, staged, count).set(images);
      runStep(exports, step("input", "quantize_i8", rows, { c, input: staged, affine, out }));
    });
    return forward;
  }

  /** The first `count` numbers of a node's output in a plan that has just run, whatever its element. */
  #values(forward: Forward, name: string, count: number): Float32Array {
    const node = nodeOf(this.#packed.graph, name);
    const address = forward.addresses.get(name)!;
    const unit = node.int8?.scale;
    if (unit === undefined) return this.#engine.floats(address, count).slice();
    const values = new Float32Array(new Int8Array(this.#engine.kernels.memory.buffer, address, count));
    if (node.op !== "input") return values.map((value) => value * unit);
    const affine = pixelAffine(this.#packed.preprocess);
    const channels = affine.length / 2;
    return values.map((value, i) => (value - affine[channels + (i % channels)]!) / affine[i % channels]!);
  }

  /** Resizes, crops and normalises one image into the input of the returned plan. */
  #prepare(pixels: Pixels, kept: readonly string[] = [], seen?: View): Forward {
    const { graph, preprocess } = this.#packed;
    const view = seen ?? this.#tools!.centreView(pixels, preprocess);
    const { width: w, height: h } = view;
    const forward = this.#plan(1, h, w, kept);
    const input = nodeOf(graph, "input");
    const recipe = this.#tools!.planView(pixels, view, preprocess, input.int8 !== undefined);
    const size = h * w * input.shape[2] * elementBytes(input);
    try {
      this.#make([forward.addresses.get("input")!, size], recipe.bytes, (kernels, out, base) => {
        this.#tools!.prepareImage(kernels, recipe, base, out);
      });
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new ImageError("memory", cause.message, { cause });
    }
    return forward;
  }
}
