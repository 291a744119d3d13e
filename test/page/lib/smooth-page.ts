/** The scenes of `smooth.ts`, in a frame of a page. */
import type * as Library from "../../../src/runtimes/browser.ts";

/** What was answered, by what was asked. */
export interface Answers {
  readonly page: Readonly<Record<string, string>>;
  readonly worker: Readonly<Record<string, string>>;
}

export interface Smooth {
  /** The longest time between two looks at the clock while models were loaded, asked and trained, in ms. */
  readonly longest: number;
  /** The same of a page that does nothing, for as long, beside a busy worker. */
  readonly idle: number;
  /** In which part it was. */
  readonly asked: string;
  /** Modules that were compiled or instantiated on the page. */
  readonly compiled: number;
  /** Tasks above 50 ms, where the engine tells. */
  readonly tasks?: readonly number[];
}

export type Ends = Readonly<Record<string, { readonly holds: boolean; readonly seen: string }>>;

export interface Place {
  readonly label: boolean;
  /** What was said of where it computed. */
  readonly guess: string;
  /** What came of asking for a worker: `taken`, or the error's code. */
  readonly wanted: string;
}

type Where = "page" | "worker";

const entry = "/dist/runtimes/browser.js";
const library = (await import(entry)) as typeof Library;
const { load, finetune, quantize, ImageSet } = library;

async function bytesOf(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await fetch(path)).arrayBuffer());
}

async function blobOf(path: string): Promise<Blob> {
  return (await fetch(path)).blob();
}

async function digest(...parts: readonly ArrayBufferView[]): Promise<string> {
  const blob = new Blob(parts as ArrayBufferView<ArrayBuffer>[]);
  const hash = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return Array.from(new Uint8Array(hash).subarray(0, 6), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const codeOf = (error: unknown): string => `${(error as Error).constructor.name} ${(error as { code?: unknown }).code}`;
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "no error",
    (error) => error,
  );

/** Stripes of two directions, as pixels. */
function stripes(count: number, side: number): Library.ImageSet {
  const set = new ImageSet();
  for (let i = 0; i < count; ++i) {
    const image = new ImageData(side, side);
    for (let p = 0; p < side * side; ++p) {
      const at = i % 2 === 1 ? p % side : Math.floor(p / side);
      image.data.fill((at + i) % 8 < 4 ? 190 : 60, 4 * p, 4 * p + 3);
      image.data[4 * p + 3] = 255;
    }
    set.add(image, i % 2 === 1 ? "across" : "along");
  }
  return set;
}

async function answersOf(where: Where): Promise<Readonly<Record<string, string>>> {
  const photo = await blobOf("/photo.jpg");
  const seen: Record<string, string> = {};
  const model = await load("/small", { where });
  const bitmap = await createImageBitmap(photo);
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  seen.model = JSON.stringify([model.model.arch, model.output, model.build, model.layers.length, model.replicas]);
  seen.classify = JSON.stringify(await model.classify(photo, { topK: 3 }));
  seen["classify several"] = JSON.stringify(await model.classify(["photo.jpg", pixels], { topK: 1 }));
  const drawn = model.classify(canvas);
  // It was read when the call was made.
  context.clearRect(0, 0, canvas.width, canvas.height);
  seen["classify a canvas"] = JSON.stringify(await drawn);
  seen.probabilities = await digest(await model.probabilities(photo, { crops: 10 }));
  const input = await model.preprocess(pixels);
  seen.preprocess = `${input.shape} ${await digest(input.data)}`;
  const { data, shape } = await model.logits(input);
  seen.logits = `${shape} ${await digest(data)}`;
  const several = await model.features([photo, bitmap]);
  seen["features of several"] = `${several.shape} ${await digest(several.data)}`;
  seen["features of none"] = `${(await model.features([])).shape}`;
  seen.embed = await digest(await model.embed(photo));
  const rows = await model.embed([photo, photo]);
  seen["embed several"] = `${rows.shape} ${await digest(rows.data)}`;
  const map = await model.heatmap(photo, { class: 3 });
  seen.heatmap = `${map.shape} ${map.logit} ${await digest(map.data)}`;
  const { name } = model.layers.at(-2)!;
  const layer = (await model.activations(photo, [name])).get(name)!;
  seen.activations = `${name} ${layer.shape} ${await digest(layer.data)}`;
  const bad = new Blob(["no image"]);
  seen["no image"] = codeOf(await failure(model.classify(bad)));
  const placed = (await failure(model.classify([photo, bad]))) as { index?: number; message: string };
  seen["no image among several"] = `${codeOf(placed)} ${placed.index} ${placed.message}`;
  seen["a wrong option"] = codeOf(await failure(model.classify(photo, { topK: 0 })));
  seen["something else"] = codeOf(await failure(model.classify(7 as never)));
  seen["a page that is not there"] = codeOf(await failure(model.classify("/nothing.jpg")));
  const last = [model.classify(photo), model.embed(photo), model.classify([photo, photo])];
  await model.dispose();
  seen["calls before dispose"] = (await Promise.allSettled(last)).map(({ status }) => status).join(" ");
  seen["a call after dispose"] = codeOf(await failure(model.classify(photo)));
  seen["a wrong build"] = codeOf(await failure(load("/small", { where, build: "none" as never })));
  seen["no model"] = codeOf(await failure(load("/photo.jpg", { where })));
  seen["no source"] = codeOf(await failure(load(7 as never, { where })));
  const bytes = await bytesOf("/small");
  for (const [form, source] of Object.entries({
    ...{ bytes, view: new DataView(bytes.buffer), blob: new Blob([bytes]), response: new Response(bytes) },
    ...{ stream: new Blob([bytes]).stream(), opened: await library.openModel(bytes) },
  })) {
    const other = await load(source, { where });
    seen[`a model as ${form}`] = await digest((await other.logits(input)).data);
    await other.dispose();
  }
  const events: string[] = [];
  const trained = await finetune(bytes, stripes(12, 40), {
    ...{ where, epochs: 2, batch: 4, val: stripes(4, 40), augment: "light" },
    onProgress: ({ phase }) => events.push(phase),
    onCheckpoint: async (state) => void events.push(`checkpoint ${state.length > 100}`),
  });
  seen.finetune = `${await digest(trained.bytes)} ${trained.classes} ${trained.valTop1}`;
  seen["events of a training"] = events.join(" ");
  seen.quantize = await digest((await quantize(bytes, [photo, pixels], { where })).bytes);
  return seen;
}

/** The longest time between two looks at the clock, until `work` has ended. */
async function longestGap(work: () => Promise<unknown>): Promise<number> {
  const { port1, port2 } = new MessageChannel();
  let [longest, last, isOver] = [0, performance.now(), false];
  port1.onmessage = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    // Not at once again: a page that is only ever looking would be busy with that.
    if (!isOver) setTimeout(() => port2.postMessage(0), 4);
  };
  port2.postMessage(0);
  await work();
  isOver = true;
  port1.close();
  return longest;
}

/** Something else that takes a processor. */
async function beside(ms: number): Promise<void> {
  const worker = new Worker("/busy.js");
  await new Promise((done) => {
    worker.onmessage = done;
    worker.onerror = done;
  });
  await new Promise((done) => setTimeout(done, ms));
  worker.terminate();
}

async function smooth(): Promise<Smooth> {
  let compiled = 0;
  for (const name of ["compile", "instantiate", "compileStreaming", "instantiateStreaming"] as const) {
    const real = WebAssembly[name].bind(WebAssembly) as (...args: readonly unknown[]) => unknown;
    Object.assign(WebAssembly, {
      [name]: (...args: readonly unknown[]) => {
        compiled += 1;
        return real(...args);
      },
    });
  }
  const tasks: number[] = [];
  const tells = PerformanceObserver.supportedEntryTypes.includes("longtask");
  const large = await blobOf("/large.jpg");
  const bytes = await bytesOf("/model");
  const images = stripes(8, 200);
  const start = performance.now();
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) tasks.push(Math.round(duration));
  });
  if (tells) observer.observe({ type: "longtask" });
  const gaps: Record<string, number> = {};
  let model: Library.Classifier;
  const parts: Readonly<Record<string, () => Promise<unknown>>> = {
    load: async () => {
      model = await load("/model");
    },
    "load from memory": async () => (await load(bytes)).dispose(),
    "a photo of 12 megapixels": () => model.classify(large),
    "the photo again": () => model.classify(large),
    finetune: () => finetune(bytes, images, { epochs: 1, batch: 4, train: "layer4", augment: "none" }),
    dispose: () => model.dispose(),
  };
  for (const [name, work] of Object.entries(parts)) gaps[name] = await longestGap(work);
  const ms = performance.now() - start;
  await new Promise((done) => setTimeout(done, 100));
  observer.disconnect();
  const idle = await longestGap(() => beside(ms));
  const longest = Math.max(...Object.values(gaps));
  const asked = Object.keys(gaps).find((name) => gaps[name] === longest)!;
  return { longest, idle, asked, compiled, ...(tells && { tasks }) };
}

async function ends(where: Where): Promise<Ends> {
  const bytes = await bytesOf("/model");
  const seen: Record<string, { holds: boolean; seen: string }> = {};
  // An abort by the page's own event, in the middle of the features.
  const controller = new AbortController();
  const reason = new Error("enough");
  let [done, total, after] = [0, 0, 0];
  const training = finetune(bytes, stripes(40, 200), {
    ...{ where, epochs: 1, augment: "none", signal: controller.signal },
    onProgress(progress) {
      if (progress.phase !== "features") return;
      [done, total] = [progress.done, progress.total];
      if (controller.signal.aborted) after += 1;
      else if (done >= 8) setTimeout(() => controller.abort(reason));
    },
  });
  const error = await failure(training);
  seen["an abort ends a training"] = { holds: error === reason, seen: `${error}` };
  const holds = done < total && after <= 1;
  seen["within a batch"] = { holds, seen: `${done} of ${total} images, ${after} batches after it` };
  // Painting goes on: frames between batches.
  let frames = 0;
  let isOver = false;
  const count = (): void => {
    frames += 1;
    if (!isOver) setTimeout(count);
  };
  setTimeout(count);
  await finetune(bytes, stripes(12, 200), { where, epochs: 1, augment: "none" });
  isOver = true;
  seen["a page is heard meanwhile"] = { holds: frames >= 6, seen: `${frames} timers` };
  const thrown = new Error("of the page");
  const listener = (): never => {
    throw thrown;
  };
  const lost = await failure(finetune(bytes, stripes(8, 40), { where, epochs: 1, onEpoch: listener }));
  seen["a listener's error is the call's"] = { holds: lost === thrown, seen: `${lost}` };
  const model = await load(bytes, { where });
  const stop = new AbortController();
  const late = model.classify(await blobOf("/large.jpg"), { signal: stop.signal });
  stop.abort(reason);
  const given = await failure(late);
  seen["an abort ends a call"] = { holds: given === reason, seen: `${given}` };
  seen["the next one is done"] = { holds: (await model.classify("/photo.jpg")).length === 5, seen: "5 classes" };
  await model.dispose();
  return seen;
}

async function place(): Promise<Place> {
  const bytes = await bytesOf("/small");
  const model = await load(bytes);
  const [best] = await model.classify("/photo.jpg");
  const guess = model.model.guesses.find(({ key }) => key === "where")?.message ?? "";
  await model.dispose();
  const wanted = await load(bytes, { where: "worker" }).then(
    () => "taken",
    (error) => `${error.code}`,
  );
  return { label: best !== undefined, guess, wanted };
}

const scenes: Readonly<Record<string, () => Promise<unknown>>> = {
  answers: async () => ({ page: await answersOf("page"), worker: await answersOf("worker") }),
  smooth,
  "ends-page": () => ends("page"),
  "ends-worker": () => ends("worker"),
  place,
};
scenes[new URL(location.href).searchParams.get("scene")!]!()
  .catch((error) => ({ failed: `${error?.message} ${error?.stack}` }))
  .then((result) => parent.postMessage(JSON.stringify(result), "*"));
