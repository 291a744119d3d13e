/**
 * PyTorch checkpoints, as torch.save writes them. The pickle is read as data (pickle.ts); storages are read one tensor at a
 * time, in place.
 */
import type { ByteSource } from "../../bytes.ts";
import type { Checkpoint } from "../../checkpoint.ts";
import { expectedGot, ModelError } from "../../errors.ts";
import type { TensorInfo } from "../../tensor.ts";
import type { Format } from "../open.ts";
import { openArchive } from "./archive.ts";
import { openLegacy } from "./legacy.ts";
import { describe, entriesOf, isDict, itemsOf, lookup } from "./objects.ts";
import { SAVE_AGAIN } from "./opened.ts";
import { type Foreign, gather, isForeign, isTensor, type Place, placeOf, type Tensor } from "./tensor.ts";

/** Dicts and lists around the state dict that are looked into. */
const MAX_DEPTH = 4;
/** Most dicts and lists looked into. */
const MAX_CONTAINERS = 100_000;

/** PyTorch's own files, `.pth`, `.th`, `.pt`. */
export const TORCH: Format = {
  label: "a PyTorch checkpoint",
  reads: ({ kind }) => kind === "zip" || kind === "pickle",
  open: ({ source, kind }) => openTorch(source, kind as "zip" | "pickle"),
};

/**
 * Opens a PyTorch checkpoint: a state dict, or dicts and lists with one in them. A tensor's name is its key in the state dict,
 * behind the keys of the containers around it, each with a slash: `checkpoint/state_dict/module.conv1.weight`. Tensors that are
 * permuted without gaps (`channels_last`) are described with strides; other views are gathered when they are read.
 *
 * Metadata: `format` "torch"; `arch` when the training script saved it beside the state dict.
 *
 * Objects of classes (optimizers, schedulers, data classes) are passed over; nothing of them runs.
 *
 * @param kind what `sniff` says: "zip" since torch 1.6, "pickle" before
 * @throws ModelError for a file of another kind or without tensors, one that would run commands in Python, and, by its name, for
 * a tensor that reaches beyond its storage
 */
export async function openTorch(source: ByteSource, kind: "zip" | "pickle"): Promise<Checkpoint> {
  const where = source.name;
  const { root, check, read } = await (kind === "zip" ? openArchive(source) : openLegacy(source));
  const places = new Map<string, Place>();
  const foreign = new Map<string, string>();
  for (const [name, value] of tensorsIn(where, root)) {
    if (isForeign(value)) {
      foreign.set(name, value.name);
      continue;
    }
    const { dtype } = value.storage.element;
    if (dtype === undefined) {
      foreign.set(name, value.storage.type);
      continue;
    }
    const culprit = `${where}: ${JSON.stringify(name)}`;
    const place = placeOf(culprit, value, dtype, source.size);
    check(place.storage, culprit);
    places.set(name, place);
  }
  if (places.size === 0 && foreign.size === 0) throw noTensors(where, root);
  return {
    tensors: new Map([...places].map(([name, { info }]): [string, TensorInfo] => [name, info])),
    foreign,
    metadata: { format: "torch", ...archOf(root) },
    async read(name) {
      const place = places.get(name);
      if (place === undefined) {
        throw new ModelError(
          "tensor-missing",
          expectedGot(where, `a tensor ${JSON.stringify(name)}`, "none of that name"),
          { subject: name },
        );
      }
      const bytes = await read(place.storage, place.begin, place.length);
      return place.gather === undefined ? bytes : gather(bytes, place.info, place.gather);
    },
    close: () => source.close(),
  };
}

/** Every tensor in the pickled object under its name. Containers that are there twice are looked into once. */
function tensorsIn(where: string, root: unknown): ReadonlyMap<string, Tensor | Foreign> {
  const found = new Map<string, Tensor | Foreign>();
  const seen = new Set<unknown>();
  const visit = (container: unknown, path: string, depth: number): void => {
    const items = itemsOf(container);
    const entries = items !== undefined ? entriesOf(items) : Array.isArray(container) ? container.entries() : [];
    if (seen.has(container) || seen.size > MAX_CONTAINERS) return;
    seen.add(container);
    for (const [key, value] of entries) {
      const name = `${path}${key}`;
      if (isTensor(value) || isForeign(value)) {
        if (found.has(name)) {
          const culprit = `${where}: ${JSON.stringify(name)}`;
          throw new ModelError("malformed", expectedGot(culprit, "one tensor of that name", "two"), { subject: name });
        }
        found.set(name, value);
      } else if (depth < MAX_DEPTH && (itemsOf(value) !== undefined || Array.isArray(value))) {
        visit(value, `${name}/`, depth + 1);
      }
    }
  };
  visit(root, "", 0);
  return found;
}

function noTensors(where: string, root: unknown): ModelError {
  const expected = "a state dict, or a dict with one in it";
  const items = itemsOf(root);
  if (items === undefined)
    return new ModelError("not-a-model", expectedGot(where, expected, describe(root), SAVE_AGAIN));
  const entries = [...entriesOf(items)].slice(0, 9).map(([key, value]) => `${describe(key)}: ${describe(value)}`);
  const got = entries.length === 0 ? "an empty dict" : `a dict of ${entries.slice(0, 8).join(", ")}`;
  return new ModelError("not-a-model", expectedGot(where, expected, entries.length > 8 ? `${got} …` : got, SAVE_AGAIN));
}

function archOf(root: unknown): { readonly arch?: string } {
  const arch = isDict(root) ? lookup(root, "arch") : undefined;
  return typeof arch === "string" ? { arch } : {};
}
