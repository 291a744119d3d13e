/**
 * Training: a trainer owns one wasm instance: plain f32 weights, their gradients and the
 * optimizer's state, and the tapes that move them.
 */

import { letEventsRun, untilAborted } from "../abort.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { createEngine, type Engine } from "../engine.ts";
import { DivergedError, expectedGot, OptionError } from "../errors.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import { type Graph, outputNode } from "../graph.ts";
import type { Build } from "../kernels.ts";
import { paramsOf } from "../ops/ops.ts";
import type { Runtime } from "../runtime.ts";
import type { Tape } from "../tape.ts";
import { checkWeights, packWeights, readWeights } from "../weights.ts";
import { fromTorchOrder, toTorchOrder } from "./held.ts";
import {
  type Held,
  HYPER,
  isLive,
  layTraining,
  planStep,
  planTraining,
  type Region,
  type TrainLayout,
  type TrainPlan,
} from "./plan.ts";
import { type Settings, specOf, type TrainOptions } from "./spec.ts";
import { countImages, type Goals, type Targets, targetsOf } from "./targets.ts";
import { checkState, type Snapshot, type TrainerState } from "./trainer-state.ts";

/** A network and its weights: a `Model` is one. */
export interface Trainable {
  /** For messages. */
  readonly source: string;
  readonly graph: Graph;
  readonly checkpoint: Checkpoint;
}

export interface StepResult {
  /** Mean over the images. */
  readonly loss: number;
  /** Images whose label had the largest logit; of several labels, the sum of the shares of classes that were right. */
  readonly correct: number;
  /** Norm of all gradients together, before it was clipped. */
  readonly gradNorm: number;
}

export interface Evaluation {
  readonly loss: number;
  readonly correct: number;
  /** `[n, classes]`. */
  readonly logits: Float32Array;
}

/** Plans cached, one for each batch size and purpose. */
const PLANS = 8;
/** What a batch contributes to running statistics, as in PyTorch. */
const NORM_MOMENTUM = 0.1;

/** Address space beyond what was planned, for shared memory, which needs a limit: tensors on their way to be packed. */
const SHARED_ROOM = 64 * 2 ** 20;

/**
 * Makes a trainer of a network and its weights. The checkpoint is the trainer's from then on.
 *
 * @throws ModelError when the weights are not those of the network; RangeError when an option or memory is out of range
 */
export async function trainWith(
  runtime: Runtime,
  model: Trainable,
  options: TrainOptions = {},
  signal?: AbortSignal,
): Promise<Trainer> {
  const { spec: asked, settings } = specOf(model.graph, options);
  const spec = { ...asked, vectors: asked.vectors ?? (await runtime.measure?.vectors(asked.build)) ?? 128 };
  const { batch } = settings;
  checkWeights(model.source, model.graph, model.checkpoint);
  const layout = layTraining(model.graph, spec, batch);
  const { end } = planTraining(model.graph, spec, batch);
  if (end > 2 ** 32) {
    const hint = "use a smaller batch, or train fewer layers";
    throw new OptionError("memory", expectedGot("memory", "at most 4.3 GB", `${(end / 1e9).toFixed(1)} GB`, hint));
  }
  const target = { build: spec.build, threads: spec.threads };
  const engine = await createEngine<Training>(runtime, model.source, target, {
    bytes: end + SHARED_ROOM,
    plans: PLANS,
  });
  await packWeights(model.source, layout.prefix, layout.weights, model.checkpoint, engine.kernels, signal);
  engine.reserve(end);
  const trainer = new Trainer(model, layout, engine, settings);
  await trainer.fill(signal);
  await engine.start(runtime);
  return trainer;
}

/** A plan as an engine caches it. */
interface Training extends TrainPlan {
  readonly tapes: readonly Tape[];
}

/** A network in training. Calls made at once are queued. */
export class Trainer {
  /** The network as it was given. */
  readonly graph: Graph;
  /** Of the next step. */
  learningRate: number;
  /** Of all but the head, as a part of `learningRate`, in the next step; 0 leaves them as they are. */
  bodyRate = 1;
  readonly #model: Trainable;
  readonly #layout: TrainLayout;
  readonly #engine: Engine<Training>;
  readonly #settings: Settings;
  #step = 0;
  #batches = 0;

  /** For `trainWith`: everything is checked, and the frozen part packed. */
  constructor(model: Trainable, layout: TrainLayout, engine: Engine<Training>, settings: Settings) {
    this.graph = model.graph;
    this.learningRate = settings.learningRate;
    this.#model = model;
    this.#layout = layout;
    this.#engine = engine;
    this.#settings = settings;
  }

  /** Steps taken. */
  get steps(): number {
    return this.#step;
  }

  /** The kernels in use. */
  get build(): Build {
    return this.#engine.kernels.build;
  }

  /** Bytes of wasm memory held now. */
  get memoryBytes(): number {
    return this.#engine.kernels.memory.buffer.byteLength;
  }

  /** For `trainWith`: brings the weights that are not frozen into memory. */
  async fill(signal?: AbortSignal): Promise<void> {
    const { held, averages, trained, hyper, weights, end } = this.#layout;
    const { source, checkpoint } = this.#model;
    // Packing the frozen part has left its scratch here.
    this.#bytes({ address: weights.end, bytes: end - weights.end }).fill(0);
    for (const [name, each] of held) {
      await letEventsRun(signal);
      this.#put(each, await untilAborted(readWeights(source, checkpoint, name), signal));
    }
    if (averages !== undefined) this.#bytes(averages).set(this.#bytes(trained));
    const { ema } = this.#settings;
    this.#engine.floats(hyper, HYPER.count)[HYPER.momentum] = NORM_MOMENTUM;
    this.#engine.floats(hyper, HYPER.count)[HYPER.average] = ema === undefined ? 0 : 1 - ema;
  }

  /**
   * One step of the optimizer, with the gradient of the mean loss over all images.
   *
   * @param images `[n, h, w, c]` f32 of the network's input size, `n` from 1 to `batch · accumulate`; with live norms one
   * more, so that no batch has one image only
   * @throws OptionError when images and labels do not fit; DivergedError when loss or gradients are not finite: the weights are then
   * those of the step before
   */
  async step(images: Float32Array, labels: Targets): Promise<StepResult> {
    const { batch, accumulate } = this.#settings;
    const total = countImages(
      this.graph,
      this.#layout.spec.loss,
      images,
      labels,
      batch * accumulate + (this.#layout.spec.live ? 1 : 0),
    );
    const rate = this.learningRate;
    if (!(rate >= 0 && rate < Number.POSITIVE_INFINITY)) {
      throw new OptionError("learningRate", expectedGot("learningRate", "a number from 0", `${rate}`));
    }
    return this.#alone(async () => {
      const { gradients, hyper } = this.#layout;
      this.#bytes(gradients).fill(0);
      const goals = targetsOf(labels, this.#goals(this.#settings.classWeights));
      let [loss, correct] = [0, 0];
      let plan: Training | undefined;
      for (const { first, count } of this.#batchesOf(total)) {
        if (plan !== undefined) await this.#commit(plan);
        plan = this.#plan(count, total, "train");
        const part = await this.#compute(plan, images, goals, first);
        loss += part.loss;
        correct += part.correct;
        if (!Number.isFinite(loss)) throw this.#diverged("loss", loss);
      }
      const gradNorm = this.#engine.floats(hyper, HYPER.count)[HYPER.norm]!;
      if (!Number.isFinite(gradNorm)) throw this.#diverged("gradients", gradNorm);
      this.#setRates(rate);
      await this.#commit(plan!);
      await this.#engine.run(this.bodyRate === 0 ? plan!.updateHead : plan!.update);
      this.#step += 1;
      return { loss: loss / total, correct, gradNorm };
    });
  }

  /**
   * Loss and logits with the weights as they are, running statistics, and no smoothing of labels left out; classes weigh the same.
   *
   * @param images `[n, h, w, c]` f32 of the network's input size
   * @param averaged with the averages of the weights instead
   */
  async evaluate(
    images: Float32Array,
    labels: Targets,
    { averaged = false }: { readonly averaged?: boolean } = {},
  ): Promise<Evaluation> {
    const total = countImages(this.graph, this.#layout.spec.loss, images, labels, Number.MAX_SAFE_INTEGER);
    this.#checkAveraged(averaged);
    return this.#alone(async () => {
      const { batch } = this.#settings;
      const classes = outputNode(this.graph).shape[2];
      const logits = new Float32Array(total * classes);
      const goals = targetsOf(labels, this.#goals());
      let [loss, correct] = [0, 0];
      for (let first = 0; first < total; first += batch) {
        const count = Math.min(batch, total - first);
        const plan = this.#plan(count, count, averaged ? "averaged" : "evaluate");
        const part = await this.#compute(plan, images, goals, first);
        loss += part.loss;
        correct += part.correct;
        logits.set(this.#engine.floats(plan.logits, count * classes), first * classes);
      }
      return { loss: loss / total, correct, logits };
    });
  }

  /** The gradient of the last step by tensor name, in PyTorch's shapes, before clipping. */
  gradients(): Promise<ReadonlyMap<string, Float32Array>> {
    return this.#alone(async () => {
      const { held, gradients } = this.#layout;
      const trained = [...held].filter(([, each]) => each.trained);
      return new Map(trained.map(([name, each]) => [name, this.#get(this.#in(each, gradients))]));
    });
  }

  /**
   * The whole network as `writeSafetensors` takes it: torchvision's names, running statistics and the number of batches
   * included.
   *
   * @param averaged the averages of the weights instead of the weights
   * @throws DivergedError when one of its numbers is not finite
   */
  async tensors({ averaged = false }: { readonly averaged?: boolean } = {}): Promise<readonly NamedTensor[]> {
    this.#checkAveraged(averaged);
    return this.#alone(async () => {
      const { held, averages, spec } = this.#layout;
      const { source, checkpoint, graph } = this.#model;
      const tensors: NamedTensor[] = [];
      for (const { name, shape } of paramsOf(graph)) {
        const mine = held.get(name);
        let values: Float32Array<ArrayBuffer>;
        if (mine === undefined) values = new Float32Array(await readWeights(source, checkpoint, name));
        else values = this.#get(averaged && mine.trained ? this.#in(mine, averages!) : mine);
        const bad = values.findIndex((value) => !Number.isFinite(value));
        if (bad >= 0) throw this.#diverged(`weights in "${name}"`, values[bad]!);
        tensors.push(tensor(name, shape, values));
      }
      for (const node of graph.nodes) {
        if (node.op !== "norm") continue;
        const name = `${node.name}.num_batches_tracked`;
        let count = isLive(spec, node) ? BigInt(this.#batches) : 0n;
        if (checkpoint.tensors.get(name)?.dtype === "I64") {
          const bytes = await checkpoint.read(name);
          count += new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true);
        }
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigInt64(0, count, true);
        tensors.push({ name, dtype: "I64", shape: [], bytes });
      }
      return tensors;
    });
  }

  /** Everything that `restore` needs to go on to the same bytes. */
  state(): Promise<TrainerState> {
    return this.#alone(async () => ({
      step: this.#step,
      batches: this.#batches,
      tensors: this.#stored().map(({ name, held }) => tensor(name, held.shape, this.#get(held))),
    }));
  }

  /**
   * Goes back, or on, to a state of a trainer with the same network and options.
   *
   * @throws ModelError when it is of another network or other options, or damaged; nothing has then changed
   */
  restore(state: TrainerState): Promise<void> {
    return this.#alone(async () => {
      const stored = this.#stored();
      const values = checkState(state, stored, this.#layout.states.length > 1);
      for (const { name, held } of stored) this.#put(held, values.get(name)!);
      this.#step = state.step;
      this.#batches = state.batches;
    });
  }

  /**
   * What has been trained so far, to come back to with `adopt`.
   *
   * @param averaged the averages of the weights instead of the weights
   */
  async snapshot({ averaged = false }: { readonly averaged?: boolean } = {}): Promise<Snapshot> {
    this.#checkAveraged(averaged);
    return this.#alone(async () => {
      const { averages } = this.#layout;
      const tensors = this.#moving().map(([name, each]) => {
        const held = averaged && each.trained ? this.#in(each, averages!) : each;
        return tensor(name, each.shape, this.#get(held));
      });
      return { batches: this.#batches, tensors };
    });
  }

  /**
   * Takes the weights of a snapshot, and for the averages too where there are any. The optimizer's state stays as it is.
   *
   * @throws ModelError when it is of another network, or damaged; nothing has then changed
   */
  adopt(snapshot: Snapshot): Promise<void> {
    return this.#alone(async () => {
      const { averages } = this.#layout;
      const moving = this.#moving().map(([name, held]) => ({ name, held }));
      const values = checkState(snapshot, moving, false);
      for (const { name, held } of moving) {
        this.#put(held, values.get(name)!);
        if (averages !== undefined && held.trained) this.#put(this.#in(held, averages), values.get(name)!);
      }
      this.#batches = snapshot.batches;
    });
  }

  /** Gives back the instance, its memory and its threads, and closes the checkpoint. Calls made before it finish. */
  async dispose(): Promise<void> {
    await this.#engine.dispose();
    await this.#model.checkpoint.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** A call that has the memory to itself. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#engine.call(() => this.#engine.exclusive(work));
  }

  /** A step's images in batches; with live norms, a last one of one image, which has no variance, joins that before. */
  #batchesOf(total: number): readonly { readonly first: number; readonly count: number }[] {
    const { batch } = this.#settings;
    const isJoined = this.#layout.spec.live && total > batch && total % batch === 1;
    const batches = Math.ceil(total / batch) - Number(isJoined);
    return Array.from({ length: batches }, (_, i) => {
      return { first: i * batch, count: i + 1 < batches ? batch : total - i * batch };
    });
  }

  #checkAveraged(averaged: boolean): void {
    if (averaged && this.#settings.ema === undefined) {
      throw new OptionError(
        "averaged",
        expectedGot("averaged", "a trainer that keeps averages", "one that does not", "set ema"),
      );
    }
  }

  #diverged(what: string, value: number): DivergedError {
    const hint = "lower the learning rate, or set clip";
    return new DivergedError(expectedGot(`step ${this.#step + 1}`, `finite ${what}`, `${value}`, hint));
  }

  /** Writes what the optimizer reads in this step; each group has the factor of its depth. */
  #setRates(rate: number): void {
    const { groups, hyper, spec } = this.#layout;
    const clip = this.#engine.floats(hyper, HYPER.count)[HYPER.clip]!;
    for (const { depth, hyper: own } of groups) {
      const mine = rate * spec.layerDecay ** depth * (depth === 0 ? 1 : this.bodyRate);
      const [now, one, two] = spec.optimizer.hyper(mine, this.#step + 1);
      const values = this.#engine.floats(own, HYPER.norm);
      values[HYPER.rate] = now;
      values[HYPER.clip] = clip;
      values[HYPER.first] = one;
      values[HYPER.second] = two;
    }
  }

  /** How labels become what the loss wants. */
  #goals(weights?: readonly number[]): Goals {
    const [classes, { loss }] = [outputNode(this.graph).shape[2], this.#layout.spec];
    return { classes, loss, smoothing: this.#settings.labelSmoothing, weights };
  }

  /** The plan for a batch, with memory for it. */
  #plan(batch: number, total: number, mode: "train" | "evaluate" | "averaged"): Training {
    return this.#engine.plan(`${mode} ${batch}/${total}`, () => {
      const made = planStep(this.#layout, batch, total, mode === "train", mode === "averaged");
      return { ...made, tapes: [made.compute, made.commit, made.update, made.updateHead] };
    });
  }

  /** Runs a batch, from image `first`; returns the sum of its losses. */
  async #compute(
    plan: Training,
    images: Float32Array,
    goals: Float32Array,
    first: number,
  ): Promise<{ loss: number; correct: number }> {
    const { batch } = plan;
    const classes = outputNode(this.graph).shape[2];
    const size = count(this.graph.nodes[0]!.shape);
    this.#engine.floats(plan.input, batch * size).set(images.subarray(first * size, (first + batch) * size));
    this.#engine.floats(plan.goals, batch * classes).set(goals.subarray(first * classes, (first + batch) * classes));
    await this.#engine.run(plan.compute);
    let [loss, correct] = [0, 0];
    const losses = this.#engine.floats(plan.losses, 2 * batch);
    for (let i = 0; i < batch; ++i) {
      loss += losses[2 * i]!;
      correct += losses[2 * i + 1]!;
    }
    return { loss, correct };
  }

  async #commit(plan: Training): Promise<void> {
    await this.#engine.run(plan.commit);
    this.#batches += 1;
  }

  #bytes({ address, bytes }: Region): Uint8Array {
    return this.#engine.bytes(address, bytes);
  }

  /** The same place in a region that is laid out as the trained parameters. */
  #in(held: Held, region: Region): Held {
    return { ...held, address: held.address - this.#layout.trained.address + region.address };
  }

  /** Trained parameters and running statistics. */
  #moving(): readonly (readonly [name: string, held: Held])[] {
    const { held, running } = this.#layout;
    const end = running.address + running.bytes;
    return [...held].filter(([, each]) => each.trained || (each.address >= running.address && each.address < end));
  }

  /** What a state holds, and where. */
  #stored(): readonly { readonly name: string; readonly held: Held }[] {
    const { states, averages } = this.#layout;
    return this.#moving().flatMap(([name, each]) => {
      const all = [{ name, held: each }];
      if (!each.trained) return all;
      states.forEach((region, i) => {
        all.push({ name: `optimizer.${i}.${name}`, held: this.#in(each, region) });
      });
      if (averages !== undefined) all.push({ name: `average.${name}`, held: this.#in(each, averages) });
      return all;
    });
  }

  /** A tensor in PyTorch's order. */
  #get({ address, shape }: Held): Float32Array<ArrayBuffer> {
    return toTorchOrder(shape, this.#engine.floats(address, count(shape)));
  }

  #put({ address, shape }: Held, values: Float32Array): void {
    const held = this.#engine.floats(address, Math.ceil(values.length / 16) * 16);
    held.fill(0);
    fromTorchOrder(shape, values, held);
  }
}

function count(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function tensor(name: string, shape: readonly number[], values: Float32Array<ArrayBuffer>): NamedTensor {
  return { name, dtype: "F32", shape, bytes: new Uint8Array(values.buffer) };
}
