/** What a repository of the Hugging Face hub has, as its API tells (`/api/models/{repo}/revision/{revision}?blobs=true`). */
import type { Checksum } from "./integrity.ts";

export interface Listing {
  readonly commit: string;
  /** By path, the file's checksum where it is told: the SHA-256 of files in LFS, git's own SHA-1 of others. */
  readonly files: ReadonlyMap<string, readonly Checksum[]>;
}

/** Reads the API's answer; `undefined` for anything else, such as a mirror's own page. */
export function readListing(bytes: Uint8Array): Listing | undefined {
  let json: { sha?: unknown; siblings?: unknown } | null;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  const { sha, siblings } = json ?? {};
  if (typeof sha !== "string" || !/^[0-9a-f]{40,64}$/.test(sha) || !Array.isArray(siblings)) return undefined;
  const files = new Map<string, readonly Checksum[]>();
  for (const { rfilename, blobId, lfs } of siblings) {
    // A file in LFS has a pointer as its blob.
    const [algorithm, hex] = lfs == null ? (["git", blobId] as const) : (["sha256", lfs.sha256] as const);
    const isKnown = typeof hex === "string" && hex.length === (lfs == null ? 40 : 64) && /^[0-9a-f]+$/.test(hex);
    files.set(String(rfilename), isKnown ? [{ algorithm, hex }] : []);
  }
  return { commit: sha, files };
}
