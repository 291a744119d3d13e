/**
 * PNG by the platform's own inflate: rows are unfiltered and become RGBA as they arrive, and what stands behind the last row is
 * never inflated. Source: PNG specification, third edition. Of 16 bits the upper eight count; transparency stays in alpha.
 */
import type { Pixels } from "../image.ts";
import { Fault } from "./fault.ts";
import type { Header } from "./header.ts";

const GRAY = 0;
const RGB = 2;
const PALETTE = 3;
const GRAY_ALPHA = 4;
const RGBA = 6;
/** Numbers of a pixel, and the depths that they may have, by colour type. */
const KINDS: Readonly<Record<number, { readonly channels: number; readonly depths: readonly number[] }>> = {
  [GRAY]: { channels: 1, depths: [1, 2, 4, 8, 16] },
  [RGB]: { channels: 3, depths: [8, 16] },
  [PALETTE]: { channels: 1, depths: [1, 2, 4, 8] },
  [GRAY_ALPHA]: { channels: 2, depths: [8, 16] },
  [RGBA]: { channels: 4, depths: [8, 16] },
};
/** Adam7: first column and row of each pass, and the steps to the next. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;
/** Compressed bytes that are inflated at once: they become 17 MB at most. */
const SLICE_BYTES = 2 ** 14;

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly color: number;
  readonly channels: number;
  readonly interlaced: boolean;
}

/** The size, the orientation and whether the end is there. */
export function pngHeader(bytes: Uint8Array): Header | undefined {
  let size: Pick<Header, "width" | "height"> | undefined;
  let exif: Uint8Array | undefined;
  for (const { type, data } of chunksOf(bytes)) {
    // The first chunk, and only it, is the header.
    if ((type === "IHDR") !== (size === undefined) || (type === "IHDR" && data.length < 13)) return undefined;
    if (type === "IHDR") size = sizeOf(data);
    if (type === "eXIf") exif ??= data;
    if (type === "IEND") return { ...size!, complete: true, exif };
  }
  return size === undefined ? undefined : { ...size, complete: false, exif };
}

function sizeOf(header: Uint8Array): Pick<Header, "width" | "height"> {
  const view = new DataView(header.buffer, header.byteOffset);
  return { width: view.getUint32(0), height: view.getUint32(4) };
}

/** Length, type, contents, checksum. What is cut off is left out. */
function* chunksOf(bytes: Uint8Array): Generator<Chunk & { readonly start: number }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at);
    if (end > bytes.length) return;
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { type, data: bytes.subarray(at + 8, end - 4), start: at + 4 };
    at = end;
  }
}

/** The chunks that make pixels, their checksums compared. Throws Fault for damage. */
function* pictureChunks(bytes: Uint8Array): Generator<Chunk> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const { type, data, start } of chunksOf(bytes)) {
    if (type === "IEND") return;
    if (!["IHDR", "PLTE", "tRNS", "IDAT"].includes(type)) continue;
    const end = start + 4 + data.length;
    if (crc32(bytes.subarray(start, end)) !== view.getUint32(end))
      throw new Fault("malformed", `one with a damaged ${type}`);
    yield { type, data };
  }
}

let crcTable: Uint32Array | undefined;

function crc32(bytes: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, i) => {
    let value = i;
    for (let bit = 0; bit < 8; ++bit) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; ++i) crc = crcTable[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Decodes a PNG. Throws Fault when it is broken. */
export async function decodePng(bytes: Uint8Array): Promise<Pixels> {
  const chunks = pictureChunks(bytes);
  let layout: Layout | undefined;
  let palette = new Uint8Array(0);
  let transparency: Uint8Array | undefined;
  for (const { type, data } of chunks) {
    if (type === "IHDR") layout ??= layoutOf(data);
    else if (type === "PLTE") palette = data as Uint8Array<ArrayBuffer>;
    else if (type === "tRNS") transparency = data;
    else {
      if (layout === undefined) break;
      const out = new Uint8Array(4 * layout.width * layout.height);
      const put = putter(layout, palette, transparency, out);
      await readRows(layout, inflated(data, chunks), put);
      return { width: layout.width, height: layout.height, data: out };
    }
  }
  throw new Fault("malformed", "one without pixels");
}

function layoutOf(header: Uint8Array): Layout {
  const [depth, color, compression, filter, interlace] = header.subarray(8) as unknown as [
    number,
    number,
    number,
    number,
    number,
  ];
  const kind = KINDS[color];
  if (kind === undefined || !kind.depths.includes(depth) || compression !== 0 || filter !== 0 || interlace > 1) {
    throw new Fault("malformed", "one of an unknown kind");
  }
  return { ...sizeOf(header), depth, color, channels: kind.channels, interlaced: interlace === 1 };
}

/** The contents of the first IDAT chunk and those after it, inflated piece by piece. */
async function* inflated(first: Uint8Array, chunks: Iterator<Chunk>): AsyncGenerator<Uint8Array> {
  let chunk: Uint8Array | undefined = first;
  let at = 0;
  const compressed = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      pull(controller) {
        try {
          while (chunk !== undefined && at >= chunk.length) {
            const { done, value } = chunks.next();
            // Other chunks end the picture.
            chunk = done === true || value.type !== "IDAT" ? undefined : value.data;
            at = 0;
          }
          if (chunk === undefined) return controller.close();
          controller.enqueue(chunk.slice(at, at + SLICE_BYTES));
          at += SLICE_BYTES;
        } catch (error) {
          controller.error(error);
        }
      },
    },
    { highWaterMark: 0 },
  );
  const reader = compressed.pipeThrough(new DecompressionStream("deflate")).getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value!;
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("malformed", "one whose pixels cannot be inflated");
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** What to do with one unfiltered row: its bytes, the first pixel in the result, the step to the next, their count. */
type Put = (row: Uint8Array, first: number, step: number, count: number) => void;

/** Fills the picture row by row, and stops behind the last. */
async function readRows(layout: Layout, pieces: AsyncGenerator<Uint8Array>, put: Put): Promise<void> {
  const { width, height, depth, channels, interlaced } = layout;
  const pixelBytes = Math.max(1, (channels * depth) >> 3);
  const passes = interlaced ? PASSES : ([[0, 0, 1, 1]] as const);
  const rows = (function* () {
    for (const [x, y, dx, dy] of passes) {
      const count = Math.ceil((width - x) / dx);
      if (count <= 0) continue;
      for (let row = y; row < height; row += dy) yield { first: row * width + x, step: dx, count, isFirst: row === y };
    }
  })();
  let next = rows.next();
  let [row, above] = [new Uint8Array(0), new Uint8Array(0)];
  let filled = 0;
  const begin = (): void => {
    if (next.done) return;
    const length = 1 + Math.ceil((next.value.count * channels * depth) / 8);
    if (next.value.isFirst) [row, above] = [new Uint8Array(length), new Uint8Array(length)];
    else [row, above] = [above, row];
    filled = 0;
  };
  begin();
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length && !next.done; ) {
      const part = piece.subarray(at, at + row.length - filled);
      row.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < row.length) break;
      unfilter(row, above, pixelBytes);
      const { first, step, count } = next.value;
      put(row.subarray(1), first, step, count);
      next = rows.next();
      begin();
    }
    if (next.done) return;
  }
  throw new Fault("truncated", "one whose pixels end too early");
}

/** Undoes the filter that the row's first byte names; `above` is the row before, unfiltered. */
function unfilter(row: Uint8Array, above: Uint8Array, pixelBytes: number): void {
  const [filter, length] = [row[0], row.length];
  switch (filter) {
    case 0:
      return;
    case 1:
      for (let i = 1 + pixelBytes; i < length; ++i) row[i]! += row[i - pixelBytes]!;
      return;
    case 2:
      for (let i = 1; i < length; ++i) row[i]! += above[i]!;
      return;
    case 3:
      for (let i = 1; i <= pixelBytes && i < length; ++i) row[i]! += above[i]! >> 1;
      for (let i = 1 + pixelBytes; i < length; ++i) row[i]! += (row[i - pixelBytes]! + above[i]!) >> 1;
      return;
    case 4:
      for (let i = 1; i <= pixelBytes && i < length; ++i) row[i]! += above[i]!;
      for (let i = 1 + pixelBytes; i < length; ++i) {
        const left = row[i - pixelBytes]!;
        const up = above[i]!;
        const corner = above[i - pixelBytes]!;
        // Paeth's predictor: whichever is nearest to left + up − corner.
        const a = Math.abs(up - corner);
        const b = Math.abs(left - corner);
        const c = Math.abs(left + up - 2 * corner);
        row[i] = row[i]! + (a <= b && a <= c ? left : b <= c ? up : corner);
      }
      return;
    default:
      throw new Fault("malformed", "one with an unknown filter");
  }
}

/** How rows of a layout become RGBA in `out`. */
function putter(
  { depth, color, channels }: Layout,
  palette: Uint8Array,
  transparency: Uint8Array | undefined,
  out: Uint8Array,
): Put {
  const bytes = depth >> 3;
  if (color === PALETTE || bytes === 0) {
    const colours = color === PALETTE ? paletteColours(palette, transparency) : grayColours(depth, transparency);
    const mask = 2 ** depth - 1;
    const target = new Uint32Array(out.buffer);
    return (row, first, step, count) => {
      for (let x = 0, bit = 0; x < count; ++x, bit += depth) {
        target[first + x * step] = colours[(row[bit >> 3]! >> (8 - depth - (bit & 7))) & mask]!;
      }
    };
  }
  const hasAlpha = color === GRAY_ALPHA || color === RGBA;
  const isGray = color === GRAY || color === GRAY_ALPHA;
  // One colour may be transparent: all its bytes.
  const key = hasAlpha || transparency === undefined ? undefined : keyOf(transparency, channels, bytes);
  // The common kinds of photos, a pixel at once.
  if (depth === 8 && !isGray && key === undefined) {
    const target = new Uint32Array(out.buffer);
    return (row, first, step, count) => {
      for (let x = 0, from = 0, to = first; x < count; ++x, from += channels, to += step) {
        const alpha = hasAlpha ? row[from + 3]! : 255;
        target[to] = row[from]! | (row[from + 1]! << 8) | (row[from + 2]! << 16) | (alpha << 24);
      }
    };
  }
  return (row, first, step, count) => {
    for (let x = 0, from = 0, to = 4 * first; x < count; ++x, from += channels * bytes, to += 4 * step) {
      out[to] = row[from]!;
      out[to + 1] = row[isGray ? from : from + bytes]!;
      out[to + 2] = row[isGray ? from : from + 2 * bytes]!;
      out[to + 3] = hasAlpha ? row[from + (channels - 1) * bytes]! : 255;
      if (key?.every((value, i) => row[from + i] === value)) out[to + 3] = 0;
    }
  };
}

/** The transparent colour as the bytes of a pixel; the chunk has 16 bits a channel. */
function keyOf(transparency: Uint8Array, channels: number, bytes: number): readonly number[] | undefined {
  if (transparency.length < 2 * channels) return undefined;
  return [...transparency.subarray(0, 2 * channels)].filter((_, i) => bytes === 2 || i % 2 === 1);
}

function rgba(r: number, g: number, b: number, alpha: number): number {
  return (r | (g << 8) | (b << 16) | (alpha << 24)) >>> 0;
}

/** What a palette lacks is gray, as in Pillow. */
function paletteColours(palette: Uint8Array, transparency: Uint8Array | undefined): Uint32Array {
  if (palette.length === 0) throw new Fault("malformed", "one without its palette");
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const [r, g, b] = 3 * i + 3 <= palette.length ? palette.subarray(3 * i, 3 * i + 3) : [i, i, i];
    return rgba(r!, g!, b!, transparency?.[i] ?? 255);
  });
}

function grayColours(depth: number, transparency: Uint8Array | undefined): Uint32Array {
  const most = 2 ** depth - 1;
  return Uint32Array.from({ length: most + 1 }, (_, i) => {
    const gray = (i * 255) / most;
    return rgba(gray, gray, gray, transparency !== undefined && transparency[1] === i ? 0 : 255);
  });
}
