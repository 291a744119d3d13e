/**
 * The example's Worker, with garbage collected now and then. Where nothing bounds its memory workerd hardly collects at all: a
 * Worker that does nothing takes 8 kB more with every request. Cloudflare's runtime collects when a Worker nears its limit.
 */
import worker from "../../examples/worker/src/index.ts";

const EVERY = 100;
let requests = 0;

export default {
  fetch(request: Request): Promise<Response> {
    requests += 1;
    if (requests % EVERY === 0) (globalThis as { gc?(): void }).gc?.();
    return worker.fetch(request);
  },
};
