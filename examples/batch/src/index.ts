/**
 * Classifies a bucket of images by a queue: `POST /enqueue` puts the keys of images without a result on the queue, consumers
 * classify them in batches and write one result a key. As many consumers as there is work run at once.
 *
 *     images/<key>         what is to be classified
 *     results/<key>.json   its classes, or what is wrong with it; written once and never again
 *     failed/<key>.json    keys that were given up, from the dead-letter queue
 */
import { type Classifier, fromStream, ImageError, load } from "resnet-wasm/edge";

interface Stored {
  readonly key: string;
}
interface Listed {
  readonly objects: readonly Stored[];
  readonly truncated: boolean;
  readonly cursor?: string;
}
/** What is used of an R2 bucket. */
interface Bucket {
  get(key: string): Promise<{
    readonly body: ReadableStream<Uint8Array>;
    readonly size: number;
    arrayBuffer(): Promise<ArrayBuffer>;
  } | null>;
  head(key: string): Promise<Stored | null>;
  put(key: string, value: string, options?: { readonly onlyIf?: Headers }): Promise<Stored | null>;
  list(options: { readonly prefix: string; readonly cursor?: string | undefined }): Promise<Listed>;
}
interface Job {
  /** Below `images/`. */
  readonly key: string;
}
interface Message {
  readonly body: Job;
  /** 1 when it is delivered for the first time. */
  readonly attempts: number;
  ack(): void;
  retry(options: { readonly delaySeconds: number }): void;
}
export interface Env {
  readonly BUCKET: Bucket;
  readonly JOBS: { sendBatch(messages: readonly { readonly body: Job }[]): Promise<unknown> };
  /** Key of the weights in the bucket. */
  readonly MODEL: string;
}

/** Most messages that one `sendBatch` takes. */
const SEND = 100;
/** The name that the dead-letter queue has in `wrangler.jsonc`. */
const FAILED = "classify-failed";
/** Images at once: one is computed while others are read from the bucket and written to it. */
const LANES = 4;
/** Most pixels of an image. */
const MAX_PIXELS = 1.5e6;

let model: Promise<Classifier> | undefined;

/** The network, loaded by the isolate's first batch. */
function modelOf(env: Env): Promise<Classifier> {
  model ??= loadModel(env).catch((error) => {
    model = undefined;
    throw error;
  });
  return model;
}

async function loadModel({ BUCKET, MODEL }: Env): Promise<Classifier> {
  const object = await BUCKET.get(MODEL);
  if (object === null) throw new Error(`${MODEL} is not in the bucket`);
  return load(fromStream(MODEL, object.body, object.size), { memoryBytes: 48e6 });
}

async function* keysOf(bucket: Bucket, prefix: string): AsyncGenerator<string> {
  let page: Listed | undefined;
  do {
    page = await bucket.list({ prefix, cursor: page?.cursor });
    for (const { key } of page.objects) yield key.slice(prefix.length);
  } while (page.truncated);
}

/** Puts every image without a result on the queue. Doing so twice does no harm. */
async function enqueue({ BUCKET, JOBS }: Env): Promise<number> {
  const done = new Set<string>();
  for await (const name of keysOf(BUCKET, "results/")) done.add(name.replace(/\.json$/, ""));
  let jobs: { readonly body: Job }[] = [];
  let count = 0;
  const send = async (): Promise<void> => {
    if (jobs.length > 0) await JOBS.sendBatch(jobs);
    count += jobs.length;
    jobs = [];
  };
  for await (const key of keysOf(BUCKET, "images/")) {
    if (!done.has(key)) jobs.push({ body: { key } });
    if (jobs.length === SEND) await send();
  }
  await send();
  return count;
}

/** Classifies one image and writes its result, unless there is one. Throws when it may go better another time. */
async function work(env: Env, { body: { key }, attempts }: Message): Promise<void> {
  const { BUCKET } = env;
  const result = `results/${key}.json`;
  // The consumer before this one may have ended between the result and the acknowledgement.
  if (attempts > 1 && (await BUCKET.head(result)) !== null) return;
  const object = await BUCKET.get(`images/${key}`);
  let answer: unknown = { error: "no such image" };
  if (object !== null) {
    const bytes = await object.arrayBuffer();
    const classifier = await modelOf(env);
    try {
      answer = { predictions: await classifier.classify(bytes, { maxPixels: MAX_PIXELS }) };
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      // A broken image is broken the next time too.
      answer = { error: error.message.split("\n")[0] };
    }
  }
  await BUCKET.put(result, JSON.stringify({ key, ...(answer as object) }), {
    onlyIf: new Headers({ "If-None-Match": "*" }),
  });
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/enqueue" && request.method === "POST") return Response.json({ enqueued: await enqueue(env) });
    return Response.json({ error: "POST to /enqueue" }, { status: 404 });
  },

  async queue(batch: { readonly queue: string; readonly messages: readonly Message[] }, env: Env): Promise<void> {
    const rest = batch.messages.values();
    const lane = async (): Promise<void> => {
      for (const message of rest) {
        const { key } = message.body;
        try {
          if (batch.queue === FAILED) await env.BUCKET.put(`failed/${key}.json`, JSON.stringify({ key }));
          else await work(env, message);
          message.ack();
        } catch (error) {
          console.error(`${key}: ${(error as Error).message}`);
          message.retry({ delaySeconds: Math.min(2 ** message.attempts, 600) });
        }
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  },
};
