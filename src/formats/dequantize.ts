/** Weights that are stored in int8 and computed in f32: each is widened when it is read. */
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { TensorInfo } from "../tensor.ts";

/** What a weight's name and this make the name of its scales: F32, one for each output. */
export const SCALE = "_scale";

/**
 * The checkpoint with its I8 weights as F32.
 *
 * @throws ModelError for an I8 tensor without scales, and on reading for one that is not above zero
 */
export function dequantized(where: string, inner: Checkpoint): Checkpoint {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of inner.tensors) {
    if (name.endsWith(SCALE) && inner.tensors.get(name.slice(0, -SCALE.length))?.dtype === "I8") continue;
    if (info.dtype !== "I8") {
      tensors.set(name, info);
      continue;
    }
    const scales = inner.tensors.get(`${name}${SCALE}`);
    if (scales?.dtype !== "F32" || scales.shape.join() !== `${info.shape[0]}`) {
      const got = scales === undefined ? "none" : `${scales.dtype} [${scales.shape.join(", ")}]`;
      throw new ModelError(
        scales === undefined ? "tensor-missing" : "tensor-shape",
        expectedGot(`${where}: "${name}${SCALE}"`, `F32 [${info.shape[0]}]`, got),
        { subject: `${name}${SCALE}` },
      );
    }
    tensors.set(name, { dtype: "F32", shape: info.shape });
  }
  if (tensors.size === inner.tensors.size) return inner;
  return {
    ...inner,
    tensors,
    async read(name, into) {
      if (inner.tensors.get(name)?.dtype !== "I8") return inner.read(name, into);
      const bytes = await inner.read(name);
      const stored = await inner.read(`${name}${SCALE}`);
      const scales = new Float32Array(new Uint8Array(stored).buffer);
      const at = scales.findIndex((scale) => !(scale > 0 && scale < Number.POSITIVE_INFINITY));
      if (at >= 0) {
        const culprit = `${where}: "${name}${SCALE}"`;
        throw new ModelError("malformed", expectedGot(culprit, "scales above 0", `${scales[at]} at element ${at}`), {
          subject: `${name}${SCALE}`,
        });
      }
      const each = bytes.length / scales.length;
      const values = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
      const wide = Float32Array.from(values, (value, i) => value * scales[Math.floor(i / each)]!);
      return new Uint8Array(wide.buffer);
    },
  };
}
