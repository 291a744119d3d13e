/**
 * Zip archives for tests, valid unless asked otherwise: every field that a header repeats can be made to lie.
 */
import { crc32, deflateRawSync } from "node:zlib";
import { type ByteSource, concat, fromBytes } from "../../src/bytes.ts";

export interface Packed {
  readonly name: string;
  /** The content, or how many zeros it is made of: those take no memory. */
  readonly bytes: Uint8Array | number;
  readonly deflate?: boolean;
  /** What the directory says instead of the truth. */
  readonly says?: {
    readonly size?: number;
    readonly compressed?: number;
    readonly offset?: number;
    readonly method?: number;
    readonly flags?: number;
  };
  /** What the local header says instead of the truth. */
  readonly local?: {
    readonly name?: string;
    readonly size?: number;
    readonly extra?: number;
    readonly method?: number;
  };
}

const text = (value: string) => new TextEncoder().encode(value);

/** Fields of two (`[value, 2]`), four or eight bytes, little-endian, and bytes as they are. */
function record(...fields: readonly (readonly [number, 2 | 4 | 8] | Uint8Array)[]): Uint8Array {
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return field;
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(field[0]), true);
    return new Uint8Array(view.buffer, 0, field[1]);
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The archive as a source of its own; `name` is what errors call it. */
export function archiveSource(name: string, files: readonly Packed[]): ByteSource {
  const parts: ByteSource[] = [];
  let at = 0;
  const add = (bytes: Uint8Array | number): void => {
    parts.push(typeof bytes === "number" ? zeros(bytes) : fromBytes(name, bytes));
    at += parts.at(-1)!.size;
  };
  const directory: Uint8Array[] = [];
  for (const { name: path, bytes, deflate = false, says = {}, local = {} } of files) {
    const stored = typeof bytes === "number" ? bytes : deflate ? new Uint8Array(deflateRawSync(bytes)) : bytes;
    const crc = typeof bytes === "number" ? 0 : crc32(bytes);
    const size = typeof bytes === "number" ? bytes : bytes.byteLength;
    const compressed = typeof stored === "number" ? stored : stored.byteLength;
    const method = deflate ? 8 : 0;
    const offset = at;
    const clip = (value: number): readonly [number, 4] => [Math.min(value, 0xffffffff), 4];
    const wide = (...values: readonly number[]): Uint8Array => {
      const large = values.filter((value) => value >= 0xffffffff);
      if (large.length === 0) return new Uint8Array();
      return record([1, 2], [8 * large.length, 2], ...large.map((value) => [value, 8] as const));
    };
    const localName = text(local.name ?? path);
    const localSize = local.size ?? size;
    const localCompressed = deflate ? compressed : localSize;
    // Either both are in the zip64 field or none is.
    const large = localSize >= 0xffffffff;
    const localExtra = local.extra === undefined ? wide(...(large ? [localSize, localCompressed] : [])) : undefined;
    add(
      record(
        [0x04034b50, 4],
        [45, 2],
        [0x800, 2],
        [local.method ?? method, 2],
        [0, 4],
        [crc, 4],
        clip(localCompressed),
        clip(localSize),
        [localName.byteLength, 2],
        [local.extra ?? localExtra!.byteLength, 2],
        localName,
        localExtra ?? new Uint8Array(),
      ),
    );
    add(stored);
    const hints = { size, compressed, offset, method, flags: 0x800, ...says };
    const extra = wide(hints.size, hints.compressed, hints.offset);
    directory.push(
      record(
        [0x02014b50, 4],
        [45, 2],
        [45, 2],
        [hints.flags, 2],
        [hints.method, 2],
        [0, 4],
        [crc, 4],
        clip(hints.compressed),
        clip(hints.size),
        [text(path).byteLength, 2],
        [extra.byteLength, 2],
        [0, 8],
        [0, 2],
        clip(hints.offset),
        text(path),
        extra,
      ),
    );
  }
  const begin = at;
  for (const entry of directory) add(entry);
  const length = at - begin;
  const zip64 = at;
  // As PyTorch does, the 64-bit end is written whether it is needed or not.
  const count = directory.length;
  add(record([0x06064b50, 4], [44, 8], [45, 2], [45, 2], [0, 8], [count, 8], [count, 8], [length, 8], [begin, 8]));
  add(record([0x07064b50, 4], [0, 4], [zip64, 8], [1, 4]));
  add(record([0x06054b50, 4], [0, 4], [count, 2], [count, 2], [length, 4], [Math.min(begin, 0xffffffff), 4], [0, 2]));
  return concat(name, parts);
}

/** The archive's bytes. */
export async function archive(files: readonly Packed[]): Promise<Uint8Array> {
  const source = archiveSource("archive", files);
  return source.read(0, source.size);
}

function zeros(size: number): ByteSource {
  return {
    name: "zeros",
    size,
    async read(_, length) {
      return new Uint8Array(length);
    },
    async close() {},
  };
}
