/** The digests of a cache entry's files: written with them, compared when a process first uses the entry. */
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { expectedGot, ModelError } from "../errors.ts";
import { OFFLINE_HINT } from "../hub/cache.ts";
import { inside, nameOf, syncFolder } from "./node-files.ts";

/** Beside an entry's files. */
export const DIGESTS_FILE = ".digests.json";
const READ_BYTES = 1 << 20;

/** What a file is known to be. */
interface Digest {
  /** Bytes. */
  readonly size: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

/** The files that a process has verified, and what the system said of them then: later uses only ask that again. */
export type VerifiedFiles = Map<string, string>;

/** Writes the digests of files in `directory`, and sees to it that all are on the disk, not only in its buffers. */
export async function writeDigests(directory: string, paths: Iterable<string>): Promise<void> {
  const digests: Record<string, Digest> = {};
  const folders = new Set([directory]);
  for (const path of paths) {
    const name = relative(directory, path).split(sep).join("/");
    const file = await open(path, "r+");
    try {
      await file.sync();
      digests[name] = await digestOf(file);
    } finally {
      await file.close();
    }
    folders.add(dirname(path));
  }
  await writeFile(join(directory, DIGESTS_FILE), `${JSON.stringify(digests, undefined, 1)}\n`, { flush: true });
  for (const each of folders) await syncFolder(each);
}

/** Throws `ModelError` with the code `integrity` unless all files of an entry are what they were when it was made. */
export async function verifyDigests(directory: string, verified: VerifiedFiles): Promise<void> {
  const digests = await readDigests(join(directory, DIGESTS_FILE));
  for (const [name, digest] of Object.entries(digests)) {
    const path = inside(directory, name);
    const damaged = (got: string): ModelError => {
      const message = expectedGot(path, `the ${digest.size} bytes that were downloaded`, got, OFFLINE_HINT);
      return new ModelError("integrity", message, { subject: path });
    };
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (error) {
      throw damaged(nameOf(error));
    }
    try {
      const { size, mtimeNs, ctimeNs, ino } = await file.stat({ bigint: true });
      if (size !== BigInt(digest.size)) throw damaged(`${size}`);
      const stamp = `${size} ${mtimeNs} ${ctimeNs} ${ino} ${digest.sha256}`;
      if (verified.get(path) === stamp) continue;
      if ((await digestOf(file)).sha256 !== digest.sha256) throw damaged("others, the file is damaged");
      verified.set(path, stamp);
    } finally {
      await file.close();
    }
  }
}

async function readDigests(path: string): Promise<Readonly<Record<string, Digest>>> {
  let got = "another text";
  try {
    const digests: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof digests === "object" && digests !== null && Object.entries(digests).every(isDigest)) {
      return digests as Record<string, Digest>;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) got = nameOf(error);
  }
  throw new ModelError("integrity", expectedGot(path, "the digests of a cache entry", got, OFFLINE_HINT), {
    subject: path,
  });
}

function isDigest([name, value]: [name: string, value: unknown]): boolean {
  const { size, sha256 } = (value ?? {}) as Partial<Digest>;
  const isInside = name !== "" && !name.split("/").includes("..");
  return isInside && Number.isSafeInteger(size) && /^[0-9a-f]{64}$/.test(`${sha256}`);
}

async function digestOf(file: FileHandle): Promise<Digest> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let size = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, size);
    if (bytesRead === 0) return { size, sha256: hash.digest("hex") };
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
}
