/**
 * `load`, `finetune`, `train` and `quantize` as a page has them: models are opened in one worker, computed in another, and the page
 * posts images and hears of events.
 */
import type { ByteSource } from "../bytes.ts";
import type { Classifier, LoadOptions } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { Model, Source } from "../model.ts";
import type { Quantized, QuantizeOptions } from "../quantizer.ts";
import type { FileSource } from "../source.ts";
import type { Dataset } from "../train/dataset.ts";
import type { Finetuned, FinetuneOptions, SourceOptions, TrainNewOptions } from "../train/finetune.ts";
import { RemoteClassifier } from "./classifier.ts";
import type { Description } from "./engine.ts";
import { postImage } from "./images.ts";
import { type PostedModel, postFile, postModel } from "./models.ts";
import type { ELSEWHERE } from "./opener.ts";
import type { PostedOptions } from "./options.ts";
import { type Handler, Moved, Peer, READY } from "./peer.ts";
import type { Part, PostedDataset } from "./trainer.ts";

export type WorkerName = "engine" | "opener" | "quantizer" | "trainer";

/** What a page brings. */
export interface PageParts {
  start(name: WorkerName): Worker;
  /** What a worker is told when it has started: where the page is, what `init` was given. */
  settings(): unknown;
  /** Opens on the page what the worker that opens models cannot. */
  openModel(source: Source, options: LoadOptions): Promise<Model>;
  /** Decodes a HEIC by the decoder that only the page was given. */
  readonly decodeHeif: Handler;
}

/** How long a worker waits for the next model before it is ended, and its memory given back. */
const IDLE_MS = 5000;

/** Why there is no worker. */
export class Refused extends Error {}

interface Running {
  readonly peer: Peer;
  end(): void;
}

/** Starts a worker. Throws `Refused`. */
async function started(
  parts: PageParts,
  name: WorkerName,
  handlers: Readonly<Record<string, Handler>>,
): Promise<Running> {
  if (typeof Worker === "undefined") throw new Refused("there are no workers here");
  let worker: Worker;
  try {
    worker = parts.start(name);
  } catch (cause) {
    throw new Refused((cause as Error).message, { cause });
  }
  const peer = new Peer((message, transfer) => worker.postMessage(message, transfer), {
    decodeHeif: parts.decodeHeif,
    ...handlers,
  });
  await new Promise<void>((done, failed) => {
    worker.addEventListener("message", ({ data }) => (data === READY ? done() : peer.receive(data)));
    worker.addEventListener("error", ({ message }) => {
      failed(new Refused(message || "its file was not loaded, or not allowed"));
      const got = message || "an error without a message";
      peer.lose(new ModelError("runtime", expectedGot("worker", "to live as long as the model", got, "load it again")));
    });
  }).catch((error) => {
    worker.terminate();
    throw error;
  });
  worker.postMessage(parts.settings());
  return { peer, end: () => worker.terminate() };
}

/** A worker that several share: started for the first, ended some time after the last. */
class Shared {
  readonly #start: () => Promise<Running>;
  #running: Promise<Running> | undefined;
  #users = 0;

  constructor(start: () => Promise<Running>) {
    this.#start = start;
  }

  async take(): Promise<Peer> {
    this.#users += 1;
    this.#running ??= this.#start();
    try {
      return (await this.#running).peer;
    } catch (error) {
      this.#running = undefined;
      this.#users -= 1;
      throw error;
    }
  }

  release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    setTimeout(() => {
      if (this.#users > 0 || this.#running === undefined) return;
      void this.#running.then(({ end }) => end());
      this.#running = undefined;
    }, IDLE_MS);
  }
}

function isModel(source: Source): source is Model {
  return typeof source === "object" && source !== null && "checkpoint" in source && "graph" in source;
}

/** Options as they are posted. Signals pass with calls. */
function postOptions(options: object): PostedOptions {
  const entries = Object.entries(options).filter(([name, value]) => name !== "signal" && value !== undefined);
  const plain = Object.fromEntries(entries.filter(([, value]) => typeof value !== "function"));
  const callbacks = entries.filter(([, value]) => typeof value === "function").map(([name]) => name);
  return { plain, callbacks };
}

function postDataset({ classes, examples }: Dataset): PostedDataset {
  return { classes: [...classes], examples: examples.map(({ name, label }) => ({ name, label })) };
}

/** What of `Library` runs in workers. Each throws `Refused`, before anything is read, where there are none. */
export class Remote {
  readonly #parts: PageParts;
  readonly #engine: Shared;
  readonly #opener: Shared;
  /** Of each download in the opener, who hears of it. */
  readonly #listeners = new Map<number, LoadOptions["onDownload"]>();
  #next = 0;

  constructor(parts: PageParts) {
    this.#parts = parts;
    this.#engine = new Shared(() => started(parts, "engine", {}));
    this.#opener = new Shared(() =>
      started(parts, "opener", {
        onDownload: ([id, progress]) => this.#listeners.get(id as number)?.(progress as never),
      }),
    );
  }

  async load(source: Source, options: LoadOptions): Promise<Classifier> {
    const { signal } = options;
    signal?.throwIfAborted();
    const opening = this.#opener.take();
    opening.catch(() => {});
    const engine = await this.#engine.take();
    let isLoaded = false;
    try {
      const opener = await opening;
      try {
        const { plain } = postOptions(options);
        const { formats: _, ...build } = plain;
        await engine.call("prepare", [build], { signal });
        const model = await this.#open(opener, source, options);
        const description = await engine.call("load", [model, build], { signal, transfer: [model.port] });
        isLoaded = true;
        const remote = new RemoteClassifier(engine, description as Description, () => this.#engine.release());
        // A class with private fields is no other's type.
        return remote as unknown as Classifier;
      } finally {
        this.#opener.release();
      }
    } finally {
      if (!isLoaded) this.#engine.release();
    }
  }

  finetune(source: Source, dataset: Dataset, options: FinetuneOptions & SourceOptions): Promise<Finetuned> {
    return this.#trained("finetune", source, dataset, options);
  }

  train(arch: string, dataset: Dataset, options: TrainNewOptions): Promise<Finetuned> {
    return this.#trained("train", arch, dataset, options);
  }

  async quantize(
    source: Source,
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options: QuantizeOptions & LoadOptions,
  ): Promise<Quantized> {
    let iterator: Iterator<ImageInput> | AsyncIterator<ImageInput> | undefined;
    const imageOf: Handler = async () => {
      iterator ??= Symbol.asyncIterator in images ? images[Symbol.asyncIterator]() : images[Symbol.iterator]();
      const { done, value } = await iterator.next();
      if (done === true) return undefined;
      const { image, transfer } = await postImage(value);
      return new Moved({ image }, transfer);
    };
    try {
      const args = [postOptions(options)];
      return (await this.#inOwn("quantize", source, args, imageOf, options)) as Quantized;
    } finally {
      void Promise.resolve(iterator?.return?.()).catch(() => {});
    }
  }

  async #trained(
    name: "finetune" | "train",
    source: Source,
    dataset: Dataset,
    options: FinetuneOptions & SourceOptions,
  ): Promise<Finetuned> {
    const { val, ...rest } = options;
    const posted = postOptions(rest);
    const postedVal = typeof val === "object" ? postDataset(val) : val;
    const plain = { ...posted.plain, ...(postedVal !== undefined && { val: postedVal }) };
    const imageOf: Handler = async ([part, index]) => {
      const { examples } = (part as Part) === "val" ? (val as Dataset) : dataset;
      const { image, transfer } = await postImage(await examples[index as number]!.image());
      return new Moved(image, transfer);
    };
    const args = [postDataset(dataset), { ...posted, plain }];
    return (await this.#inOwn(name, source, args, imageOf, options)) as Finetuned;
  }

  /** Calls a worker of its own, which ends with the answer. */
  async #inOwn(
    name: "finetune" | "train" | "quantize",
    source: Source,
    args: readonly unknown[],
    image: Handler,
    options: LoadOptions,
  ): Promise<unknown> {
    const { signal } = options;
    signal?.throwIfAborted();
    const own = new AbortController();
    let thrown: { readonly error: unknown } | undefined;
    const event: Handler = async ([called, given]) => {
      try {
        const listeners = options as unknown as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;
        await listeners[called as string]!(...(given as readonly unknown[]));
      } catch (error) {
        // A training ends where its listener throws.
        thrown ??= { error };
        own.abort();
        throw error;
      }
    };
    const { peer, end } = await started(this.#parts, name === "quantize" ? "quantizer" : "trainer", { event, image });
    const onAbort = (): void => own.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    // Until the end: a training reads its weights again.
    const opener = name === "train" ? undefined : this.#opener.take();
    try {
      const model = opener === undefined ? undefined : await this.#open(await opener, source, options);
      const transfer = model === undefined ? [] : [model.port];
      const result = await peer.call(name, [model ?? source, ...args], { signal: own.signal, transfer });
      if (thrown !== undefined) throw thrown.error;
      return result;
    } catch (error) {
      throw thrown === undefined ? error : thrown.error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      end();
      await opener?.then(
        () => this.#opener.release(),
        () => {},
      );
    }
  }

  /** Opens a model, in the worker that does, or on the page. */
  async #open(opener: Peer, source: Source, options: LoadOptions): Promise<PostedModel> {
    const { signal, onDownload } = options;
    const here = async (from: Source): Promise<PostedModel> => postModel(await this.#parts.openModel(from, options));
    if (isModel(source)) return postModel({ ...source, close: async () => {} });
    if (options.formats !== undefined) return here(source);
    const { plain } = postOptions(options);
    const from = source instanceof URL ? source.href : source;
    const file = typeof from === "string" ? undefined : await fileOf(from);
    // A stream comes once: what the opener has had of it is kept, in case that the page opens it.
    let held: Promise<Uint8Array> | undefined;
    const whole = (): Promise<Uint8Array> => {
      held ??= file!.whole!();
      return held;
    };
    const posted = file === undefined ? undefined : postFile(file, file.whole && whole);
    const id = this.#next++;
    this.#listeners.set(id, onDownload);
    try {
      const args = [id, posted ?? from, plain, onDownload !== undefined];
      const model = await opener.call("open", args, { signal, transfer: posted === undefined ? [] : [posted.port] });
      const opened = model as PostedModel | typeof ELSEWHERE;
      return typeof opened === "string" ? await here(held === undefined ? (file ?? source) : await held) : opened;
    } finally {
      this.#listeners.delete(id);
    }
  }
}

/** A file that only the page has, in the form that the opener reads. */
async function fileOf(source: Exclude<FileSource, string | URL>): Promise<ByteSource> {
  const { fileOf } = await import("../source.ts");
  return fileOf(source);
}
