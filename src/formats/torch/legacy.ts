/** torch.save before 1.6: five pickles, then the storages, each with its length before it. */
import type { ByteSource } from "../../bytes.ts";
import { expectedGot, ModelError } from "../../errors.ts";
import { describe, isDict, lookup } from "./objects.ts";
import { CUT_SHORT, MAX_PICKLE_BYTES, type Opened, SAVE_AGAIN, tooLong } from "./opened.ts";
import { unpickle } from "./pickle.ts";
import { readStorage, type Storage, TENSOR_CALLS } from "./tensor.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** How much of the file is looked at first; doubled until its pickles fit. */
const WINDOW_BYTES = 1 << 18;
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

export async function openLegacy(source: ByteSource): Promise<Opened> {
  const where = source.name;
  const storages = new Map<string, Storage>();
  const { root, keys, end } = await readPickles(source, {
    calls: TENSOR_CALLS,
    persistent: (id, at) => readStorage(id, at, storages),
  });
  /** Where each storage's bytes begin, after the eight of its length. */
  const begins = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined || begins.has(key)) {
      const got = storage === undefined ? "of no tensor" : "twice";
      throw new ModelError(
        "malformed",
        expectedGot(`${where}: storage ${describe(key)}`, "each tensor's storage once", got),
      );
    }
    const { bytes } = storage.element;
    if (bytes === undefined) {
      const culprit = `${where}: storage ${describe(key)}`;
      throw new ModelError("unsupported", expectedGot(culprit, "elements of known length", storage.type, SAVE_AGAIN));
    }
    begins.set(key, at + 8);
    at += 8 + storage.total * bytes;
  }
  if (at > source.size)
    throw new ModelError("truncated", expectedGot(where, `${at} bytes`, `${source.size}`, CUT_SHORT));
  if (at < source.size) {
    throw new ModelError(
      "malformed",
      expectedGot(where, `${at} bytes`, `${source.size}, with bytes that belong to no tensor`),
    );
  }
  return {
    root,
    check(storage, tensor) {
      if (begins.has(storage.key)) return;
      throw new ModelError("malformed", expectedGot(tensor, `a storage ${describe(storage.key)} in the file`, "none"));
    },
    async read(storage, offset, length) {
      const begin = begins.get(storage.key)!;
      const head = await source.read(begin - 8, 8);
      const elements = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
      if (elements !== BigInt(storage.total)) {
        const culprit = `${where}: storage ${describe(storage.key)}`;
        throw new ModelError(
          "malformed",
          expectedGot(culprit, `${storage.total} elements, as its tensors say`, `${elements}`),
        );
      }
      return source.read(begin + offset, length);
    },
  };
}

/** The five pickles at the beginning of a legacy file: magic, protocol, system, the object, the storages' keys in order. */
async function readPickles(
  source: ByteSource,
  vocabulary: Vocabulary,
): Promise<{ readonly root: unknown; readonly keys: readonly string[]; readonly end: number }> {
  const where = source.name;
  for (let length = WINDOW_BYTES; ; length *= 2) {
    const bytes = await source.read(0, Math.min(length, source.size));
    if (isTar(bytes)) {
      const expected = "a checkpoint of PyTorch 0.1.11 or later";
      throw new ModelError("unsupported", expectedGot(where, expected, "the tar format of earlier ones", SAVE_AGAIN));
    }
    const values: unknown[] = [];
    let end = 0;
    while (values.length < 5) {
      const result = unpickle(where, bytes, end, vocabulary);
      if (result === undefined) break;
      values.push(result.value);
      end = result.end;
      checkLead(where, values);
    }
    if (values.length === 5) {
      const [, , , root, keys] = values;
      if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string")) {
        throw new ModelError("malformed", expectedGot(where, "the list of the storages' keys", describe(keys)));
      }
      return { root, keys, end };
    }
    if (length >= source.size) {
      throw new ModelError(
        "truncated",
        expectedGot(where, "a whole PyTorch checkpoint", `${source.size} bytes of one`, CUT_SHORT),
      );
    }
    if (length >= MAX_PICKLE_BYTES) throw tooLong(where, source.size);
  }
}

/** Checks the pickle read last, when it is one of the first three. */
function checkLead(where: string, values: readonly unknown[]): void {
  const value = values.at(-1);
  if (values.length === 1 && value !== LEGACY_MAGIC) {
    throw new ModelError("not-a-model", expectedGot(where, "torch.save's magic number", describe(value), SAVE_AGAIN));
  }
  if (values.length === 2 && value !== LEGACY_PROTOCOL) {
    throw new ModelError("malformed", expectedGot(where, `protocol ${LEGACY_PROTOCOL} of torch.save`, describe(value)));
  }
  if (values.length !== 3) return;
  if (!isDict(value))
    throw new ModelError("malformed", expectedGot(where, "a dict that describes the system", describe(value)));
  if (lookup(value, "little_endian") !== true) {
    throw new ModelError("unsupported", expectedGot(where, "little-endian tensors", "big-endian ones", SAVE_AGAIN));
  }
}

function isTar(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(257, 262)) === "ustar";
}
