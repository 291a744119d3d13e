/** What the cache has of a source: a whole entry that is the one asked for, or the reason to fetch it again. */
import { expectedGot, ModelError } from "../errors.ts";
import type { EntryFolder, Runtime, Store } from "../runtime.ts";
import { type Checksum, feed, verifiers } from "./integrity.ts";

/** Said where the network would help but is forbidden. */
export const OFFLINE_HINT = "fetch it once while there is a network, without the option offline";

export interface Lookup<T> {
  readonly found: T | undefined;
  /** Why the entry that is there cannot be used: it is damaged, or its checksum is not the one asked for. */
  readonly problem: ModelError | undefined;
}

/**
 * Looks an entry up.
 *
 * @param open makes something of the entry; throws ModelError `integrity` when it is not the one asked for
 */
export async function lookUp<T>(
  store: Store,
  key: string,
  open: (entry: EntryFolder) => Promise<T>,
): Promise<Lookup<T>> {
  try {
    const entry = await store.get(key);
    return { found: entry === undefined ? undefined : await open(entry), problem: undefined };
  } catch (error) {
    if (error instanceof ModelError && error.code === "integrity") return { found: undefined, problem: error };
    throw error;
  }
}

/** The error for a source that is not in the cache, or not usable there, while the network is forbidden. */
export function offlineError(store: Store, name: string, problem: ModelError | undefined): ModelError {
  const message = expectedGot("hub", `${name} in the cache ${store.name}`, "no such entry", OFFLINE_HINT);
  return problem ?? new ModelError("offline", message, { subject: name });
}

/**
 * Throws `ModelError` with the code `integrity` unless a file that is here has the checksums. What the cache remembers is not
 * computed again, and what is computed is remembered.
 */
export async function verifyCached(
  runtime: Runtime,
  folder: EntryFolder,
  entry: string,
  checksums: readonly Checksum[],
): Promise<void> {
  if (checksums.length === 0) return;
  const known = (await folder.checksums?.(entry)) ?? [];
  const unknown = checksums.filter(({ algorithm, hex }) => {
    return !known.some((each) => each.algorithm === algorithm && each.hex.startsWith(hex));
  });
  if (unknown.length === 0) return;
  const file = await folder.open(entry);
  const differs = ({ algorithm, hex }: Checksum, digest: string): ModelError => {
    const where = `${file.name} in the cache`;
    const message = expectedGot(where, `${algorithm} ${hex}`, `${algorithm} ${digest}`, OFFLINE_HINT);
    return new ModelError("integrity", message, { subject: file.name });
  };
  try {
    for (const wanted of unknown) {
      const { algorithm, hex } = wanted;
      const other = known.find((each) => each.algorithm === algorithm && each.hex.length >= hex.length);
      if (other !== undefined) throw differs(wanted, other.hex);
    }
    const all = await verifiers(runtime, unknown, file.size);
    await feed(file, file.size, all);
    for (const each of all) {
      const digest = each.mismatch();
      if (digest !== undefined) throw differs(each.checksum, digest);
    }
    await folder.remember?.(entry, unknown);
  } finally {
    await file.close();
  }
}
