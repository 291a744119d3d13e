/** A checkpoint whose tensors have other names. */
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { TensorInfo } from "../tensor.ts";

/** How names outside of the chosen network begin: of modules around it, and of other dicts in the file. */
export const AROUND = "../";
export const ELSEWHERE = "//";

/**
 * The checkpoint under other names.
 *
 * @param rename the new name; `undefined` leaves the tensor out
 * @throws ModelError when two tensors get one name
 */
export function renamed(where: string, inner: Checkpoint, rename: (name: string) => string | undefined): Checkpoint {
  const originals = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of inner.tensors) {
    const to = rename(name);
    if (to === undefined) continue;
    const other = originals.get(to);
    if (other !== undefined) {
      const got = `two, "${other}" and "${name}"`;
      throw new ModelError("malformed", expectedGot(where, `one tensor for "${to}"`, got), { subject: name });
    }
    tensors.set(to, info);
    originals.set(to, name);
  }
  const foreign = new Map<string, string>();
  for (const [name, what] of inner.foreign ?? []) {
    const to = rename(name);
    if (to !== undefined) foreign.set(to, what);
  }
  return {
    ...inner,
    tensors,
    foreign,
    originalName: (name) => {
      const before = originals.get(name) ?? name;
      return inner.originalName?.(before) ?? before;
    },
    read: (name, into) => inner.read(originals.get(name) ?? name, into),
  };
}
