/** Checksums of bytes that come one after the other: the Web's own hashes want all of them at once. */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";

export const HASHES = { sha1, sha256, sha512 } as const;
