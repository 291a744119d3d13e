/** torch.save since 1.6: a zip archive with a pickle and one file for each storage. */
import type { ByteSource } from "../../bytes.ts";
import { expectedGot, ModelError } from "../../errors.ts";
import { openZip, type Zip } from "../zip.ts";
import { describe } from "./objects.ts";
import { CUT_SHORT, MAX_PICKLE_BYTES, type Opened, SAVE_AGAIN, tooLong } from "./opened.ts";
import { unpickle } from "./pickle.ts";
import { readStorage, type Storage, TENSOR_CALLS } from "./tensor.ts";

export async function openArchive(source: ByteSource): Promise<Opened> {
  const where = source.name;
  const zip = await openZip(source);
  const folder = archiveFolder(where, zip);
  const order = `${folder}byteorder`;
  if (zip.files.has(order)) {
    const text = new TextDecoder().decode(await zip.read(order, 0, Math.min(zip.files.get(order)!, 16)));
    if (text.trim() !== "little") {
      throw new ModelError(
        "unsupported",
        expectedGot(`${where}: ${JSON.stringify(order)}`, "little-endian tensors", describe(text), SAVE_AGAIN),
      );
    }
  }
  const pickle = `${folder}data.pkl`;
  const culprit = `${where}: ${JSON.stringify(pickle)}`;
  const size = zip.files.get(pickle)!;
  if (size > MAX_PICKLE_BYTES) throw tooLong(culprit, size);
  const storages = new Map<string, Storage>();
  const result = unpickle(culprit, await zip.read(pickle), 0, {
    calls: TENSOR_CALLS,
    persistent: (id, at) => readStorage(id, at, storages),
  });
  if (result === undefined) {
    throw new ModelError(
      "truncated",
      expectedGot(culprit, "a whole pickle", `${size} bytes without its end`, CUT_SHORT),
    );
  }
  const file = (storage: Storage) => `${folder}data/${storage.key}`;
  return {
    root: result.value,
    check(storage, tensor) {
      const expected = storage.total * storage.element.bytes!;
      const bytes = zip.files.get(file(storage));
      if (bytes === expected) return;
      const got = bytes === undefined ? "no such file" : `${bytes}`;
      throw new ModelError(
        "malformed",
        expectedGot(tensor, `${expected} bytes in ${JSON.stringify(file(storage))}`, got),
      );
    },
    read: (storage, offset, length) => zip.read(file(storage), offset, length),
  };
}

/** The folder of the archive that data.pkl is in, with its slash: torch.save names it after the file. */
function archiveFolder(where: string, zip: Zip): string {
  const found = [...zip.files.keys()].filter((name) => /^(?:[^/]+\/)?data\.pkl$/.test(name));
  const folder = found[0]?.slice(0, -"data.pkl".length);
  if (folder === undefined) {
    const names = [...zip.files.keys()].slice(0, 4).map((name) => describe(name));
    const got = names.length === 0 ? "an empty archive" : `${names.join(", ")}${zip.files.size > 4 ? " …" : ""}`;
    throw new ModelError(
      "not-a-model",
      expectedGot(where, "a zip archive of torch.save, with <name>/data.pkl in it", got),
    );
  }
  if (found.length > 1) {
    throw new ModelError("malformed", expectedGot(where, "one data.pkl in the archive", `${found.length}`));
  }
  if (zip.files.has(`${folder}constants.pkl`)) {
    throw new ModelError(
      "unsupported",
      expectedGot(where, "a state dict", "a TorchScript program (torch.jit.save)", SAVE_AGAIN),
    );
  }
  return folder;
}
