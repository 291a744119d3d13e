/**
 * Classification at the edge: POST a photo to /classify, or open / in a browser. The weights are streamed into wasm memory
 * once an isolate, by its first request.
 */
import { env, waitUntil } from "cloudflare:workers";
import { type Classifier, createHandler, fromStream, load } from "resnet-wasm/edge";

const MODEL = "model.safetensors";

async function loadModel(): Promise<Classifier> {
  // Of the 128 MB that a Worker may have, this much for weights and activations; photos want the rest.
  const options = { memoryBytes: 48e6 };
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
  maxBytes: 4e6,
  maxPixels: Number(env.MAX_PIXELS ?? 1.2e6),
  maxWaiting: 32,
  maxBodies: 128,
  maxBodyMemory: 12e6,
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
