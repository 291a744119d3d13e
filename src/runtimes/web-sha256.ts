/** SHA-256 of bytes that come one after the other. */
export { sha256 } from "@noble/hashes/sha2.js";
