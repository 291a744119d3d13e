/** The browser's images in a worker: gets a place, and posts its outcomes. */
import type { Package } from "./contract.ts";
import { type Place, runInputs } from "./inputs.ts";

addEventListener("message", async ({ data }: MessageEvent<Place>) => {
  const entry = "/dist/runtimes/browser.js";
  try {
    postMessage(await runInputs((await import(entry)) as Package, data));
  } catch (error) {
    const { message, stack } = error as Error;
    postMessage([{ name: data.name, failed: `${message} ${stack}` }]);
  }
});
