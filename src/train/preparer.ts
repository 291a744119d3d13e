/**
 * Images → inputs of a network, beside its training: decoding, resizing and varying need a wasm instance of their own, and
 * where there are workers a thread of their own.
 */

import { letPageRun } from "../abort.ts";
import type { ImageInput } from "../decode/input.ts";
import { toPixels } from "../decode/photo.ts";
import { isRaw } from "../decode/raw.ts";
import { ImageError } from "../errors.ts";
import { type Pixels, planView, prepareImage } from "../image.ts";
import { type Kernels, loadKernels, pickBuild } from "../kernels.ts";
import { seedFrom, uniform } from "../models/random.ts";
import { align } from "../plan.ts";
import { fromPortable, type PortableError, toPortable } from "../portable-error.ts";
import { channelsOf, type Preprocess } from "../preprocess.ts";
import type { Runtime, WorkerHandle } from "../runtime.ts";
import { ensureMemory } from "../weights.ts";
import { recolour, vary } from "./augment.ts";
import type { Augment } from "./augments.ts";
import { erase } from "./erase.ts";
import { randAugment } from "./rand-augment.ts";

/** An input to prepare. */
export interface PrepareRequest {
  /** The image's number: what is decoded may be kept under it. */
  readonly key: number;
  readonly image: ImageInput;
  readonly augment: Augment;
  /** Strength of RandAugment, and the probability of erasing. */
  readonly randAugment: number;
  readonly erase: number;
  /** Of the variation. */
  readonly seed: number;
}

/** Bytes of decoded images that are kept for the epochs to come. */
const KEPT_BYTES = 384 * 2 ** 20;

/** Prepares images one after the other. */
export interface Preparer {
  /**
   * The input, `[h, w, 3]` f32.
   *
   * @throws Error naming the image when it cannot be decoded
   */
  prepare(request: PrepareRequest): Promise<Float32Array<ArrayBuffer>>;
  dispose(): void;
}

/** A preparer in the caller's own thread. */
async function localPreparer(runtime: Runtime, preprocess: Preprocess): Promise<Preparer> {
  let kernels: Kernels | undefined = await loadKernels(
    runtime,
    pickBuild("baseline"),
    new WebAssembly.Memory({ initial: 1 }),
  );
  const base = align(kernels.memory.buffer.byteLength);
  const kept = new Map<number, Pixels>();
  let bytes = 0;
  const decode = async (key: number, image: ImageInput): Promise<Pixels> => {
    const known = kept.get(key);
    if (known !== undefined) return known;
    const pixels = await toPixels(image, runtime);
    // What came as pixels is the caller's, and costs nothing to have again.
    if (!isRaw(image) && bytes + pixels.data.byteLength <= KEPT_BYTES) {
      bytes += pixels.data.byteLength;
      kept.set(key, pixels);
    }
    return pixels;
  };
  return {
    async prepare({ key, image, augment, randAugment: strength, erase: probability, seed }) {
      await letPageRun();
      const { pixels, view, colours } = vary(await decode(key, image), preprocess, augment, uniform(seed));
      const recipe = planView(pixels, view, preprocess);
      const { memory } = kernels!;
      const size = view.width * view.height * channelsOf(preprocess);
      const out = align(base + recipe.bytes);
      ensureMemory(memory, out + 4 * size);
      prepareImage(kernels!, recipe, base, out);
      const input = new Float32Array(memory.buffer, out, size).slice() as Float32Array<ArrayBuffer>;
      if (colours !== undefined) recolour(input, preprocess, colours);
      // Generators of their own: what one of them draws does not change the others.
      randAugment(input, view.width, preprocess, strength, uniform(seedFrom(seed, 1)));
      erase(input, view.width, channelsOf(preprocess), probability, uniform(seedFrom(seed, 2)));
      return input;
    },
    dispose() {
      kernels = undefined;
      kept.clear();
    },
  };
}

/** What the worker receives, and what it answers. */
type ToWorker =
  | { readonly kind: "open"; readonly preprocess: Preprocess }
  | ({ readonly kind: "prepare" } & PrepareRequest & Numbered);
type FromWorker = Numbered & { readonly input?: Float32Array<ArrayBuffer>; readonly error?: PortableError };
interface Numbered {
  readonly id: number;
}

/**
 * Serves a preparer in a worker.
 *
 * @returns what to call with each message from its owner, one after the other
 */
export function servePreparer(
  runtime: Runtime,
  answer: (message: FromWorker, transfer: ArrayBuffer[]) => void,
): (message: unknown) => Promise<void> {
  let preparer: Promise<Preparer> | undefined;
  return async (message) => {
    const order = message as ToWorker;
    if (order.kind === "open") {
      preparer = localPreparer(runtime, order.preprocess);
      return;
    }
    try {
      const input = await (await preparer!).prepare(order);
      answer({ id: order.id, input }, [input.buffer]);
    } catch (error) {
      answer({ id: order.id, error: toPortable(error) }, []);
    }
  };
}

/**
 * A preparer that decodes in a worker where the runtime has any; pixels, which need no decoding, are prepared here.
 * A worker that cannot start or ends early is no failure: the work is then done here.
 */
export async function startPreparer(runtime: Runtime, preprocess: Preprocess): Promise<Preparer> {
  const local = await localPreparer(runtime, preprocess);
  const waiting = new Map<
    number,
    { done: (input: Float32Array<ArrayBuffer>) => void; failed: (error: unknown) => void }
  >();
  let worker: WorkerHandle | undefined;
  let count = 0;
  class WorkerLost extends Error {}
  const lose = (): void => {
    worker = undefined;
    for (const { failed } of waiting.values()) failed(new WorkerLost());
    waiting.clear();
  };
  try {
    worker = runtime.startWorker(
      (message) => {
        const { id, input, error } = message as FromWorker;
        const { done, failed } = waiting.get(id)!;
        waiting.delete(id);
        worker?.setBusy(waiting.size > 0);
        if (input === undefined) failed(fromPortable(error!));
        else done(input);
      },
      lose,
      "preparer",
    );
    worker.post({ kind: "open", preprocess } satisfies ToWorker);
    worker.setBusy(false);
  } catch {
    worker = undefined;
  }
  return {
    async prepare(request) {
      const { image } = request;
      const isHere = isRaw(image) || !(typeof image === "string" || image instanceof Blob || ArrayBuffer.isView(image));
      if (worker === undefined || isHere) return local.prepare(request);
      try {
        return await new Promise<Float32Array<ArrayBuffer>>((done, failed) => {
          waiting.set(count, { done, failed });
          worker!.setBusy(true);
          const sent = typeof image === "string" ? (runtime.absolute?.(image) ?? image) : image;
          worker!.post({ ...request, image: sent, kind: "prepare", id: count++ } satisfies ToWorker);
        });
      } catch (error) {
        // A decoder that a page has been given by a function cannot be posted.
        const isUnsupported = error instanceof ImageError && error.code === "unsupported";
        if (isUnsupported || error instanceof WorkerLost) return local.prepare(request);
        throw error;
      }
    },
    dispose() {
      worker?.terminate();
      lose();
      local.dispose();
    },
  };
}
