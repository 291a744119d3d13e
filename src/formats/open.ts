/**
 * A weight file of any format this package reads, recognised by its content, under torchvision's names.
 */
import { type ByteSource, type Folder, fromBytes } from "../bytes.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { AROUND, chosen, ELSEWHERE, renamed } from "./choose.ts";
import { derived } from "./derived.ts";
import { canonical } from "./names.ts";
import { unpacked } from "./packed.ts";
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
  open: async ({ source }) => unpacked(source.name, await openSafetensors(source)),
};

/**
 * Opens the weight file `entry` of `folder`. Tensors have torchvision's names; those around the network keep their own behind
 * `../` or `//` (choose.ts). Nothing is read but the description.
 *
 * @param formats those to try, in order
 * @param key which network, where the file has several
 * @throws ModelError when the file is absent, is of another kind, or is not what it says it is
 */
export async function openCheckpoint(
  folder: Folder,
  entry: string,
  formats: readonly Format[],
  key?: string,
): Promise<Checkpoint> {
  const source = await folder.open(entry);
  try {
    const kind = sniff(await source.read(0, Math.min(SNIFF_BYTES, source.size)));
    const found = { folder, entry, source, kind };
    const format = formats.find((each) => each.reads(found));
    if (format !== undefined) {
      const opened = await format.open(kind === "safetensors" ? found : await inMemory(found));
      // What has a graph of its own names its tensors for that.
      if (opened.graph !== undefined || (opened.metadata.graph && opened.metadata.architecture)) return opened;
      return underOurNames(source.name, chosen(source.name, derived(source.name, opened), key));
    }
    const labels = formats.map(({ label }) => label);
    const readable = [labels.slice(0, -1).join(", "), labels.at(-1)].filter((part) => part !== "").join(" or ");
    const hint = kind === "html" ? "the address it came from answered with a page, not with the file" : undefined;
    throw new ModelError("not-a-model", expectedGot(source.name, readable, KIND_LABELS[kind], hint));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The same file: of a stream its bytes, because other formats than safetensors have their tables at the end, or are read twice. */
async function inMemory(found: Found): Promise<Found> {
  const { source, folder, entry } = found;
  if (source.whole === undefined) return found;
  const held = fromBytes(source.name, await source.whole());
  await source.close();
  return {
    ...found,
    source: held,
    folder: { ...folder, open: async (path) => (path === entry ? held : folder.open(path)) },
  };
}

/** The checkpoint under torchvision's names; counters of training steps are left out. */
function underOurNames(where: string, inner: Checkpoint): Checkpoint {
  const isSequential = inner.tensors.has("0.weight") && inner.tensors.has("4.0.conv1.weight");
  return renamed(where, inner, (name) => {
    const isOutside = name.startsWith(AROUND) || name.startsWith(ELSEWHERE);
    const to = canonical(name, isSequential && !isOutside);
    return to === undefined || !isOutside ? to : name;
  });
}
