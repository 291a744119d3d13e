/**
 * What an engine is to this bench: something that opens the written model and then computes the same images again and
 * again. Layout and type of the input are the engine's own, prepared once and outside the time; the copy into the
 * engine's memory is inside.
 */
import type { EngineName, ModelFiles, Setting } from "../contest.ts";
import type { Weight } from "../network.ts";

export { Unavailable } from "./unavailable.ts";

/** A loaded model. */
export interface Session {
  /** Computes the images once; resolves to the logits `[n, classes]`. */
  run(): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Loads a model.
 *
 * @param images `[n, h, w, 3]`
 * @param build one of the contender's builds
 * @throws Unavailable when the engine cannot do what the setting asks, here
 */
export type Open = (files: ModelFiles, setting: Setting, images: Weight, build: string) => Promise<Session>;

/** The engine's `open`, imported only when asked for: nobody's start-up pays for another's library. */
export async function engine(name: EngineName): Promise<Open> {
  switch (name) {
    case "ours":
      return (await import("./ours.ts")).open;
    case "ort-web":
      return (await import("./ort-web.ts")).open;
    case "tfjs":
      return (await import("./tfjs.ts")).open;
    case "ort-node":
      return (await import("./ort-node.ts")).open;
  }
}
