/**
 * Weights that lie in the file as kernels read them. Such a file is a safetensors file like any other, but for a few layers it
 * has `NAME.packed`, the layer's panels (drawn in `assembly/product.ts`), in place of `NAME.weight`; `layout` in its metadata
 * says how they lie. A machine that wants them so copies them. For any other, and for whatever else reads weights, the weights
 * are taken out of the panels again: packing moves numbers and changes none.
 *
 * Layers that are computed by Winograd's transforms stay as they are: transformed they would take up to eight times the bytes.
 */
import type { Checkpoint, Form, Layout, PackedLayer } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { BUILDS } from "../tape.ts";
import type { TensorInfo } from "../tensor.ts";

/** The only version there is. */
export const LAYOUT_VERSION = 1;

/** A layer whose weight is packed. */
type Panels = PackedLayer & Required<Pick<PackedLayer, "form" | "shape" | "groups">>;

/** The end of a packed tensor's name. */
export const PACKED = ".packed";

/** Inputs of a cell, and bytes of one weight. */
const FORMS: Readonly<Record<Form, { readonly inputs: number; readonly bytes: 1 | 4 }>> = {
  f32: { inputs: 1, bytes: 4 },
  dot8: { inputs: 4, bytes: 1 },
  dot16: { inputs: 2, bytes: 1 },
};
const DOTS = ["dot8", "dot16", "both"];
const AGAIN = "convert the original again";
const [MAX_COLUMNS, MAX_ELEMENTS] = [64, 2 ** 31];

/**
 * The checkpoint under the names and shapes of an ordinary one; its panels are `packed`. Without a layout, as it is.
 *
 * @throws ModelError for a layout that is not known here, or tensors that are not as it says
 */
export function unpacked(where: string, inner: Checkpoint): Checkpoint {
  const layout = readLayout(where, inner.metadata.layout!);
  const layers = new Map<string, Panels>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of inner.tensors) {
    if (!name.endsWith(PACKED)) {
      tensors.set(name, info);
      continue;
    }
    const node = name.slice(0, -PACKED.length);
    const layer = Object.hasOwn(layout.layers, node) ? layout.layers[node]! : undefined;
    if (layer === undefined || !isPacked(layer)) {
      throw wrong(`${where}: "${name}"`, `"${node}" as a packed layer of the layout`, "none", name);
    }
    checkSize(where, name, layer, layout.columns, info);
    tensors.set(`${node}.weight`, { dtype: layer.form === "f32" ? "F32" : "I8", shape: layer.shape });
    layers.set(node, layer);
  }
  for (const [node, layer] of Object.entries(layout.layers)) {
    if (layer.form === undefined || layers.has(node)) continue;
    const message = expectedGot(where, `a tensor "${node}${PACKED}"`, "none of that name", AGAIN);
    throw new ModelError("tensor-missing", message, { subject: `${node}${PACKED}` });
  }
  const { layout: _, ...metadata } = inner.metadata;
  return {
    ...inner,
    tensors,
    metadata,
    packed: {
      layout,
      form: (node) => layers.get(node)?.form,
      read: (node, into) => inner.read(`${node}${PACKED}`, into),
    },
    async read(name, into) {
      const node = name.endsWith(".weight") ? name.slice(0, -".weight".length) : "";
      const layer = layers.get(node);
      if (layer === undefined) return inner.read(name, into);
      return weightOf(layer, layout.columns, await inner.read(`${node}${PACKED}`));
    },
  };
}

function isPacked(layer: PackedLayer): layer is Panels {
  return layer.form !== undefined;
}

function wrong(where: string, expected: string, got: string, subject: string): ModelError {
  return new ModelError("malformed", expectedGot(where, expected, got, AGAIN), { subject });
}

function readLayout(where: string, text: string): Layout {
  const fail = (expected: string, got: string, hint = AGAIN): never => {
    const message = expectedGot(`${where}: __metadata__ "layout"`, expected, got, hint);
    throw new ModelError("metadata", message, { subject: "layout" });
  };
  let value: Partial<Layout> | null = null;
  try {
    value = JSON.parse(text);
  } catch {}
  if (typeof value !== "object" || value === null) return fail("an object as JSON", text.slice(0, 80));
  const { version, build, dots, columns, layers } = value;
  if (version !== LAYOUT_VERSION) {
    const hint = `${AGAIN}, or update this package`;
    return fail(`version ${LAYOUT_VERSION}`, `${JSON.stringify(version)}`.slice(0, 80), hint);
  }
  if (!BUILDS.some((each) => each === build)) return fail(`a build, ${BUILDS.join(" or ")}`, `${build}`.slice(0, 80));
  if (dots !== undefined && !DOTS.includes(dots)) return fail(DOTS.join(" or "), `${dots}`.slice(0, 80));
  if (!isSize(columns, MAX_COLUMNS)) return fail("columns of a panel", `${columns}`.slice(0, 80));
  if (typeof layers !== "object" || layers === null || Array.isArray(layers)) return fail("layers", "none");
  for (const [name, layer] of Object.entries(layers)) {
    if (!isLayer(layer)) return fail(`"${name.slice(0, 80)}" as a layer`, JSON.stringify(layer).slice(0, 80));
  }
  return { version, build: build!, dots, columns, layers };
}

function isSize(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= most;
}

function isLayer(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { algorithm, form, shape, groups } = value as Partial<PackedLayer>;
  if (typeof algorithm !== "string") return false;
  if (form === undefined) return true;
  if (!Object.hasOwn(FORMS, form) || !Array.isArray(shape) || shape.length < 2 || shape.length > 4) return false;
  const isShape = shape.every((size) => isSize(size, MAX_ELEMENTS));
  return (
    isShape && shape.reduce((a, b) => a * b) <= MAX_ELEMENTS && isSize(groups, shape[0]!) && shape[0]! % groups === 0
  );
}

/** What a packed weight's panels measure. */
interface Geometry {
  /** Outputs of a group, and panels of a group. */
  readonly n: number;
  readonly across: number;
  readonly inputs: number;
  readonly taps: number;
  /** Elements of a panel, as the tensor counts them, and those before its cells. */
  readonly panel: number;
  readonly header: number;
}

function geometryOf({ form, shape, groups }: Panels, columns: number): Geometry {
  const [outputs, inputs, kh = 1, kw = 1] = shape as [number, number, number?, number?];
  const { inputs: cell, bytes } = FORMS[form];
  const [n, taps] = [outputs / groups, kh * kw];
  // A bias in f32; a bias and a scale of four bytes each in int8.
  const header = bytes === 4 ? columns : 8 * columns;
  const panel = header + columns * cell * Math.ceil((inputs * taps) / cell);
  return { n, across: Math.ceil(n / columns), inputs, taps, panel, header };
}

function checkSize(where: string, name: string, layer: Panels, columns: number, { dtype, shape }: TensorInfo): void {
  const { across, panel } = geometryOf(layer, columns);
  const wanted = `${layer.form === "f32" ? "F32" : "I8"} [${layer.groups * across * panel}]`;
  const got = `${dtype} [${shape.join(", ")}]`;
  if (got !== wanted) throw wrong(`${where}: "${name}"`, wanted, got, name);
}

/** The weight in PyTorch's order that panels were packed of. */
function weightOf(layer: Panels, columns: number, panels: Uint8Array): Uint8Array {
  const { n, across, inputs, taps, panel, header } = geometryOf(layer, columns);
  const { inputs: cell, bytes } = FORMS[layer.form];
  const count = layer.shape.reduce((a, b) => a * b);
  // A view of f32 must be aligned.
  const [from, out] =
    bytes === 1
      ? [panels, new Uint8Array(count)]
      : [new Uint32Array(panels.slice().buffer, 0, panels.length / 4), new Uint32Array(count)];
  let at = 0;
  for (let group = 0; group < layer.groups; ++group) {
    for (let o = 0; o < n; ++o) {
      const row = (group * across + Math.floor(o / columns)) * panel + header + (o % columns) * cell;
      for (let i = 0; i < inputs; ++i) {
        for (let tap = 0; tap < taps; ++tap, ++at) {
          // Taps are outermost.
          const k = tap * inputs + i;
          out[at] = from[row + Math.floor(k / cell) * columns * cell + (k % cell)]!;
        }
      }
    }
  }
  return new Uint8Array(out.buffer);
}
