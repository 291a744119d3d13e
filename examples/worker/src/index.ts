/**
 * Classification at the edge: POST a photo to /classify, or open / in a browser. The weights are streamed into wasm memory
 * once an isolate, by its first request.
 */
import { env, waitUntil } from "cloudflare:workers";
import { type Classifier, createHandler, fromStream, init, load } from "resnet-wasm/edge";

if (env.IMAGES !== undefined) init({ images: env.IMAGES });

const MODEL = "model.safetensors";

async function loadModel(): Promise<Classifier> {
  // Of the 128 MB that a Worker may have, this much for weights and activations; photos want the rest.
  const options = { memoryBytes: 48e6, decode: "fast" } as const;
  if (env.WEIGHTS === undefined) return load(await env.ASSETS.fetch(`https://assets.local/${MODEL}`), options);
  const object = await env.WEIGHTS.get(MODEL);
  if (object === null) throw new Error(`${MODEL} is not in the bucket`);
  return load(fromStream(MODEL, object.body, object.size), options);
}

const handler = createHandler({
  load() {
    const loading = loadModel();
    // Others wait for this too, even when the one who asked first hangs up.
    waitUntil(loading.catch(() => {}));
    return loading;
  },
  origins: (env.ORIGINS ?? "").split(" ").filter((origin) => origin !== ""),
  maxBytes: 20e6,
  // JPEGs of any size take 5 MB at most; of PNG it is 1.2 megapixels, of WebP 0.8.
  maxDecodeBytes: Number(env.MAX_DECODE_BYTES ?? 10e6),
  maxWaiting: 32,
  maxBodies: 128,
  // One of the largest at a time: others are not read before there is room.
  maxBodyMemory: 24e6,
  onError: (error) => console.error(error),
});

export default {
  fetch(request: Request): Promise<Response> {
    const response = handler(request);
    // A Worker stops when its client disconnects, unless something waits for it, and its place in the queue would stay taken.
    waitUntil(response);
    return response;
  },
};
