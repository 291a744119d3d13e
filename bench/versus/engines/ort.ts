/** What onnxruntime's two packages have in common. */
import { channelsFirst, type Weight } from "../network.ts";
import type { Session } from "./engine.ts";

interface OrtTensor {
  readonly data: Float32Array;
}

interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

export interface Ort {
  readonly env: { readonly wasm: { numThreads?: number } };
  readonly InferenceSession: {
    create(model: string | Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
  readonly Tensor: new (type: "float32", data: Float32Array, shape: readonly number[]) => OrtTensor;
}

/** Opens a session with every optimisation on, one operator at a time, `threads` inside each; it computes the same images each time. */
export async function openOrt(
  ort: Ort,
  provider: "wasm" | "cpu",
  model: string | Uint8Array,
  threads: number,
  images: Weight,
): Promise<Session> {
  const { compute, close } = await startOrt(ort, provider, model, threads);
  const { data, shape } = channelsFirst(images);
  const tensor = new ort.Tensor("float32", data, shape);
  return { run: () => compute(tensor), close };
}

/** A session that computes any images. */
export async function startOrt(
  ort: Ort,
  provider: "wasm" | "cpu",
  model: string | Uint8Array,
  threads: number,
): Promise<{ compute(images: OrtTensor): Promise<Float32Array>; close(): Promise<void> }> {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const [input, output] = [session.inputNames[0]!, session.outputNames[0]!];
  return {
    compute: async (images) => (await session.run({ [input]: images }))[output]!.data,
    close: () => session.release(),
  };
}
