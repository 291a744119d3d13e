/**
 * What the package promises in every runtime: the same cases everywhere, on the built package, with no runtime's own API.
 * A case that cannot be in some place says why.
 */
import type * as Library from "../../src/runtimes/browser.ts";
import heif from "../golden/heif.json" with { type: "json" };

/** What the cases use of the package; every entry has it. */
export type Package = Pick<
  typeof Library,
  keyof Library.Library | "ImageSet" | "ModelError" | "OptionError" | "StateError" | "search" | "supportsRelaxed"
>;

/** What the runner brings. */
export interface Given {
  /** Small models, safetensors. */
  readonly f32: Uint8Array;
  readonly int8: Uint8Array;
  /** One small model as PyTorch and as ONNX save it. */
  readonly torch: Uint8Array;
  readonly onnx: Uint8Array;
  /** Whether safetensors is the only format of this runtime. */
  readonly onlySafetensors?: boolean;
  /** An encoded photo. */
  readonly photo: Uint8Array;
  /** Why there is one thread only; absent where there may be two. */
  readonly oneThread?: string;
  /** An address that answers with the beginning of a model, and then nothing. */
  readonly stalled: string;
  /** Formats that this runtime has no decoder for. */
  readonly undecoded?: readonly ("heic" | "avif")[];
  /** Where the photo is, relative to the page. */
  readonly path?: string;
  /** Whether models are loaded from responses instead of addresses. */
  readonly streams: boolean;
}

/** What the same case gave elsewhere. */
export interface Expected {
  /** Best class of the photo. */
  readonly best: number;
  /** SHA-256 of the int8 logits. */
  readonly digest: string;
  /** Mean loss of each epoch of a head's training. */
  readonly losses: readonly number[];
}

/** One case's outcome: nothing where it holds. */
export interface Outcome {
  readonly name: string;
  readonly skipped?: string;
  readonly failed?: string;
  /** What was seen, for who makes `Expected`. */
  readonly seen?: unknown;
}

class Skip extends Error {}

async function sha256(numbers: Float32Array): Promise<string> {
  const bytes = new Uint8Array(numbers.buffer as ArrayBuffer, numbers.byteOffset, numbers.byteLength);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function same(seen: unknown, expected: unknown): unknown {
  const [got, want] = [JSON.stringify(seen), JSON.stringify(expected)];
  if (expected !== undefined && got !== want) throw new Error(`expected ${want}, got ${got}`);
  return seen;
}

/** Throws unless an error has this code: messages are for people. */
function hasCode(error: Error, code: string): void {
  const got = "code" in error ? error.code : undefined;
  if (got !== code) throw new Error(`expected the code ${code}, got ${got}: ${error.message}`);
}

async function rejection(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error("expected a failure, got none");
    },
    (error: Error) => error,
  );
}

/** Images of two classes, drawn: vertical stripes and horizontal ones. */
function drawn(set: Library.ImageSet): Library.ImageSet {
  for (let i = 0; i < 16; ++i) {
    const across = i % 2 === 1;
    const data = new Uint8Array(40 * 40 * 4);
    for (let p = 0; p < 1600; ++p) {
      const at = across ? p % 40 : Math.floor(p / 40);
      data.fill((at + i) % 8 < 4 ? 190 : 60, 4 * p, 4 * p + 4);
    }
    set.add({ width: 40, height: 40, data }, across ? "across" : "along");
  }
  return set;
}

function unpacked(name: "plain.heic" | "plain.avif"): Uint8Array {
  return Uint8Array.from(atob(heif[name]), (character) => character.charCodeAt(0));
}

/** The picture in `golden/heif.json`. */
function picture(): { width: number; height: number; data: Uint8Array } {
  const [width, height] = [64, 48];
  const data = new Uint8Array(4 * width * height);
  for (let p = 0; p < width * height; ++p) {
    const [x, y] = [p % width, Math.floor(p / width)];
    data.set([3 * x, 4 * y, 255 - x - 2 * y, 255], 4 * p);
  }
  return { width, height, data };
}

/**
 * Runs the cases in turn.
 *
 * @param expected what they gave elsewhere; without it they only tell what they saw
 */
export async function runContract(library: Package, given: Given, expected?: Expected): Promise<readonly Outcome[]> {
  const { convert, createTrainer, finetune, ImageSet, inspect, load, ModelError, openModel } = library;
  const { OptionError, quantize, search, StateError, supportsRelaxed } = library;
  const { f32, int8, photo } = given;
  const logits = async (options: Library.LoadOptions): Promise<string> => {
    const model = await load(int8, options);
    try {
      return await sha256((await model.logits(await model.preprocess(photo))).data);
    } finally {
      await model.dispose();
    }
  };
  const cases: Readonly<Record<string, () => Promise<unknown>>> = {
    async load() {
      const model = await load(f32);
      same(model.model.arch, "resnet20");
      await model.dispose();
    },
    async "models in any form"() {
      const bytes = f32 as Uint8Array<ArrayBuffer>;
      const blob = new Blob([bytes]);
      const sources: Library.Source[] = [
        blob,
        new File([bytes], "model.safetensors"),
        new Response(bytes),
        blob.stream(),
      ];
      sources.push(bytes.slice().buffer, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      if (!given.streams) sources.push(new URL(URL.createObjectURL(blob)));
      for (const source of sources) {
        const model = await load(source);
        same(model.layers.at(-1)!.shape, [1, 1, 10]);
        await model.dispose();
      }
    },
    async "PyTorch and ONNX"() {
      const best: number[] = [];
      for (const bytes of [given.torch, given.onnx] as Uint8Array<ArrayBuffer>[]) {
        for (const source of [new File([bytes], "model"), new Response(bytes)]) {
          if (given.onlySafetensors === true) {
            hasCode(await rejection(load(source)), "not-a-model");
            continue;
          }
          const model = await load(source);
          best.push((await model.classify(photo, { topK: 1 }))[0]!.index);
          await model.dispose();
        }
      }
      if (given.onlySafetensors === true) throw new Skip("safetensors is the only format there");
      return same(new Set(best).size, 1);
    },
    async "several images, a heatmap, an embedding"() {
      const model = await load(f32);
      try {
        const each = await model.classify([photo, new Blob([photo as Uint8Array<ArrayBuffer>])], { topK: 2 });
        same(each[1], each[0]);
        same((await rejection(model.classify([photo, new Uint8Array(9)]))).message.startsWith("images[1]: "), true);
        const { data, shape, bias, logit, index } = await model.heatmap(photo);
        same(shape, [8, 8]);
        same(index, each[0]![0]!.index);
        const mean = data.reduce((a, b) => a + b) / data.length;
        if (!(Math.abs(mean + bias - logit) < 1e-4)) throw new Error(`expected ${logit}, got ${mean} + ${bias}`);
        same(search(await model.embed(photo), await model.embed([picture(), photo]), { topK: 1 })[0]!.index, 1);
      } finally {
        await model.dispose();
      }
    },
    async classify() {
      const model = await load(int8);
      const [best] = await model.classify(photo, { topK: 1 });
      await model.dispose();
      return same(best!.index, expected?.best);
    },
    async "HEIC and AVIF"() {
      const model = await load(int8);
      const expected = await model.preprocess(picture());
      for (const name of ["plain.heic", "plain.avif"] as const) {
        const file = unpacked(name);
        const decoded = model.preprocess(file);
        if (given.undecoded?.includes(name.slice(-4) as "heic" | "avif") === true) {
          hasCode(await rejection(decoded), "unsupported");
          continue;
        }
        const { data } = await decoded;
        const worst = data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected.data[i]!)), 0);
        // Of inputs in about −2…2: what the codecs lose is below 0.2, a channel in another's place costs more than 2.
        if (worst > 0.3) throw new Error(`${name}: expected the picture, got one that is off by ${worst}`);
      }
      await model.dispose();
    },
    async "int8 digest, baseline"() {
      return same(await logits({ build: "baseline" }), expected?.digest);
    },
    async "int8 digest, relaxed"() {
      if (!supportsRelaxed()) throw new Skip("no relaxed SIMD");
      return same(await logits({ build: "relaxed" }), expected?.digest);
    },
    async "two threads"() {
      if (given.oneThread !== undefined) {
        const error = await rejection(load(int8, { threads: 2 }));
        // Where there is no shared memory it is the option's fault, else the runtime's.
        hasCode(error, error instanceof OptionError ? "option" : "runtime");
        throw new Skip(given.oneThread);
      }
      return same(await logits({ threads: 2 }), expected?.digest);
    },
    async "two replicas"() {
      if (given.oneThread !== undefined) {
        const error = await rejection(load(int8, { replicas: 2 }));
        hasCode(error, error instanceof OptionError ? "option" : "runtime");
        throw new Skip(given.oneThread);
      }
      const model = await load(int8, { replicas: 2 });
      try {
        const bests = await Promise.all([1, 2, 3].map(() => model.classify(photo, { topK: 1 })));
        const { data } = await model.logits(await model.preprocess(photo));
        same(await sha256(data), expected?.digest);
        // A call that is aborted leaves the others.
        const controller = new AbortController();
        const aborted = rejection(model.classify(photo, { signal: controller.signal }));
        controller.abort(new Error("no longer wanted"));
        same((await aborted).message, "no longer wanted");
        bests.push(await model.classify(photo, { topK: 1 }));
        for (const [best] of bests) same(best!.index, expected?.best);
      } finally {
        await model.dispose();
      }
    },
    async "photos that workers read"() {
      if (given.undecoded?.includes("heic") === true) throw new Skip("no decoder of HEIC");
      const heic = unpacked("plain.heic");
      const set = new ImageSet();
      for (const image of [photo, ...(given.path === undefined ? [] : [given.path])]) set.add(image, "photo");
      set.add(heic, "drawn");
      const { failed } = await finetune(f32, set, { epochs: 1, batch: 2, augment: "none" });
      same(failed, []);
      if (given.oneThread !== undefined) return;
      const inputs: string[] = [];
      for (const options of [{}, { replicas: 1 }]) {
        const model = await load(int8, options);
        inputs.push(await sha256((await model.preprocess(heic)).data));
        await model.dispose();
      }
      same(inputs[1], inputs[0]);
    },
    async "fine-tune a head"() {
      const { history, bytes } = await finetune(f32, drawn(new ImageSet()), { epochs: 4, batch: 8, augment: "none" });
      const losses = history.map(({ trainLoss }) => trainLoss);
      if (!(losses.at(-1)! < losses[0]!)) throw new Error(`expected a loss that falls, got ${losses}`);
      losses.forEach((loss, i) => {
        const away = Math.abs(loss / (expected?.losses[i] ?? loss) - 1);
        if (away > 1e-3) throw new Error(`expected losses ${expected!.losses}, got ${losses}`);
      });
      const model = await load(bytes);
      same([...model.model.labels], ["along", "across"]);
      await model.dispose();
      return losses;
    },
    async "open, inspect, convert, quantize"() {
      const opened = await openModel(f32);
      const { parameters, output } = await inspect(opened);
      same([output, parameters > 200_000], ["softmax", true]);
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      for await (const piece of convert(opened, { dtype: "f16" })) pieces.push(piece);
      await opened.close();
      const half = new Blob(pieces);
      const small = await quantize(half, [photo]);
      const model = await load(small.bytes);
      same((await model.classify(photo, { topK: 3 })).length, 3);
      await model.dispose();
    },
    async "a training step"() {
      const trainer = await createTrainer("resnet20", { classes: 2, batch: 2, learningRate: 0.1 });
      const { loss } = await trainer.step(new Float32Array(2 * 32 * 32 * 3).fill(0.5), Int32Array.of(0, 1));
      if (!(loss > 0.1 && loss < 10)) throw new Error(`expected a loss near 0.7, got ${loss}`);
      await trainer.dispose();
    },
    async "a bad file"() {
      for (const bytes of [new TextEncoder().encode("<!doctype html>"), int8.subarray(0, int8.length >> 1)]) {
        const error = await rejection(load(bytes));
        if (!(error instanceof ModelError))
          throw new Error(`expected a ModelError, got ${error.name}: ${error.message}`);
      }
    },
    async "an aborted download"() {
      const controller = new AbortController();
      const { signal } = controller;
      const loading = given.streams
        ? fetch(given.stalled, { signal }).then((response) => load(response as never, { signal }))
        : load(given.stalled, { signal });
      setTimeout(() => controller.abort(), 300);
      const error = await rejection(loading);
      if (error.name !== "AbortError") throw new Error(`expected an AbortError, got ${error.name}: ${error.message}`);
    },
    async dispose() {
      const model = await load(f32);
      await model.dispose();
      const error = await rejection(model.classify(photo));
      if (!(error instanceof StateError)) throw new Error(`expected a StateError, got ${error.name}`);
      hasCode(error, "state");
    },
  };
  const outcomes: Outcome[] = [];
  for (const [name, run] of Object.entries(cases)) {
    try {
      outcomes.push({ name, seen: await run() });
    } catch (error) {
      const { message, stack } = error as Error;
      outcomes.push(error instanceof Skip ? { name, skipped: message } : { name, failed: `${message} ${stack ?? ""}` });
    }
  }
  return outcomes;
}
