/**
 * Classifies a bucket of images by a queue. `POST /enqueue` walks over the bucket and puts the images without a result on the
 * queue; new images come by the bucket's own notifications. Consumers classify them in batches and write one result each. As many
 * consumers as there is work run at once.
 *
 *     images/<name>    what is to be classified
 *     results/<name>   its classes, or what is wrong with it: JSON, written once and never again
 *     failed/<name>    images that were given up, from the dead-letter queue
 *     walks/<prefix>*  how far the walk over the images with this prefix is
 */
import { type Classifier, fromStream, ImageError, load } from "resnet-wasm/edge";
import { IMAGES, type Job, MessageError, taskOf } from "./messages.ts";
import { RESULTS, readCursor, resumeWalk, startWalk, walkOn } from "./walk.ts";

/** The name that the dead-letter queue has in `wrangler.jsonc`. */
const FAILED = "classify-failed";
/** Images at once: one is computed while others are read from the bucket and written to it. */
const LANES = 4;
/** Most memory that decoding an image may take: JPEGs of any size, PNGs of 2 megapixels. */
const MAX_DECODE_BYTES = 16e6;
const JSON_TYPE = { httpMetadata: { contentType: "application/json" } };

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

/** Classifies one image and writes its result, unless there is one. Throws when it may go better another time. */
async function work(env: Env, { key }: Job, attempts: number): Promise<void> {
  const { BUCKET } = env;
  const result = `${RESULTS}${key}`;
  // The consumer before this one may have ended between the result and the acknowledgement.
  if (attempts > 1 && (await BUCKET.head(result)) !== null) return;
  const object = await BUCKET.get(`${IMAGES}${key}`);
  // Deleted since.
  if (object === null) return;
  const bytes = await object.arrayBuffer();
  const classifier = await modelOf(env);
  let answer: object;
  try {
    answer = { predictions: await classifier.classify(bytes, { maxDecodeBytes: MAX_DECODE_BYTES }) };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    // A broken image is broken the next time too.
    answer = { error: error.message.split("\n")[0] };
  }
  await BUCKET.put(result, JSON.stringify({ key, ...answer }), {
    ...JSON_TYPE,
    onlyIf: new Headers({ "If-None-Match": "*" }),
  });
}

/** Does what a message asks for. */
async function handle(env: Env, queue: string, { body, attempts }: Message): Promise<void> {
  const task = taskOf(body);
  if (task === null) return;
  if (queue === FAILED) {
    // A walk is never given up.
    if ("walk" in task) await resumeWalk(env, task.walk, 600);
    else await env.BUCKET.put(`failed/${task.key}`, JSON.stringify(task), JSON_TYPE);
  } else if ("walk" in task) await walkOn(env, task, attempts);
  else await work(env, task, attempts);
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const prefix = searchParams.get("prefix") ?? "";
    if (pathname === "/enqueue" && request.method === "POST")
      return Response.json(await startWalk(env, prefix), { status: 202 });
    if (pathname === "/enqueue" && request.method === "GET")
      return Response.json((await readCursor(env.BUCKET, prefix))?.cursor ?? null);
    return Response.json({ error: "POST or GET /enqueue" }, { status: 404 });
  },

  async queue({ queue, messages }, env): Promise<void> {
    const rest = messages.values();
    const lane = async (): Promise<void> => {
      for (const message of rest) {
        try {
          await handle(env, queue, message);
          message.ack();
        } catch (error) {
          console.error(`${JSON.stringify(message.body)}: ${(error as Error).message}`);
          if (error instanceof MessageError) message.ack();
          else message.retry({ delaySeconds: Math.min(2 ** message.attempts, 600) });
        }
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  },
} satisfies ExportedHandler<Env>;
