/** Files made of parts, whose parts change while the lengths and checksums around them stay right, mostly. */
import { crc32, deflateSync, inflateSync } from "node:zlib";
import { archive } from "../formats/archive.ts";
import { BAD_FLOATS, join, mutateBytes } from "./bytes.ts";
import { mutateJson } from "./json.ts";
import type { Random } from "./random.ts";
import type { Mutator } from "./target.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const encoded = (value: string): Uint8Array => new TextEncoder().encode(value);
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A whole file of JSON. */
export const jsonFile: Mutator = (bytes, random) => encoded(mutateJson(text(bytes), random));

/** A safetensors file: its header's JSON, often its metadata only, or values of its tensors. */
export const safetensors: Mutator = (bytes, random) => {
  if (bytes.length < 8) return bytes;
  const length = Number(viewOf(bytes).getBigUint64(0, true));
  if (length > bytes.length - 8) return bytes;
  const data = bytes.slice(8 + length);
  let header = bytes.slice(8, 8 + length);
  if (random.oneIn(3)) {
    for (let changes = 1 + random.below(3); changes > 0 && data.length >= 4; --changes) {
      const at = random.below(data.length >> 2) << 2;
      viewOf(data).setFloat32(at, random.pick(BAD_FLOATS), true);
    }
  } else {
    const mutate = random.oneIn(2) ? mutateMetadata : mutateJson;
    header = encoded(mutate(text(header), random)) as Uint8Array<ArrayBuffer>;
  }
  const size = new Uint8Array(8);
  viewOf(size).setBigUint64(0, BigInt(header.length + (random.oneIn(20) ? random.below(9) - 4 : 0)), true);
  return join(size, header, data);
};

function mutateMetadata(header: string, random: Random): string {
  try {
    const { __metadata__: metadata = {}, ...tensors } = JSON.parse(header) as Record<string, unknown>;
    const changed = mutateJson(JSON.stringify(metadata), random);
    return `{"__metadata__":${changed},${JSON.stringify(tensors).slice(1)}`;
  } catch {
    return header;
  }
}

/** Changes one of a list of parts: its content, its place, its number. */
function changeParts<T>(parts: readonly T[], random: Random, changePart: (part: T) => T): readonly T[] {
  if (parts.length === 0) return parts;
  const at = random.below(parts.length);
  const [before, part, after] = [parts.slice(0, at), parts[at]!, parts.slice(at + 1)];
  switch (random.below(8)) {
    case 0:
      return [...before, ...after];
    case 1:
      return [...before, ...Array<T>(random.oneIn(8) ? 1000 : 2).fill(part), ...after];
    case 2: {
      const to = random.below(parts.length);
      return [...before, ...after].toSpliced(to, 0, part);
    }
    default:
      return [...before, changePart(part), ...after];
  }
}

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

function pngChunks(bytes: Uint8Array): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = viewOf(bytes).getUint32(at);
    const data = bytes.slice(at + 8, at + 8 + length);
    chunks.push({ type: Buffer.from(bytes.subarray(at + 4, at + 8)).toString("latin1"), data });
    at += 12 + length;
  }
  return chunks;
}

/** A PNG: chunks and, inside, what the image data unpack to. */
export const png: Mutator = (bytes, random) => {
  const change = ({ type, data }: Chunk): Chunk => {
    if (type !== "IDAT" || random.oneIn(4)) return { type, data: mutateBytes(data, random) };
    try {
      return { type, data: deflateSync(mutateBytes(inflateSync(data), random)) };
    } catch {
      return { type, data: mutateBytes(data, random) };
    }
  };
  const chunks = changeParts(pngChunks(bytes), random, change).map(({ type, data }) => {
    const named = join(Buffer.from(type, "latin1"), data);
    const ends = new Uint8Array(8);
    viewOf(ends).setUint32(0, data.length);
    viewOf(ends).setUint32(4, random.oneIn(20) ? 0 : crc32(named));
    return join(ends.subarray(0, 4), named, ends.subarray(4));
  });
  return join(bytes.subarray(0, 8), ...chunks);
};

/** A JPEG: its segments; a scan's data belong to its header. */
export const jpeg: Mutator = (bytes, random) => {
  const parts: Uint8Array[] = [];
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    let end = at + 2 + viewOf(bytes).getUint16(at + 2);
    if (bytes[at + 1] === 0xda) {
      while (end + 1 < bytes.length && !(bytes[end] === 0xff && bytes[end + 1]! >= 0xc0 && !isRestart(bytes[end + 1]!)))
        end += 1;
    }
    parts.push(bytes.slice(at, Math.min(end, bytes.length)));
    at = end;
  }
  const change = (part: Uint8Array): Uint8Array => {
    const changed = join(part.subarray(0, 4), mutateBytes(part.subarray(4), random));
    if (part[1] !== 0xda && changed.length >= 4 && !random.oneIn(10))
      viewOf(changed).setUint16(2, (changed.length - 2) & 0xffff);
    return changed;
  };
  return join(bytes.subarray(0, 2), ...changeParts(parts, random, change), Uint8Array.of(0xff, 0xd9));
};

function isRestart(marker: number): boolean {
  return marker >= 0xd0 && marker <= 0xd7;
}

/** A GIF: its blocks. */
export const gif: Mutator = (bytes, random) => {
  if (bytes.length < 13) return bytes;
  const head = 13 + (bytes[10]! & 0x80 ? 3 << ((bytes[10]! & 7) + 1) : 0);
  const parts: Uint8Array[] = [];
  // Arguments of a call are limited; mutants of mutants have ever more blocks.
  for (let at = head; at < bytes.length && bytes[at] !== 0x3b && parts.length < 50_000; ) {
    let end = at + 2;
    if (bytes[at] === 0x2c) end = at + 11 + (bytes[at + 9]! & 0x80 ? 3 << ((bytes[at + 9]! & 7) + 1) : 0);
    while (end < bytes.length && bytes[end] !== 0) end += 1 + bytes[end]!;
    parts.push(bytes.slice(at, Math.min(end + 1, bytes.length)));
    at = end + 1;
  }
  const top = random.oneIn(4) ? mutateBytes(bytes.subarray(0, head), random) : bytes.subarray(0, head);
  return join(top, ...changeParts(parts, random, (part) => mutateBytes(part, random)), Uint8Array.of(0x3b));
};

/** A RIFF file (WebP): its chunks. */
export const riff: Mutator = (bytes, random) => {
  const chunks: Chunk[] = [];
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = viewOf(bytes).getUint32(at + 4, true);
    chunks.push({
      type: Buffer.from(bytes.subarray(at, at + 4)).toString("latin1"),
      data: bytes.slice(at + 8, at + 8 + length),
    });
    at += 8 + length + (length & 1);
  }
  const changed = changeParts(chunks, random, ({ type, data }) => ({ type, data: mutateBytes(data, random) }));
  const body = join(
    ...changed.map(({ type, data }) => {
      const size = new Uint8Array(4);
      viewOf(size).setUint32(0, data.length, true);
      return join(Buffer.from(type, "latin1"), size, data, new Uint8Array(data.length & 1));
    }),
  );
  const size = new Uint8Array(4);
  viewOf(size).setUint32(0, body.length + 4, true);
  return join(bytes.subarray(0, 4), size, bytes.subarray(8, 12), body);
};

type Field = readonly [tag: number, value: bigint | Uint8Array];

function protoFields(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new Error("no varint");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  try {
    while (at < bytes.length) {
      const tag = Number(varint());
      const length = [undefined, 8, Number.NaN, undefined, undefined, 4][tag & 7];
      if ((tag & 7) === 0) fields.push([tag, varint()]);
      else {
        const size = Number.isNaN(length) ? Number(varint()) : length;
        if (size === undefined || at + size > bytes.length) return undefined;
        fields.push([tag, bytes.slice(at, at + size)]);
        at += size;
      }
    }
    return fields;
  } catch {
    return undefined;
  }
}

function writeVarint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Uint8Array.from(bytes);
  }
}

const ODD_VARINTS = [0n, 1n, 2n, -1n, 127n, 1n << 31n, 1n << 32n, 1n << 62n, 50_000n];

/** A protobuf message (ONNX): its fields, at any depth. */
export function protobuf(bytes: Uint8Array, random: Random): Uint8Array {
  const fields = protoFields(bytes);
  if (fields === undefined || fields.length === 0) return mutateBytes(bytes, random);
  const changed = changeParts(fields, random, ([tag, value]): Field => {
    if (typeof value === "bigint") return [random.oneIn(10) ? tag + 8 : tag, random.pick(ODD_VARINTS)];
    return [tag, value.length > 2 && !random.oneIn(5) ? protobuf(value, random) : mutateBytes(value, random)];
  });
  return join(
    ...changed.flatMap(([tag, value]) => {
      if (typeof value === "bigint") return [writeVarint(BigInt(tag)), writeVarint(value)];
      return [writeVarint(BigInt(tag)), ...((tag & 7) === 2 ? [writeVarint(BigInt(value.length))] : []), value];
    }),
  );
}

/** A zip of stored files (PyTorch): one of them changes, or the list. */
export const zip: Mutator = (bytes, random) => {
  const files: { name: string; bytes: Uint8Array }[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at + 30 <= bytes.length && view.getUint32(at, true) === 0x04034b50; ) {
    const [size, name, extra] = [
      view.getUint32(at + 18, true),
      view.getUint16(at + 26, true),
      view.getUint16(at + 28, true),
    ];
    const start = at + 30 + name + extra;
    files.push({ name: text(bytes.subarray(at + 30, at + 30 + name)), bytes: bytes.slice(start, start + size) });
    at = start + size;
  }
  if (files.length === 0) return bytes;
  const isPickle = (name: string): boolean => name.endsWith("data.pkl");
  const changed = random.oneIn(3)
    ? changeParts(files, random, (file) => ({ ...file, bytes: mutateBytes(file.bytes, random) }))
    : files.map((file) => (isPickle(file.name) ? { ...file, bytes: mutateBytes(file.bytes, random) } : file));
  return archive(changed.slice(0, 200));
};

/** Several files in one input. */
export function bundle(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const entries = Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString("latin1")]);
  return encoded(JSON.stringify(Object.fromEntries(entries)));
}

export function unbundle(bytes: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  try {
    for (const [name, content] of Object.entries(JSON.parse(text(bytes))))
      files.set(name, Buffer.from(`${content}`, "latin1"));
  } catch {}
  return files;
}

/** A bundle, one of whose files changes in its own way. */
export function inBundle(mutators: (name: string) => readonly Mutator[]): Mutator {
  return async (bytes, random) => {
    const files = Object.fromEntries(unbundle(bytes));
    const names = Object.keys(files);
    if (names.length === 0) return bytes;
    const name = random.pick(names);
    files[name] = await random.pick([mutateBytes, ...mutators(name)])(files[name]!, random);
    return bundle(files);
  };
}
