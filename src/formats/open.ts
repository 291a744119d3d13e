/**
 * A weight file of any format this package reads, recognised by its content, under torchvision's names.
 */
import type { ByteSource, Folder } from "../bytes.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { TensorInfo } from "../tensor.ts";
import { canonical } from "./names.ts";
import { openSafetensors } from "./safetensors.ts";
import { KIND_LABELS, type Kind, SNIFF_BYTES, sniff } from "./sniff.ts";

/** A weight file that was found, and the folder in which it finds the files beside it. */
export interface Found {
  readonly folder: Folder;
  readonly entry: string;
  readonly source: ByteSource;
  readonly kind: Kind;
}

/** A reader of one kind of weight files. */
export interface Format {
  /** As errors list it: "a safetensors file". */
  readonly label: string;
  /** Whether this reads what was found. */
  reads(found: Found): boolean;
  /** Opens it; from then on the checkpoint closes the source. Throws `ModelError` when it is not what it says. */
  open(found: Found): Promise<Checkpoint>;
}

export const SAFETENSORS: Format = {
  label: "a safetensors file",
  // A damaged one gets the safetensors reader's error, which says what is wrong with it.
  reads: ({ kind, entry }) => kind === "safetensors" || (kind === "unknown" && /\.safetensors$/i.test(entry)),
  open: ({ source }) => openSafetensors(source),
};

/**
 * Opens the weight file `entry` of `folder`. Tensors have torchvision's names; nothing is read but the description.
 *
 * @param formats those to try, in order
 * @throws ModelError when the file is absent, is of another kind, or is not what it says it is
 */
export async function openCheckpoint(folder: Folder, entry: string, formats: readonly Format[]): Promise<Checkpoint> {
  const source = await folder.open(entry);
  try {
    const kind = sniff(await source.read(0, Math.min(SNIFF_BYTES, source.size)));
    const found = { folder, entry, source, kind };
    const format = formats.find((each) => each.reads(found));
    if (format !== undefined) return renamed(await format.open(found), source.name);
    const labels = formats.map(({ label }) => label);
    const readable = [labels.slice(0, -1).join(", "), labels.at(-1)].filter((part) => part !== "").join(" or ");
    const hint =
      kind === "html" ? "the address it came from answered with a page, not with the file" : `this reads ${readable}`;
    throw new ModelError("not-a-model", expectedGot(source.name, readable, KIND_LABELS[kind], hint));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The checkpoint under torchvision's names; tensors that no network has a use for are left out. */
function renamed(inner: Checkpoint, where: string): Checkpoint {
  if (inner.graph !== undefined) return inner;
  const originals = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of inner.tensors) {
    const to = canonical(name);
    if (to === undefined) continue;
    const other = originals.get(to);
    if (other !== undefined) {
      throw new ModelError("malformed", expectedGot(where, `one tensor for "${to}"`, `two, "${other}" and "${name}"`), {
        subject: to,
      });
    }
    originals.set(to, name);
    tensors.set(to, to === "fc.weight" ? asMatrix(info) : info);
  }
  return { ...inner, tensors, read: (name, into) => inner.read(originals.get(name) ?? name, into) };
}

/** timm's ResNet v2 classifies by a 1×1 convolution. */
function asMatrix(info: TensorInfo): TensorInfo {
  const [outputs, inputs, h, w] = info.shape;
  if (info.shape.length !== 4 || h !== 1 || w !== 1) return info;
  const [so, si] = info.strides ?? [inputs!, 1];
  return { dtype: info.dtype, shape: [outputs!, inputs!], strides: [so!, si!] };
}
