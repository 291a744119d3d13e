/**
 * Memory of a model that was disposed. Engines collect garbage when enough of what they count has been made, and they count buffers
 * but hardly WebAssembly memory: six ResNet-18 that were loaded and disposed one after the other left 942 MB in Node 26, and a page of
 * Firefox kept 800 MB of fine-tunings for good. Buffers that nobody writes to take address space only, and make them look.
 */
import { letEventsRun } from "./abort.ts";

/** Fewer, or smaller ones, did not always make V8 collect. */
const [BUFFERS, BUFFER_BYTES] = [4, 2 ** 27];
/** Less than this is left to the engine. */
export const COLLECTED_BYTES = 32 * 2 ** 20;

/** Makes the engine collect garbage soon: one buffer a task, so that it can do so in steps. */
export async function requestCollection(): Promise<void> {
  const { signal } = new AbortController();
  try {
    for (let i = 0; i < BUFFERS; ++i) {
      new Uint8Array(BUFFER_BYTES).at(0);
      await letEventsRun(signal);
    }
  } catch {
    // Where there is no address space for it, the engine has just collected.
  }
}
