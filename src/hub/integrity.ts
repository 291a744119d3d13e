/**
 * Checksums that are known before a download, and files that must have them.
 */
import type { Folder } from "../bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { type Checksum, toHex } from "./fetch.ts";

const READ_BYTES = 1 << 20;

/** The checksum of a Subresource Integrity string. Throws `TypeError` when it is none of sha256 or sha512. */
export function parseIntegrity(integrity: string): Checksum {
  for (const [length, algorithm] of [
    [64, "sha512"],
    [32, "sha256"],
  ] as const) {
    const base64 = new RegExp(`(?:^|\\s)${algorithm}-([\\w+/]+=*)(?:\\s|$)`).exec(integrity)?.[1];
    if (base64 === undefined) continue;
    try {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      if (bytes.byteLength === length) return { algorithm, hex: toHex(bytes) };
    } catch {}
  }
  throw new ArgumentTypeError(
    "hub",
    expectedGot("hub", "integrity to be sha256-… or sha512-…", integrity.slice(0, 120)),
  );
}

/** Throws `ModelError` unless the file of a cache has the checksums. */
export async function checkKept(
  runtime: Runtime,
  folder: Folder,
  entry: string,
  checksums: readonly Checksum[],
): Promise<void> {
  if (checksums.length === 0) return;
  const file = await folder.open(entry);
  try {
    for (const { algorithm, hex } of checksums) {
      if (algorithm === "git") continue;
      const hash = runtime.hash(algorithm);
      for (let at = 0; at < file.size; at += READ_BYTES) {
        hash.update(await file.read(at, Math.min(READ_BYTES, file.size - at)));
      }
      const digest = toHex(hash.digest());
      if (digest.startsWith(hex)) continue;
      const hint = "remove it from the cache, or ask for what is in it";
      throw new ModelError(
        "malformed",
        expectedGot(`${file.name} in the cache`, `${algorithm} ${hex}`, `${algorithm} ${digest}`, hint),
      );
    }
  } finally {
    await file.close();
  }
}
