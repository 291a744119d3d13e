/**
 * Weights that a file holds in parts: PyTorch's weight normalisation (Salimans & Kingma, arXiv 1602.07868: a direction `v` and
 * a length `g`) and its pruning (`weight_orig` times `weight_mask`). Each is computed when it is read, and has the name that the
 * network knows.
 */
import { type Checkpoint, readValues } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { TensorInfo } from "../tensor.ts";

/** A tensor that is computed from two others. */
interface Derived {
  readonly info: TensorInfo;
  readonly parts: readonly [string, string];
  compute(a: Float32Array, b: Float32Array): Float32Array<ArrayBuffer>;
}

/** Ends of the names of both parts, and what they make. */
const KINDS = [
  { ends: ["_orig", "_mask"], of: pruned },
  { ends: ["_g", "_v"], of: weightNorm },
] as const;

/** How PyTorch 2 names the parts: `parametrizations.weight.original0`. */
const PARAMETRIZED = /^(.*\.)?parametrizations\.(\w+)\.original([01])$/;

/**
 * The checkpoint with such weights whole, in place of their parts.
 *
 * @throws ModelError for parts whose shapes do not fit each other
 */
export function derived(where: string, inner: Checkpoint): Checkpoint {
  const wholes = new Map<string, Derived>();
  const taken = new Set<string>();
  for (const [name, info] of inner.tensors) {
    const pair = partnerOf(name);
    const other = pair === undefined ? undefined : inner.tensors.get(pair.other);
    if (pair === undefined || other === undefined || inner.tensors.has(pair.whole)) continue;
    wholes.set(pair.whole, pair.of(`${where}: "${name}"`, [name, pair.other], info, other));
    taken.add(name).add(pair.other);
  }
  if (wholes.size === 0) return inner;
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of inner.tensors) {
    const whole = partnerOf(name)?.whole;
    if (whole !== undefined && wholes.has(whole)) tensors.set(whole, wholes.get(whole)!.info);
    else if (!taken.has(name)) tensors.set(name, info);
  }
  return {
    ...inner,
    tensors,
    async read(name, into) {
      const whole = wholes.get(name);
      if (whole === undefined) return inner.read(name, into);
      const [a, b] = whole.parts;
      return new Uint8Array(whole.compute(await readValues(inner, a), await readValues(inner, b)).buffer);
    },
  };
}

/** For the name of the first part: those of the second and of the whole, and what makes it. */
function partnerOf(
  name: string,
): { readonly whole: string; readonly other: string; readonly of: (typeof KINDS)[number]["of"] } | undefined {
  const [, module = "", leaf, index] = (name.includes("parametrizations.") && PARAMETRIZED.exec(name)) || [];
  if (leaf !== undefined) {
    if (index !== "0") return undefined;
    return { whole: `${module}${leaf}`, other: name.replace(/0$/, "1"), of: weightNorm };
  }
  for (const { ends, of } of KINDS) {
    const [first, second] = ends;
    if (!name.endsWith(first)) continue;
    const whole = name.slice(0, -first.length);
    return { whole, other: `${whole}${second}`, of };
  }
  return undefined;
}

function pruned(where: string, parts: readonly [string, string], values: TensorInfo, mask: TensorInfo): Derived {
  if (`${values.shape}` !== `${mask.shape}`) throw mismatch(where, values.shape, mask.shape, parts[1]);
  const info: TensorInfo = { dtype: "F32", shape: values.shape };
  return { info, parts, compute: (a, b) => Float32Array.from(a, (each, i) => each * b[i]!) };
}

/** `g · v / |v|`, the length over all dimensions in which `g` has one element. */
function weightNorm(where: string, parts: readonly [string, string], g: TensorInfo, v: TensorInfo): Derived {
  const { shape } = v;
  // One length for the whole tensor may be a scalar.
  const lengths = g.shape.length === 0 ? shape.map(() => 1) : g.shape;
  const fits = lengths.length === shape.length && lengths.every((size, i) => size === 1 || size === shape[i]);
  if (!fits) throw mismatch(where, shape, g.shape, parts[1]);
  const groupOf = (index: number): number => {
    let group = 0;
    let rest = index;
    for (let axis = shape.length - 1, step = 1; axis >= 0; --axis) {
      if (lengths[axis] !== 1) {
        group += (rest % shape[axis]!) * step;
        step *= shape[axis]!;
      }
      rest = Math.floor(rest / shape[axis]!);
    }
    return group;
  };
  const compute = (scale: Float32Array, direction: Float32Array): Float32Array<ArrayBuffer> => {
    const squares = new Float64Array(scale.length);
    direction.forEach((each, i) => {
      squares[groupOf(i)]! += each * each;
    });
    return Float32Array.from(direction, (each, i) => (scale[groupOf(i)]! * each) / Math.sqrt(squares[groupOf(i)]!));
  };
  return { info: { dtype: "F32", shape }, parts, compute };
}

function mismatch(where: string, shape: readonly number[], got: readonly number[], subject: string): ModelError {
  const expected = `a part that fits "${subject}" [${shape.join(", ")}]`;
  return new ModelError("tensor-shape", expectedGot(where, expected, `[${got.join(", ")}]`), { subject });
}
