/** Checksums of bytes that come one after the other: the Web's own hashes want all of them at once. */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha512 } from "@noble/hashes/sha2.js";

/** Those that only published files are compared by: workers that compute do without them. */
export const PUBLISHED_HASHES = { sha1, sha512 } as const;
