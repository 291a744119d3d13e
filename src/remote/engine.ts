/** What a page's worker does: classifiers and trainings, whose images, events and answers are posted. */
import { type BuildOptions, checkBuildOptions } from "../choice.ts";
import { type Classifier, type DecodeDefault, loadModel } from "../classifier.ts";
import { checkDecode } from "../decode/wanted.ts";
import { StateError } from "../errors.ts";
import { prepareKernels } from "../kernels.ts";
import type { Runtime } from "../runtime.ts";
import { closeImage, openImage } from "./images.ts";
import { openModel, type PlainModel, type PostedModel, plainModel } from "./models.ts";
import { type Handler, Moved } from "./peer.ts";

/** What a page knows of a classifier in its worker. */
export interface Description extends Pick<Classifier, "build" | "vectors" | "layers" | "output" | "replicas"> {
  readonly id: number;
  readonly model: PlainModel;
  readonly memoryBytes: number;
}

/** What a call came to. */
export interface Answer {
  readonly result: unknown;
  readonly memoryBytes: number;
}

/** Methods that a page may call, and which of their arguments the options are. */
export const METHODS = {
  classify: 1,
  probabilities: 2,
  logits: 1,
  features: 1,
  embed: 1,
  activations: 2,
  heatmap: 1,
  warmup: 0,
  preprocess: 1,
} as const satisfies Partial<Record<keyof Classifier, number>>;
export type Method = keyof typeof METHODS;

/** Buffers that a result has to itself. */
function buffersOf(value: unknown): readonly ArrayBuffer[] {
  if (typeof value !== "object" || value === null) return [];
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteLength } = value;
    return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : [];
  }
  if (value instanceof Map) return [...value.values()].flatMap(buffersOf);
  return "data" in value ? buffersOf(value.data) : [];
}

/** Handlers for classifiers. */
export function serveClassifiers(runtime: Runtime): Readonly<Record<string, Handler>> {
  const classifiers = new Map<number, Classifier>();
  let next = 0;
  return {
    /** Checks what can be checked before a download, and begins to compile meanwhile. */
    async prepare([given]) {
      const options = given as BuildOptions & DecodeDefault;
      const { build, threads } = checkBuildOptions(options);
      checkDecode(options.decode);
      prepareKernels(runtime, build, threads > 1 || options.replicas !== undefined);
    },
    async load([posted, given], signal) {
      const model = openModel(posted as PostedModel);
      try {
        const classifier = await loadModel(runtime, model, { ...(given as BuildOptions & DecodeDefault), signal });
        const id = next++;
        classifiers.set(id, classifier);
        const { build, vectors, layers, output, replicas, memoryBytes } = classifier;
        const described = { build, vectors, layers, output, replicas, memoryBytes };
        return { id, ...described, model: plainModel(classifier.model) } satisfies Description;
      } finally {
        await model.close();
      }
    },
    async do([id, method, given, isAbortable], signal) {
      const classifier = classifiers.get(id as number);
      if (classifier === undefined) throw new StateError("expected a loaded model, got one that was disposed");
      const [image, ...rest] = given as readonly unknown[];
      const at = METHODS[method as Method];
      const args = [method === "warmup" || Array.isArray(image) ? image : openImage(image), ...rest];
      if (isAbortable === true) args[at] = { ...(args[at] as object), signal };
      try {
        const call = classifier[method as Method] as (...args: readonly unknown[]) => Promise<unknown>;
        const result = await call.apply(classifier, args);
        const { memoryBytes } = classifier;
        return new Moved({ result, memoryBytes } satisfies Answer, buffersOf(result));
      } finally {
        closeImage(image);
      }
    },
    async dispose([id]) {
      await classifiers.get(id as number)!.dispose();
      classifiers.delete(id as number);
    },
  };
}
