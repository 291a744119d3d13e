/**
 * From a checkpoint to packed weights: each tensor is checked, read, brought to f32 and packed, one node at a time, so
 * that loading holds no second copy of the model.
 */

import { PANEL_COLUMNS } from "../wasm/tile.js";
import { letEventsRun, untilAborted } from "./abort.ts";
import type { Checkpoint, PackedWeights } from "./checkpoint.ts";
import { readValues } from "./checkpoint.ts";
import { expectedGot, ModelError } from "./errors.ts";
import type { Graph, Node } from "./graph.ts";
import type { Packer } from "./ops/op.ts";
import { opOf, paramsOf } from "./ops/ops.ts";
import { align, type WeightPlan } from "./plan.ts";
import { type Kernels, runStep, step } from "./tape.ts";
import { DTYPE_BYTES, type TensorInfo } from "./tensor.ts";
import { formOf, type Variant } from "./variants.ts";

const PAGE = 65536;

/** Makes the memory at least `bytes` long. Throws `RangeError` when the engine has no more. */
export function ensureMemory(memory: WebAssembly.Memory, bytes: number): void {
  if (bytes > memory.buffer.byteLength) extendMemory(memory, bytes - memory.buffer.byteLength);
}

/**
 * Makes the memory `bytes` longer, or a little more. Returns the address of the first: what one of several threads has
 * grown is its own. Throws `RangeError` when the engine has no more.
 */
export function extendMemory(memory: WebAssembly.Memory, bytes: number): number {
  try {
    return PAGE * memory.grow(Math.ceil(bytes / PAGE));
  } catch {
    const mb = (value: number): string => `${(value / 1e6).toFixed(0)} MB`;
    throw new RangeError(
      expectedGot(
        "memory",
        mb(memory.buffer.byteLength + bytes),
        `no more than ${mb(memory.buffer.byteLength)}`,
        "use a smaller batch, image or model",
      ),
    );
  }
}

/**
 * Checks that every tensor the graph wants is there in the right shape.
 *
 * @param where the file's name
 * @throws ModelError naming the first tensor that is not
 */
export function checkWeights(where: string, graph: Graph, checkpoint: Checkpoint): void {
  const wanted = paramsOf(graph);
  for (const { name, shape, dtype } of wanted) {
    const info = checkpoint.tensors.get(name);
    const expected = `"${name}" [${shape.join(", ")}]`;
    const hint = `the graph is ${graph.name}; choose another with the option arch`;
    if (info === undefined)
      throw new ModelError("tensor-missing", expectedGot(where, expected, "no such tensor", hint), { subject: name });
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      throw new ModelError("tensor-shape", expectedGot(where, expected, `[${info.shape.join(", ")}]`, hint), {
        subject: name,
      });
    }
    const dtypes = dtype === undefined ? ["F32", "F16", "BF16", "F64"] : [dtype];
    if (!dtypes.includes(info.dtype)) {
      throw new ModelError("tensor-shape", expectedGot(where, `"${name}" as ${dtypes.join(" or ")}`, info.dtype), {
        subject: name,
      });
    }
  }
}

function elements(info: TensorInfo): number {
  return info.shape.reduce((a, b) => a * b, 1);
}

/**
 * The largest magnitude of a weight. Trained networks stay below 1e6; products of a few numbers of this size are beyond f32, and
 * their sums would be NaN.
 */
const MAX_WEIGHT = 2 ** 60;

/** Elements of a slice of `sum_squares_f32`. */
const SLICE = 4096;

/** The index of the first value that is not, or the length. A loop: few engines have optimised a callback by then. */
function firstUnlessSmall(values: Float32Array): number {
  let at = 0;
  // NaN is not below anything.
  while (at < values.length && Math.abs(values[at]!) <= MAX_WEIGHT) ++at;
  return at;
}

function checkFinite(where: string, name: string, values: Float32Array): void {
  const at = firstUnlessSmall(values);
  if (at === values.length) return;
  throw new ModelError(
    "not-finite",
    expectedGot(where, `finite numbers, below 2^60, in "${name}"`, `${values[at]} at element ${at}`),
    { subject: name },
  );
}

/** Whether a file's panels of a layer are those that its variant reads. */
export function isPackedFor({ layout, form }: PackedWeights, name: string, { algorithm }: Variant): boolean {
  const held = form(name);
  return held !== undefined && held === formOf(algorithm) && layout.columns === PANEL_COLUMNS;
}

/**
 * Packs every node's weights at its planned address. What lies behind them serves as the staging area, so that the peak
 * stays near the final size.
 *
 * @param where the file's name, for errors
 * @throws ModelError when a tensor is short or not finite, the signal's reason when it aborts; the memory's contents are then
 * worthless
 */
export async function packWeights(
  where: string,
  graph: Graph,
  weights: WeightPlan,
  checkpoint: Checkpoint,
  kernels: Kernels,
  signal?: AbortSignal,
): Promise<void> {
  const { memory, exports } = kernels;
  let free = 0;
  const reserve = (bytes: number): number => {
    const address = free;
    free = align(free + bytes);
    ensureMemory(memory, free);
    return address;
  };
  /** The tensor's bytes as the file has them, at the returned address. */
  const stage = async (name: string): Promise<{ address: number; length: number }> => {
    const info = checkpoint.tensors.get(name)!;
    const length = elements(info) * DTYPE_BYTES[info.dtype];
    const address = reserve(length);
    const place = new Uint8Array(memory.buffer, address, length);
    const bytes = await untilAborted(checkpoint.read(name, place), signal);
    if (bytes !== place) new Uint8Array(memory.buffer, address, bytes.byteLength).set(bytes);
    return { address, length };
  };
  /** The tensor's elements as f32 at the returned address. */
  const load = async (name: string): Promise<{ address: number; info: TensorInfo }> => {
    const info = checkpoint.tensors.get(name)!;
    const count = elements(info);
    let { address } = await stage(name);
    if (info.dtype !== "F32") {
      const stored = address;
      address = reserve(count * 4);
      const values = new Float32Array(memory.buffer, address, count);
      if (info.dtype === "F64") {
        values.set(new Float64Array(memory.buffer, stored, count));
      } else {
        runStep(
          exports,
          step(name, "widen_f32", count, { mantissa: info.dtype === "F16" ? 10 : 7, input: stored, out: address }),
        );
      }
    }
    if (!isSmall(address, count)) checkFinite(where, name, new Float32Array(memory.buffer, address, count));
    return { address, info };
  };
  /** Whether sums of squares show that all numbers are finite and within `MAX_WEIGHT`: faster than a look at each from here. */
  const isSmall = (address: number, count: number): boolean => {
    const n = count - (count % SLICE);
    // A look at each is all there is to do.
    if (n === 0) return false;
    const before = free;
    const out = reserve((4 * n) / SLICE);
    runStep(exports, step("", "sum_squares_f32", n / SLICE, { n, input: address, out }));
    free = before;
    const sums = new Float32Array(memory.buffer, out, n / SLICE);
    const rest = new Float32Array(memory.buffer, address + 4 * n, count - n);
    return sums.every((sum) => sum <= MAX_WEIGHT ** 2) && firstUnlessSmall(rest) === rest.length;
  };
  const raw = async (name: string): Promise<{ address: number; readonly bytes: Uint8Array }> => {
    const { address, length } = await stage(name);
    return {
      address,
      // The memory may grow, and leave views behind.
      get bytes() {
        return new Uint8Array(memory.buffer, address, length);
      },
    };
  };
  const packer: Packer = {
    where,
    variant: (name) => weights.variants.get(name)!,
    tensor: load,
    raw,
    async panels(name, address, bytes) {
      const { packed } = checkpoint;
      const variant = weights.variants.get(name)!;
      if (packed === undefined || !isPackedFor(packed, name, variant)) return false;
      const place = new Uint8Array(memory.buffer, address, bytes);
      const read = await untilAborted(packed.read(name, place), signal);
      if (read !== place) place.set(read);
      const isF32 = packed.form(name) === "f32";
      if (isF32 && !isSmall(address, bytes / 4))
        checkFinite(where, name, new Float32Array(memory.buffer, address, bytes / 4));
      return true;
    },
    view: (address, bytes) => new Uint8Array(memory.buffer, address, bytes),
    async values(name) {
      const { address, info } = await load(name);
      return new Float32Array(memory.buffer, address, elements(info)).slice();
    },
    write(address, values) {
      new Float32Array(memory.buffer, address, values.length).set(values);
    },
    copy(address, bytes) {
      new Uint8Array(memory.buffer, address, bytes.byteLength).set(bytes);
    },
    put(values) {
      const address = reserve(values.byteLength);
      packer.write(address, values);
      return address;
    },
    scratch: reserve,
    run: (each) => runStep(exports, each),
  };
  ensureMemory(memory, weights.end);
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const planned = [...weights.addresses].map(([name, address]) => ({ node: nodes.get(name)!, address }));
  if (checkpoint.sequential === true) {
    // A stream is packed as it comes, staged behind all weights: where activations will lie.
    const order = new Map([...checkpoint.tensors.keys()].map((name, i) => [name, i]));
    const last = (node: Node): number =>
      Math.max(
        ...opOf(node)
          .params(node)
          .map(({ name }) => order.get(name)!),
      );
    planned.sort((a, b) => last(a.node) - last(b.node));
  }
  for (const { node, address } of planned) {
    await letEventsRun(signal);
    const op = opOf(node);
    // In the order they lie: what is behind this node's weights is still free.
    free = checkpoint.sequential ? weights.end : align(address + op.weightBytes(node, packer.variant(node.name)));
    await op.pack(node, address, packer);
  }
}

/** A weight that is to be trained. Throws `ModelError` unless all of it is finite. */
export async function readWeights(where: string, checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const values = await readValues(checkpoint, name);
  checkFinite(where, name, values);
  const at = name.endsWith(".running_var") ? values.findIndex((value) => value < 0) : -1;
  if (at < 0) return values;
  const got = `${values[at]} at element ${at}`;
  throw new ModelError("malformed", expectedGot(where, `variances of 0 or more in "${name}"`, got), { subject: name });
}
