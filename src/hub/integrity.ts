/** Checksums: as callers and servers write them, and of bytes that are here. */
import type { ByteSource } from "../bytes.ts";
import { ArgumentTypeError, expectedGot } from "../errors.ts";
import type { Hash, Runtime } from "../runtime.ts";

/** Bytes read at once to hash a file. */
const READ_BYTES = 1 << 20;

/** A checksum that a file must have. */
export interface Checksum {
  /** `git` is the SHA-1 that git gives a file, of its length and its bytes. */
  readonly algorithm: "sha256" | "sha512" | "git";
  /** Its first digits, or all. */
  readonly hex: string;
}

/** A checksum, and the hash of the bytes so far. */
export interface Verifier {
  readonly checksum: Checksum;
  update(bytes: Uint8Array): void;
  /** The digest of all bytes when it is another than the checksum's, as hexadecimal digits; `undefined` when it fits. */
  mismatch(): string | undefined;
}

/** The checksum of a Subresource Integrity string. Throws `ArgumentTypeError` when it is none of sha256 or sha512. */
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
    "integrity",
    expectedGot("integrity", "sha256-… or sha512-…, in base64", integrity.slice(0, 120)),
  );
}

/** Bytes as hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Begins to verify a file.
 *
 * @param total bytes of the file; without it a `git` checksum, which covers the length, is left out
 */
export async function verifiers(
  runtime: Runtime,
  checksums: readonly Checksum[],
  total?: number,
): Promise<readonly Verifier[]> {
  const begun = await Promise.all(checksums.map(({ algorithm }) => beginHash(runtime, algorithm, total)));
  return checksums.flatMap((checksum, i) => {
    const hash = begun[i];
    if (hash === undefined) return [];
    const mismatch = (): string | undefined => {
      const digest = toHex(hash.digest());
      return digest.startsWith(checksum.hex) ? undefined : digest;
    };
    return [{ checksum, update: (bytes: Uint8Array) => void hash.update(bytes), mismatch }];
  });
}

async function beginHash(
  runtime: Runtime,
  algorithm: Checksum["algorithm"],
  total?: number,
): Promise<Hash | undefined> {
  if (algorithm !== "git") return runtime.hash(algorithm);
  if (total === undefined) return undefined;
  const hash = await runtime.hash("sha1");
  hash.update(new TextEncoder().encode(`blob ${total}\0`));
  return hash;
}

/** The digest of bytes in memory, as hexadecimal digits. */
export async function digestOf(runtime: Runtime, algorithm: Checksum["algorithm"], bytes: Uint8Array): Promise<string> {
  const hash = await beginHash(runtime, algorithm, bytes.byteLength);
  hash!.update(bytes);
  return toHex(hash!.digest());
}

/** Passes a file's first `length` bytes through verifiers. */
export async function feed(
  file: Pick<ByteSource, "read">,
  length: number,
  all: readonly Verifier[],
  signal?: AbortSignal,
): Promise<void> {
  if (all.length === 0) return;
  for (let at = 0; at < length; at += READ_BYTES) {
    signal?.throwIfAborted();
    const bytes = await file.read(at, Math.min(READ_BYTES, length - at));
    for (const each of all) each.update(bytes);
  }
}
