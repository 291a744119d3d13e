/** Where a cache entry came from, as it is noted beside its files. */
import type { Folder } from "../bytes.ts";
import { ModelError } from "../errors.ts";

/** Of every entry that was fetched from an address or a repository. */
export const ORIGIN_FILE = ".origin.json";
/** Longest note that is read. */
const MAX_BYTES = 1 << 24;

/** What a server said of a file from an address. */
export interface Origin {
  readonly source: string;
  readonly etag?: string | undefined;
  readonly modified?: string | undefined;
  /** Bytes. */
  readonly length?: number | undefined;
}

/** What headers say of the version of a file. */
export function originOf(source: string, headers: Headers | undefined): Origin {
  const isEncoded = (headers?.get("content-encoding") ?? "identity") !== "identity";
  const range = /\/(\d+)$/.exec(headers?.get("content-range") ?? "")?.[1];
  const length = range ?? (isEncoded ? null : headers?.get("content-length"));
  return {
    source,
    etag: headers?.get("etag") ?? undefined,
    modified: headers?.get("last-modified") ?? undefined,
    length: length == null ? undefined : Number(length),
  };
}

/** The note of an entry; `undefined` when there is none, or none that can be read. */
export async function readOriginFile(folder: Folder | undefined): Promise<Origin | undefined> {
  try {
    const file = await folder?.open(ORIGIN_FILE);
    if (file === undefined) return undefined;
    try {
      const text = new TextDecoder().decode(await file.read(0, Math.min(MAX_BYTES, file.size)));
      return parseOrigin(text);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}

/** A note as it is stored; `undefined` when it is another text. */
export function parseOrigin(text: string | undefined): Origin | undefined {
  try {
    const note: Partial<Origin> | null = JSON.parse(text ?? "null");
    return typeof note?.source === "string" ? (note as Origin) : undefined;
  } catch {
    return undefined;
  }
}
