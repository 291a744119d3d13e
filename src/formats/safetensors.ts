/**
 * safetensors: eight bytes of header length, a JSON header, the tensors' bytes.
 * Everything is checked once, when the file is opened, by the rules of the reference implementation
 * (github.com/huggingface/safetensors): after that, reading a tensor is one read at a known place.
 */
import type { ByteSource } from "../bytes.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError, type ModelErrorCode } from "../errors.ts";
import { DTYPE_BYTES, type Dtype, type TensorInfo } from "../tensor.ts";

/** Longest header accepted, in bytes: the reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;
const CUT_SHORT = "the file may be cut short; fetch it again";

/** Bits of one element of the element types that are not read here: they may stand beside the weights. */
const FOREIGN_BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  I16: 16,
  U16: 16,
  U32: 32,
  U64: 64,
  C64: 64,
  F8_E4M3: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2: 8,
  F8_E5M2FNUZ: 8,
  F8_E8M0: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
};

interface Entry {
  /** One of `DTYPE_BYTES`, or another. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes `[begin, end)` of the part after the header. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Opens a safetensors file and checks all of its header; no tensor is read.
 * Throws `ModelError`, naming the tensor at fault, when any of it is not so.
 */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  const where = source.name;
  const { header, base } = await readHeader(source);
  const entries = new Map<string, Entry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") metadata = textsOf(value);
    else entries.set(name, checkEntry(where, name, value));
  }
  const order = inOrder(entries);
  checkLayout(where, order, source.size - base);
  const tensors = new Map<string, TensorInfo>();
  const foreign = new Map<string, string>();
  for (const [name, { dtype, shape }] of order) {
    if (isDtype(dtype)) tensors.set(name, { dtype, shape });
    else foreign.set(name, dtype);
  }
  return {
    tensors,
    foreign,
    metadata,
    ...(source.sequential === true ? { sequential: true } : {}),
    async read(name, into) {
      const entry = entries.get(name);
      if (entry === undefined) {
        throw new ModelError(
          "tensor-missing",
          expectedGot(where, `a tensor ${JSON.stringify(name)}`, "none of that name"),
        );
      }
      return source.read(base + entry.begin, entry.end - entry.begin, into);
    },
    close: () => source.close(),
  };
}

async function readHeader(source: ByteSource): Promise<{ header: Record<string, unknown>; base: number }> {
  const where = source.name;
  if (source.size < 8) {
    throw new ModelError(
      "malformed",
      expectedGot(where, "8 bytes of header length", `${source.size} bytes`, CUT_SHORT),
    );
  }
  const lead = await source.read(0, 8);
  const claimed = new DataView(lead.buffer, lead.byteOffset, 8).getBigUint64(0, true);
  if (claimed > BigInt(MAX_HEADER_BYTES)) {
    const hint = "this may not be a safetensors file";
    throw new ModelError(
      "malformed",
      expectedGot(where, `a header of at most ${MAX_HEADER_BYTES} bytes`, `${claimed}`, hint),
    );
  }
  const length = Number(claimed);
  if (8 + length > source.size) {
    throw new ModelError(
      "malformed",
      expectedGot(where, `a header of ${length} bytes`, `${source.size - 8}`, CUT_SHORT),
    );
  }
  const bytes = await source.read(8, length);
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw new ModelError("malformed", expectedGot(where, "a JSON header", `${(error as Error).message}`));
  }
  if (!isObject(header))
    throw new ModelError("malformed", expectedGot(where, "a JSON object as header", describe(header)));
  const twice = duplicateKey(text, header);
  if (twice !== undefined) {
    throw new ModelError("malformed", expectedGot(where, `${JSON.stringify(twice)} once in the header`, "it twice"));
  }
  return { header, base: 8 + length };
}

/**
 * The first key that one object of this JSON text holds twice; `JSON.parse` would keep the last silently.
 *
 * @param parsed what `JSON.parse` made of the text
 */
export function duplicateKey(text: string, parsed: unknown): string | undefined {
  // Usually there are as many keys as colons behind quotes, found much faster. A quote behind two backslashes may not be escaped.
  const colons = text.match(/(?<!\\)"[ \n\r\t]*:/g)?.length ?? 0;
  if (!text.includes("\\\\") && colons === keyCount(parsed)) return undefined;
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "{") open.push(new Set());
    else if (text[at] === "}") open.pop();
    else if (text[at] === '"') {
      const end = closingQuote(text, at) + 1;
      let after = end;
      while (" \n\r\t".includes(text[after] ?? ":")) after++;
      // In valid JSON a colon follows keys and nothing else.
      if (text[after] === ":") {
        const key: string = JSON.parse(text.slice(at, end));
        const keys = open.at(-1)!;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      at = end - 1;
    }
  }
  return undefined;
}

/** Keys of all objects in a value, however deep. */
function keyCount(value: unknown): number {
  let count = 0;
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const each = rest.pop();
    if (typeof each !== "object" || each === null) continue;
    const values = Object.values(each);
    if (!Array.isArray(each)) count += values.length;
    for (const inner of values) rest.push(inner);
  }
  return count;
}

function closingQuote(text: string, from: number): number {
  let at = from + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

/** The texts in `__metadata__`: whatever else is there is of no use here. */
function textsOf(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function isDtype(dtype: string): dtype is Dtype {
  return Object.hasOwn(DTYPE_BYTES, dtype);
}

function checkEntry(file: string, name: string, value: unknown): Entry {
  const fail = (expected: string, got: string, code: ModelErrorCode = "malformed"): ModelError =>
    new ModelError(code, expectedGot(`${file}: ${JSON.stringify(name)}`, expected, got), { subject: name });
  if (!isObject(value)) throw fail("{ dtype, shape, data_offsets }", describe(value));
  const { dtype, shape, data_offsets: offsets, ...rest } = value;
  if (typeof dtype !== "string") throw fail("the name of a dtype", describe(dtype));
  if (!isSizes(shape)) throw fail("a shape of whole numbers", describe(shape));
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw fail("data_offsets [begin, end] with begin ≤ end", describe(offsets));
  }
  const [extra] = Object.keys(rest);
  if (extra !== undefined) throw fail("dtype, shape and data_offsets only", `"${extra}"`);
  const [begin, end] = offsets as [number, number];
  const bits = isDtype(dtype)
    ? 8 * DTYPE_BYTES[dtype]
    : Object.hasOwn(FOREIGN_BITS, dtype)
      ? FOREIGN_BITS[dtype]
      : undefined;
  // The length of an element type that is not known cannot be checked.
  if (bits === undefined) return { dtype, shape, begin, end };
  const bytes = byteLength(bits, shape);
  if (bytes === Number.POSITIVE_INFINITY) throw fail("a shape of less than 2^53 bits", describe(shape));
  if (bytes !== end - begin) throw fail(`${bytes} bytes for ${dtype} [${shape.join(", ")}]`, `${end - begin}`);
  return { dtype, shape, begin, end };
}

/** The tensors in the order of the file. */
function inOrder(entries: ReadonlyMap<string, Entry>): readonly (readonly [string, Entry])[] {
  return [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
}

/** The tensors, in order, must cover the rest of the file: no hole, no overlap, nothing missing, nothing after. */
function checkLayout(where: string, order: readonly (readonly [string, Entry])[], bytes: number): void {
  let at = 0;
  for (const [name, { begin, end }] of order) {
    const culprit = (): string => `${where}: ${JSON.stringify(name)}`;
    if (begin !== at) {
      const what = begin < at ? "an overlap with the tensor before it" : "a hole before it";
      throw new ModelError("malformed", expectedGot(culprit(), `to begin at byte ${at}`, `${begin}, ${what}`));
    }
    if (end > bytes)
      throw new ModelError("malformed", expectedGot(culprit(), `${end} bytes of tensors`, `${bytes}`, CUT_SHORT));
    at = end;
  }
  if (at !== bytes && Number.isFinite(bytes)) {
    throw new ModelError(
      "malformed",
      expectedGot(where, `${at} bytes of tensors`, `${bytes}, with bytes that belong to none`),
    );
  }
}

/** A tensor to be written. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** One with its bytes, little-endian, in C order. */
export interface NamedTensor extends TensorEntry {
  readonly bytes: Uint8Array;
}

/**
 * The beginning of a safetensors file, and the order in which its tensors follow: wider dtypes first, so that every
 * tensor is aligned to its element; the header is padded with spaces to 8 bytes. Throws `RangeError` for a name used
 * twice.
 */
export function planSafetensors<T extends TensorEntry>(
  tensors: Iterable<T>,
  metadata?: Readonly<Record<string, string>>,
): { readonly header: Uint8Array<ArrayBuffer>; readonly order: readonly T[]; readonly bytes: number } {
  const order = [...tensors].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]);
  const entries: [string, unknown][] = metadata === undefined ? [] : [["__metadata__", metadata]];
  const names = new Set(["__metadata__"]);
  let at = 0;
  for (const { name, dtype, shape } of order) {
    if (names.has(name)) {
      const where = `safetensors: ${JSON.stringify(name)}`;
      throw new RangeError(expectedGot(where, "a name of its own", "one already taken"));
    }
    names.add(name);
    const bytes = byteLength(8 * DTYPE_BYTES[dtype], shape);
    entries.push([name, { dtype, shape, data_offsets: [at, at + bytes] }]);
    at += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const header = new Uint8Array(8 + Math.ceil(json.byteLength / 8) * 8).fill(0x20, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);
  header.set(json, 8);
  return { header, order, bytes: header.byteLength + at };
}

/**
 * A whole safetensors file in memory. Throws `RangeError` for a name used twice or bytes that do not fit the shape.
 */
export function writeSafetensors(
  tensors: Iterable<NamedTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const { header, order, bytes: size } = planSafetensors(tensors, metadata);
  for (const { name, dtype, shape, bytes } of order) {
    const expected = byteLength(8 * DTYPE_BYTES[dtype], shape);
    if (expected === bytes.byteLength) continue;
    const where = `safetensors: ${JSON.stringify(name)}`;
    const wanted = `${expected} bytes for ${dtype} [${shape.join(", ")}]`;
    throw new RangeError(expectedGot(where, wanted, `${bytes.byteLength}`));
  }
  const file = new Uint8Array(size);
  file.set(header);
  let to = header.byteLength;
  for (const { bytes } of order) {
    file.set(bytes, to);
    to += bytes.byteLength;
  }
  return file;
}

/** Bytes of a tensor whose elements have so many bits; Infinity when they cannot be counted. */
function byteLength(elementBits: number, shape: readonly number[]): number {
  let bits = elementBits;
  for (const size of shape) {
    bits *= size;
    if (!Number.isSafeInteger(bits)) return Number.POSITIVE_INFINITY;
  }
  return bits / 8;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A value as an error shows it, never longer than a line. */
function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
