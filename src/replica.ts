/**
 * One replica: a worker that decodes and computes whole images. Weights are in a memory that it shares with others; it writes
 * to a region of its own there, and prepares images in a memory of its own, which goes with it when it is ended.
 */
import type { Decoders } from "./decode/image.ts";
import { Engine, type EngineTarget, type Region } from "./engine.ts";
import { type Forward, ForwardPass, type Job, type Packed, PLANS } from "./forward.ts";
import { instantiateKernels } from "./kernels.ts";
import { type PortableError, toPortable } from "./portable-error.ts";
import type { ModuleName } from "./runtime.ts";
import { VARIANTS, type Variant } from "./variants.ts";

/** What a replica receives: first what it is to run, then jobs. */
export type ToReplica =
  | {
      readonly kind: "join";
      readonly packed: PortablePacked;
      readonly target: EngineTarget;
      readonly memory: WebAssembly.Memory;
      readonly region: Region;
      /** The kernels over shared memory and over one of its own, and the decoders. */
      readonly modules: Readonly<Partial<Record<ModuleName, WebAssembly.Module>>>;
      /** As the runtime has them. */
      readonly name: string;
      readonly imageBytes: number | undefined;
    }
  | { readonly kind: "job"; readonly job: Job };

/** What it answers to each, with what memory it has then. */
export type FromReplica = (
  | { readonly kind: "done"; readonly outputs: readonly Float32Array[] }
  | { readonly kind: "failed"; readonly error: PortableError }
) & {
  readonly region: Region;
  /** Bytes of wasm memory that is not shared. */
  readonly ownBytes: number;
};

/** A network that can be posted: variants, which have functions, are rows of their table. */
export type PortablePacked = Omit<Packed, "weights"> & {
  readonly weights: Omit<Packed["weights"], "variants"> & { readonly variants: ReadonlyMap<string, number> };
};

export function portable(packed: Packed): PortablePacked {
  const variants = new Map([...packed.weights.variants].map(([name, variant]) => [name, VARIANTS.indexOf(variant)]));
  return { ...packed, weights: { ...packed.weights, variants } };
}

function fromPortable(packed: PortablePacked): Packed {
  const rows = [...packed.weights.variants].map(([name, row]): [string, Variant] => [name, VARIANTS[row]!]);
  return { ...packed, weights: { ...packed.weights, variants: new Map(rows) } };
}

/**
 * Serves as a replica.
 *
 * @param answer posts to its owner
 * @param decodeHeif the runtime's, a function, which cannot be posted
 * @returns what to call with each message from it, one after the other
 */
export function serveReplica(
  answer: (message: FromReplica) => void,
  decodeHeif: NonNullable<Decoders["decodeHeif"]>,
): (message: unknown) => Promise<void> {
  let pass: ForwardPass;
  let engine: Engine<Forward>;
  let own: WebAssembly.Memory;
  return async (message) => {
    const order = message as ToReplica;
    if (order.kind === "join") {
      const { packed, target, memory, region, modules, name, imageBytes } = order;
      const { build } = target;
      const kernelsOver = (over: WebAssembly.Memory, wanted: ModuleName) => {
        const module = modules[wanted]!;
        return { build, module, memory: over, exports: instantiateKernels(module, over) };
      };
      own = new WebAssembly.Memory({ initial: 1 });
      engine = new Engine(packed.source, target, kernelsOver(memory, `${build}.shared`), PLANS, region);
      const decoders: Decoders = {
        name,
        decodeHeif,
        module: async (wanted) => modules[wanted]!,
        ...(imageBytes !== undefined && { imageBytes }),
      };
      pass = new ForwardPass(fromPortable(packed), engine, decoders, kernelsOver(own, build));
    }
    let result: { kind: "done"; outputs: readonly Float32Array[] } | { kind: "failed"; error: PortableError };
    try {
      result = { kind: "done", outputs: order.kind === "job" ? await pass.do(order.job) : [] };
    } catch (error) {
      result = { kind: "failed", error: toPortable(error) };
    }
    answer({ ...result, region: engine.region!, ownBytes: own.buffer.byteLength });
  };
}
