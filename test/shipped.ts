/** The runtime of the sources with the worker of the package. */
import type { Runtime } from "../src/runtime.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";

/** The worker as it is shipped, from `dist/`: the sources need an engine that reads TypeScript. */
export async function shipped(): Promise<Runtime> {
  const { nodeRuntime: built } = (await import(new URL("../dist/runtimes/node.js", import.meta.url).href)) as {
    nodeRuntime: typeof nodeRuntime;
  };
  return { ...nodeRuntime(), startWorker: built().startWorker };
}
