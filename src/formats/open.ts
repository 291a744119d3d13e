/**
 * A weight file of any format this package reads, told by its content, under torchvision's names.
 */
import type { Folder } from "../bytes.ts";
import { type Checkpoint, complaint, ModelError, type TensorInfo } from "../tensor.ts";
import { canonical } from "./names.ts";
import { openSafetensors } from "./safetensors.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "./sniff.ts";
import { openTfjs } from "./tfjs.ts";

const READABLE = "a safetensors file or the model.json of a TensorFlow.js layers model";

/**
 * Opens the weight file `entry` of `folder`. Tensors have torchvision's names; nothing is read but the description.
 * Throws `ModelError` when the file is absent, is of another kind, or is not what it says it is.
 */
export async function openCheckpoint(folder: Folder, entry: string): Promise<Checkpoint> {
  const source = await folder.open(entry);
  try {
    const kind = sniff(await source.read(0, Math.min(SNIFF_BYTES, source.size)));
    if (kind === "json") {
      await source.close();
      return await openTfjs(folder, entry);
    }
    // A damaged safetensors file gets the safetensors reader's error, which says what is wrong with it.
    if (kind === "safetensors" || (kind === "unknown" && /\.safetensors$/i.test(entry))) {
      return renamed(await openSafetensors(source), source.name, canonical);
    }
    const hint =
      kind === "html" ? "the address it came from answered with a page, not with the file" : `this reads ${READABLE}`;
    throw new ModelError(complaint(source.name, READABLE, KIND_LABELS[kind], hint));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The checkpoint under other names; tensors whose new name is `undefined` are left out. */
function renamed(inner: Checkpoint, where: string, rename: (name: string) => string | undefined): Checkpoint {
  const originals = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of inner.tensors) {
    const to = rename(name);
    if (to === undefined) continue;
    const other = originals.get(to);
    if (other !== undefined) {
      throw new ModelError(complaint(where, `one tensor for "${to}"`, `two, "${other}" and "${name}"`));
    }
    originals.set(to, name);
    tensors.set(to, info);
  }
  return { ...inner, tensors, read: (name) => inner.read(originals.get(name) ?? name) };
}
