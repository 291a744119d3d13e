/** Everything that computes: the model, what was taught, and the device's speed. The page asks by messages. */
import { type Classifier, forget, type HeatmapOptions, init, load, type Model, openModel, usage } from "resnet-wasm";
import { MIRRORS } from "./config.ts";
import { type Keep, openKeep } from "./keep.ts";
import { Lesson } from "./lesson.ts";
import { forNetwork } from "./pictures.ts";
import type { CallName, Calls, Failure, Heat, Opened, Reply, Request } from "./protocol.ts";

/** More threads than this gain little for one image. */
const MOST_THREADS = 4;
/** Classes that the page is given; it shows three. */
const TOP = 10;
/** Milliseconds between two views of the lesson that are sent by themselves. */
const VIEW_EVERY = 500;
/** How much longer than a view takes it is waited for the next one, so that most of the time is left for photos. */
const VIEW_SHARE = 4;

init(MIRRORS);

const post = (reply: Reply, transfer: Transferable[] = []): void => self.postMessage(reply, { transfer });

let classifier: Classifier | undefined;
let opened: Model | undefined;
const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;

/** What the last view took, in milliseconds. */
let viewMs = 0;
let viewTimer: ReturnType<typeof setTimeout> | undefined;
function viewSoon(): void {
  if (viewTimer !== undefined) return;
  viewTimer = setTimeout(
    async () => {
      viewTimer = undefined;
      const began = performance.now();
      post({ lesson: await (await lesson).view() });
      viewMs = performance.now() - began;
    },
    VIEW_EVERY + VIEW_SHARE * viewMs,
  );
}
const keep: Promise<Keep> = openKeep();
const lesson: Promise<Lesson> = keep.then((kept) => Lesson.open(kept, viewSoon));

interface Context<Name extends CallName> {
  readonly signal: AbortSignal;
  tell(value: Calls[Name]["tells"]): void;
}

type Handlers = {
  readonly [Name in CallName]: (given: Calls[Name]["given"], context: Context<Name>) => Promise<Calls[Name]["gives"]>;
};

function loaded(): Classifier {
  if (classifier === undefined) throw Object.assign(new Error("no model is loaded"), { code: "no-model" });
  return classifier;
}

/** What a change to the lesson gives: the lesson after it. */
async function changed(change: (lesson: Lesson) => Promise<void>): ReturnType<Lesson["view"]> {
  const taught = await lesson;
  await change(taught);
  return taught.view();
}

async function heatOf(image: Blob | OffscreenCanvas, label: string): Promise<Heat> {
  const model = loaded();
  const options: HeatmapOptions = { class: model.labels === undefined ? Number(label) : label };
  const { data, shape, area, width, height } = await model.heatmap(image, options);
  return {
    data,
    rows: shape[0],
    columns: shape[1],
    left: area.left / width,
    top: area.top / height,
    width: area.width / width,
    height: area.height / height,
  };
}

const handlers: Handlers = {
  async open({ source }, { signal, tell }): Promise<Opened> {
    const onDownload = ({ loaded, total }: { readonly loaded: number; readonly total?: number | undefined }): void =>
      tell({ done: loaded, ...(total !== undefined && { total }) });
    const model = await openModel(source, { signal, onDownload });
    // Two models at once may be more than a phone has.
    await (await lesson).leave();
    await classifier?.dispose();
    await opened?.close();
    classifier = undefined;
    opened = model;
    const next = await load(model, { signal, threads });
    classifier = next;
    const key = typeof source === "string" ? source : `${source.size} bytes`;
    void (await lesson).follow({ classifier: next, model, threads, key }).catch(() => viewSoon());
    const { data, shape } = await next.preprocess({ width: 1, height: 1, data: new Uint8Array(4) });
    return {
      labels: next.labels,
      classes: next.labels?.length ?? (await next.logits({ data, shape })).shape[1],
      build: next.build,
      vectors: next.vectors,
      threads,
      memoryBytes: next.memoryBytes,
      side: shape[1],
    };
  },
  async keepModel({ file }) {
    await (await keep).put("models", file.name, file);
    return file.name;
  },
  async keptModels() {
    const kept = await keep;
    const names = await kept.keys("models");
    return Promise.all(names.map(async (name) => ({ name, bytes: (await kept.get("models", name))!.size })));
  },
  async keptModel({ name }) {
    const file = await (await keep).get("models", name);
    if (file === undefined) throw Object.assign(new Error(`there is no file ${name}`), { code: "not-found" });
    return file;
  },
  async stored() {
    return (await usage()).models;
  },
  async forgetModel({ name }) {
    await forget(name);
  },
  async removeModel({ name }) {
    await (await keep).delete("models", name);
  },
  async look({ picture, asked, heat }) {
    const began = performance.now();
    const model = loaded();
    const image = forNetwork(picture);
    const answers =
      asked === "taught" ? await (await lesson).classify(image) : await model.classify(image, { topK: TOP });
    const ms = performance.now() - began;
    return { answers, ms, ...(heat !== undefined && { heat: await heatOf(image, heat) }) };
  },
  async similar({ picture }) {
    const { data } = await loaded().features(forNetwork(picture));
    return (await lesson).similar(data);
  },
  async lesson() {
    const taught = await lesson;
    void taught.sweep();
    return taught.view();
  },
  addClass: ({ name }) => changed((lesson) => lesson.addClass(name)),
  async add({ picture, label }) {
    loaded();
    const photo = await (await lesson).add(picture, label);
    viewSoon();
    return photo;
  },
  remove: ({ ids }) => changed((lesson) => lesson.remove(ids)),
  restore: ({ ids }) => changed((lesson) => lesson.restore(ids)),
  relabel: ({ ids, label }) => changed((lesson) => lesson.relabel(ids, label)),
  rename: ({ from, to }) => changed((lesson) => lesson.rename(from, to)),
  removeClass: ({ name }) => changed((lesson) => lesson.removeClass(name)),
  async photo({ id }) {
    const picture = await (await lesson).picture(id);
    if (picture === undefined) throw Object.assign(new Error(`there is no photo ${id}`), { code: "not-found" });
    return picture;
  },
  async exportPhotos(_, { tell }) {
    const { zipOf } = await import("./album.ts");
    return zipOf(await lesson, (done, total) => tell({ done, total }));
  },
  async exportModel() {
    return (await lesson).save();
  },
  importPhotos: ({ file }, { tell, signal }) =>
    changed(async (lesson) => {
      loaded();
      const { unzipInto } = await import("./album.ts");
      await unzipInto(lesson, file, (done, total) => tell({ done, total }), signal);
    }),
  async forgetAll() {
    await (await lesson).forget();
    viewSoon();
  },
  async measure({ source, seconds, seed }, { tell, signal }) {
    const { measure } = await import("./measure.ts");
    const model = loaded();
    const { shape } = await model.preprocess({ width: 1, height: 1, data: new Uint8Array(4) });
    const channels = shape[3] as 1 | 3;
    return measure(model, { source, seconds, seed, side: shape[1], channels, threads }, tell, signal);
  },
};

function failureOf(error: unknown): Failure {
  const { name = "Error", code, message = `${error}` } = (error ?? {}) as Partial<Failure>;
  return { name, message, ...(typeof code === "string" && { code }) };
}

const running = new Map<number, AbortController>();

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  if (data.name === "abort") return running.get(data.id)?.abort();
  const { id, name, given } = data;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const handler = handlers[name] as (given: unknown, context: Context<CallName>) => Promise<unknown>;
    const gives = await handler(given, { signal: controller.signal, tell: (tells) => post({ id, tells }) });
    post({ id, gives });
  } catch (error) {
    post({ id, failed: failureOf(error) });
  } finally {
    running.delete(id);
  }
};
