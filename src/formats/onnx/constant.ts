/**
 * Arithmetic on shapes, done while a graph is read: what exporters write to say "the batch, whatever it is, and the rest in
 * one dimension", or to bring PyTorch's list of pads into ONNX's order. Small tensors of numbers; the batch stays a symbol.
 */
import type { Call, Constant, Dim } from "./call.ts";

/** Most elements of a result. */
const MAX_ELEMENTS = 1 << 16;

/** A list of whole numbers. */
export function vector(data: readonly Dim[]): Constant {
  return { kind: "constant", dims: [data.length], data, integer: true };
}

/** The elements as plain numbers. */
export function plainNumbers(call: Call, { data }: Constant): readonly number[] {
  if (!data.includes("n")) return data as readonly number[];
  throw call.fail("numbers that do not depend on the batch", `[${data.slice(0, 8).join(", ")}]`);
}

function size(call: Call, dims: readonly number[]): number {
  const count = dims.reduce((product, each) => product * each, 1);
  if (count >= 0 && count <= MAX_ELEMENTS && dims.every((each) => Number.isInteger(each) && each >= 0)) return count;
  throw call.fail(`a shape of at most ${MAX_ELEMENTS} elements`, `[${dims.join(", ")}]`);
}

/** A result whose element at each index is `at(index)`. */
function build(
  call: Call,
  dims: readonly number[],
  integer: boolean,
  at: (index: readonly number[]) => Dim | undefined,
): Constant {
  const data = Array.from({ length: size(call, dims) }, (_, flat) => {
    const index: number[] = [];
    for (let i = dims.length - 1, rest = flat; i >= 0; --i) {
      index[i] = rest % dims[i]!;
      rest = Math.floor(rest / dims[i]!);
    }
    const value = at(index);
    if (value === undefined) throw call.fail("indices inside the tensor", `[${index.join(", ")}]`);
    return value;
  });
  return { kind: "constant", dims, data, integer };
}

/** The element at `index`; indices beyond one of its dimensions are refused, not wrapped. */
function element({ dims, data }: Constant, index: readonly number[]): Dim | undefined {
  let flat = 0;
  for (let i = 0; i < dims.length; ++i) {
    if (!(index[i]! >= 0 && index[i]! < dims[i]!)) return undefined;
    flat = flat * dims[i]! + index[i]!;
  }
  return data[flat];
}

/** A dimension's index, counted from the end where negative. */
export function axisOf(call: Call, axis: number, rank: number): number {
  const from = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(from) && from >= 0 && from < rank) return from;
  throw call.fail(`an axis of ${rank} dimensions`, `${axis}`);
}

function broadcast(call: Call, operands: readonly Constant[], combine: (...values: Dim[]) => Dim): Constant {
  const rank = Math.max(...operands.map(({ dims }) => dims.length));
  const dimOf = ({ dims }: Constant, i: number): number => dims[i - rank + dims.length] ?? 1;
  const dims = Array.from({ length: rank }, (_, i) => {
    const sizes = operands.map((each) => dimOf(each, i));
    const widest = sizes.find((each) => each !== 1) ?? 1;
    if (sizes.every((each) => each === 1 || each === widest)) return widest;
    throw call.fail("shapes that broadcast", operands.map((each) => `[${each.dims.join(", ")}]`).join(" and "));
  });
  const integer = operands.every((each) => each.integer);
  return build(call, dims, integer, (index) =>
    combine(
      ...operands.map((each) => {
        const own = each.dims.map((length, i) => (length === 1 ? 0 : index[i + rank - each.dims.length]!));
        return element(each, own)!;
      }),
    ),
  );
}

function arithmetic(call: Call, a: Constant, b: Constant): Constant {
  const op = call.node.opType;
  const integer = a.integer && b.integer;
  return broadcast(call, [a, b], (x, y) => {
    if (x === "n" || y === "n") {
      // What leaves the batch as it is.
      const [other, isLeft] = x === "n" ? [y, true] : [x, false];
      if (other === 1 && (op === "Mul" || (op === "Div" && isLeft))) return "n";
      if (other === 0 && (op === "Add" || (op === "Sub" && isLeft))) return "n";
      throw call.fail("arithmetic that does not depend on the batch", `${x} and ${y}`);
    }
    if (op === "Add") return x + y;
    if (op === "Sub") return x - y;
    if (op === "Mul") return x * y;
    return integer ? Math.trunc(x / y) : x / y;
  });
}

/** `start`, `end` and `step` of each dimension, as NumPy reads them, for dimensions of known length. */
function slice(call: Call, from: Constant, lists: readonly (readonly number[])[]): Constant {
  const [starts, ends, axes, steps] = lists as [number[], number[], number[], number[]];
  const ranges = from.dims.map((length) => ({ start: 0, step: 1, length }));
  axes.forEach((each, i) => {
    const axis = axisOf(call, each, from.dims.length);
    const length = from.dims[axis]!;
    const step = steps[i] ?? 1;
    if (!Number.isInteger(step) || step === 0) throw call.fail("a step other than 0", `${step}`);
    const [lowest, highest] = step > 0 ? [0, length] : [-1, length - 1];
    const bound = (at: number): number => Math.min(Math.max(at < 0 ? at + length : at, lowest), highest);
    const start = bound(starts[i]!);
    ranges[axis] = { start, step, length: Math.max(0, Math.ceil((bound(ends[i]!) - start) / step)) };
  });
  const dims = ranges.map(({ length }) => length);
  return build(call, dims, from.integer, (index) =>
    element(
      from,
      index.map((at, i) => ranges[i]!.start + at * ranges[i]!.step),
    ),
  );
}

function reshape(call: Call, from: Constant, target: readonly number[]): Constant {
  const dims = target.map((each, i) => (each === 0 ? (from.dims[i] ?? 0) : each));
  const known = dims.reduce((product, each) => product * (each === -1 ? 1 : each), 1);
  const open = dims.indexOf(-1);
  if (open >= 0) dims[open] = known === 0 ? 0 : from.data.length / known;
  if (size(call, dims) !== from.data.length) {
    throw call.fail(`a shape of ${from.data.length} elements`, `[${target.join(", ")}]`);
  }
  return { ...from, dims };
}

/** Dimensions with ones put in at `axes` of the result. */
export function unsqueezed<D extends Dim>(call: Call, dims: readonly D[], axes: readonly number[]): (D | 1)[] {
  const rank = dims.length + axes.length;
  if (rank > 8) throw call.fail("at most 8 dimensions", `${rank}`);
  const at = new Set(axes.map((axis) => axisOf(call, axis, rank)));
  if (at.size !== axes.length) throw call.fail("axes that differ", `[${axes.join(", ")}]`);
  let next = 0;
  return Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : dims[next++]!));
}

/** Starts, ends, axes and steps of a Slice node: attributes up to opset 9, inputs since. */
export async function sliceLists(
  call: Call,
  inputs: readonly (Constant | undefined)[],
): Promise<readonly (readonly number[])[]> {
  const list = (name: string, index: number): readonly number[] | undefined => {
    if (call.opset < 10) return call.ints(name);
    const input = inputs[index];
    // An end at the batch means all of it.
    return input?.data.map((each) => (each === "n" ? Number.MAX_SAFE_INTEGER : each));
  };
  const starts = list("starts", 1);
  const ends = list("ends", 2);
  if (starts === undefined || ends === undefined || starts.length !== ends.length) {
    throw call.fail("as many starts as ends", `${starts?.length ?? 0} and ${ends?.length ?? 0}`);
  }
  const axes = list("axes", 3) ?? starts.map((_, i) => i);
  const steps = (call.opset < 10 ? undefined : list("steps", 4)) ?? starts.map(() => 1);
  if (axes.length !== starts.length || steps.length !== starts.length) {
    throw call.fail(`${starts.length} axes and steps`, `${axes.length} and ${steps.length}`);
  }
  return [starts, ends, axes, steps];
}

/**
 * What a node makes of constants only.
 *
 * @param axes those of Squeeze and Unsqueeze, wherever the opset puts them
 * @returns undefined for an operator that is no shape arithmetic
 */
export async function fold(
  call: Call,
  inputs: readonly (Constant | undefined)[],
  axes: readonly number[] | undefined,
): Promise<Constant | undefined> {
  const [a, b, c] = inputs;
  if (a === undefined) return undefined;
  switch (call.node.opType) {
    case "Add":
    case "Sub":
    case "Mul":
    case "Div":
      return b === undefined ? undefined : arithmetic(call, a, b);
    case "Equal":
      return b === undefined ? undefined : broadcast(call, [a, b], (x, y) => (x === y ? 1 : 0));
    case "Where":
      if (b === undefined || c === undefined) return undefined;
      return { ...broadcast(call, [a, b, c], (when, x, y) => (when === 0 ? y : x)), integer: b.integer && c.integer };
    case "Shape":
      return vector(a.dims);
    case "Gather": {
      if (b === undefined) return undefined;
      const axis = axisOf(call, call.int("axis", 0), a.dims.length);
      const dims = [...a.dims.slice(0, axis), ...b.dims, ...a.dims.slice(axis + 1)];
      return build(call, dims, a.integer, (index) => {
        const at = element(b, index.slice(axis, axis + b.dims.length));
        if (at === undefined || at === "n") return undefined;
        const wrapped = at < 0 ? at + a.dims[axis]! : at;
        return element(a, [...index.slice(0, axis), wrapped, ...index.slice(axis + b.dims.length)]);
      });
    }
    case "Unsqueeze":
      return { ...a, dims: unsqueezed(call, a.dims, axes ?? []) };
    case "Squeeze": {
      const at = axes?.map((axis) => axisOf(call, axis, a.dims.length));
      const wrong = at?.find((axis) => a.dims[axis] !== 1);
      if (wrong !== undefined) throw call.fail(`dimension ${wrong} to be 1`, `[${a.dims.join(", ")}]`);
      return { ...a, dims: a.dims.filter((each, i) => (at === undefined ? each !== 1 : !at.includes(i))) };
    }
    case "Concat": {
      const parts = inputs.filter((each) => each !== undefined);
      if (parts.some(({ dims }) => dims.length !== 1)) throw call.fail("lists to join", "tensors of other ranks");
      const data = parts.flatMap((each) => each.data);
      size(call, [data.length]);
      return { ...vector(data), integer: a.integer };
    }
    case "Slice":
      return slice(call, a, await sliceLists(call, inputs));
    case "Reshape":
      return b === undefined ? undefined : reshape(call, a, plainNumbers(call, b));
    case "Transpose": {
      const order = call.ints("perm") ?? a.dims.map((_, i) => a.dims.length - 1 - i);
      if ([...order].sort((x, y) => x - y).some((each, i) => each !== i) || order.length !== a.dims.length) {
        throw call.fail(`an order of ${a.dims.length} dimensions`, `[${order.join(", ")}]`);
      }
      const dims = order.map((each) => a.dims[each]!);
      return build(call, dims, a.integer, (index) =>
        element(
          a,
          a.dims.map((_, i) => index[order.indexOf(i)]!),
        ),
      );
    }
    case "ConstantOfShape": {
      const filler = await call.constant("value");
      const dims = plainNumbers(call, a);
      return build(call, dims, filler?.integer ?? false, () => filler?.data[0] ?? 0);
    }
    case "Cast": {
      // FLOAT, FLOAT16, DOUBLE, BFLOAT16.
      const integer = ![1, 10, 11, 16].includes(call.int("to", 1));
      const truncated = (each: Dim): Dim => (each === "n" || !integer ? each : Math.trunc(each));
      return { ...a, data: a.data.map(truncated), integer };
    }
    default:
      return undefined;
  }
}
