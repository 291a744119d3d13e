/** The file a worker of `serve` starts from: one copy of the model, which decodes and classifies one photo after the other. */
import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import type { Classifier, LoadOptions, Prediction } from "../classifier.ts";
import { load } from "../runtimes/node.ts";
import { type PortableError, toPortable } from "./portable-error.ts";

/** What a replica receives: first what to load, then photos. */
export type ToReplica =
  | { readonly kind: "load"; readonly source: string; readonly options: LoadOptions }
  | { readonly kind: "classify"; readonly photo: Uint8Array; readonly topK: number; readonly maxPixels: number };

/** What it answers to each. */
export type FromReplica =
  | { readonly kind: "loaded"; readonly arch: string; readonly build: string; readonly memoryBytes: number }
  | { readonly kind: "classified"; readonly predictions: readonly Prediction[]; readonly memoryBytes: number }
  | { readonly kind: "failed"; readonly error: PortableError };

// Where photos fill every core, the thread that answers `/health` and turns clients away goes first. On Linux a thread has a
// priority of its own, elsewhere this would be the whole process's.
if (process.platform === "linux") {
  try {
    setPriority(10);
  } catch {
    // Deno without --allow-sys: it works the same, only less evenly.
  }
}

const port = parentPort!;
let model: Classifier | undefined;

async function answerTo(message: ToReplica): Promise<FromReplica> {
  if (message.kind === "load") {
    model = await load(message.source, message.options);
    const { build, memoryBytes } = model;
    return { kind: "loaded", arch: model.model.arch, build, memoryBytes };
  }
  const { photo, topK, maxPixels } = message;
  const predictions = await model!.classify(photo, { topK, maxPixels });
  return { kind: "classified", predictions, memoryBytes: model!.memoryBytes };
}

port.on("message", (message: ToReplica) => {
  answerTo(message)
    .catch((error): FromReplica => ({ kind: "failed", error: toPortable(error) }))
    .then((answer) => port.postMessage(answer));
});
