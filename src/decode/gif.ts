/**
 * The first picture of a GIF, as Pillow shows it. Nothing behind that picture is read, so a file may lack its end; what stands
 * before it is skipped without being kept. Work and memory follow from the pixels and the bytes of the one picture.
 *
 * Source: GIF89a specification; LZW codes are of at most 12 bits, so that their first size is at most 11.
 */
import type { Pixels } from "../image.ts";
import { Fault } from "./fault.ts";
import type { Header } from "./header.ts";

const [EXTENSION, PICTURE, TRAILER] = [0x21, 0x2c, 0x3b];
const GRAPHIC_CONTROL = 0xf9;
const LARGEST_CODE_SIZE = 11;
/** Codes of the longest size. */
const CODES = 4096;

/** The first picture: where it lies on the screen, and where its parts are in the file. */
interface Picture {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly interlaced: boolean;
  /** Colours, three bytes each. */
  readonly palette: Uint8Array;
  /** Index of the transparent colour. */
  readonly transparent: number | undefined;
  /** Where the code size is; blocks of codes follow. */
  readonly data: number;
}

/** The size of the screen, or of the first picture where that reaches farther; the end of the file is not looked for. */
export function gifHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < 13) return undefined;
  const picture = firstPicture(bytes);
  const [width, height] = [u16(bytes, 6), u16(bytes, 8)];
  return {
    width: Math.max(width, picture.left + picture.width),
    height: Math.max(height, picture.top + picture.height),
    complete: true,
    exif: undefined,
  };
}

/** Decodes the first picture on its screen. Throws Fault when it is broken or cut short. */
export function decodeGif(bytes: Uint8Array, { width, height }: Header): Pixels {
  const picture = firstPicture(bytes);
  const indices = decodeLzw(bytes, picture.data, picture.width * picture.height);
  // What the palette lacks is gray, as in Pillow.
  const colours = Uint32Array.from({ length: 256 }, (_, i) => {
    const [r, g, b] = 3 * i < picture.palette.length ? picture.palette.subarray(3 * i) : [i, i, i];
    const alpha = i === picture.transparent ? 0 : 255;
    return r! | (g! << 8) | (b! << 16) | (alpha << 24);
  });
  const out = new Uint32Array(width * height).fill(colours[picture.transparent ?? 0]!);
  let from = 0;
  for (const y of rowsOf(picture)) {
    const to = (picture.top + y) * width + picture.left;
    for (let x = 0; x < picture.width; ++x) out[to + x] = colours[indices[from++]!]!;
  }
  return { width, height, data: new Uint8Array(out.buffer) };
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** A palette behind the flags that announce it. */
function paletteAt(bytes: Uint8Array, at: number, flags: number): Uint8Array {
  return bytes.subarray(at, flags & 0x80 ? at + 3 * 2 ** ((flags & 7) + 1) : at);
}

function firstPicture(bytes: Uint8Array): Picture {
  const screen = paletteAt(bytes, 13, bytes[10]!);
  let at = 13 + screen.length;
  let transparent: number | undefined;
  while (at < bytes.length) {
    if (bytes[at] === EXTENSION) {
      // Flags, delay and transparent index, in a block of four bytes.
      if (bytes[at + 1] === GRAPHIC_CONTROL) transparent = bytes[at + 3]! & 1 ? bytes[at + 6] : undefined;
      at = pastBlocks(bytes, at + 2);
    } else if (bytes[at] === PICTURE) {
      if (at + 11 > bytes.length) break;
      const flags = bytes[at + 9]!;
      const own = paletteAt(bytes, at + 10, flags);
      const [width, height] = [u16(bytes, at + 5), u16(bytes, at + 7)];
      if (width * height === 0) throw new Fault("malformed", "one whose picture has no pixels");
      return {
        ...{ left: u16(bytes, at + 1), top: u16(bytes, at + 3), width, height },
        interlaced: (flags & 0x40) !== 0,
        palette: own.length > 0 ? own : screen,
        transparent,
        data: at + 10 + own.length,
      };
    } else if (bytes[at] === TRAILER) throw new Fault("malformed", "one without a picture");
    else at += 1;
  }
  throw new Fault("truncated", "one that is cut short");
}

/** Behind blocks of bytes, each with its length before it, that end with an empty one. */
function pastBlocks(bytes: Uint8Array, at: number): number {
  while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at]!;
  return at + 1;
}

/** Rows in the order of the file. */
function* rowsOf({ height, interlaced }: Picture): Generator<number> {
  const passes = interlaced
    ? [
        [0, 8],
        [4, 8],
        [2, 4],
        [1, 2],
      ]
    : [[0, 1]];
  for (const [start, step] of passes) for (let y = start!; y < height; y += step!) yield y;
}

/** `count` palette indices from LZW codes in blocks. */
function decodeLzw(bytes: Uint8Array, start: number, count: number): Uint8Array {
  const size = bytes[start];
  if (size === undefined) throw new Fault("truncated", "one that is cut short");
  if (size < 1 || size > LARGEST_CODE_SIZE) throw new Fault("malformed", `one whose codes begin with ${size} bits`);
  const [clear, end] = [2 ** size, 2 ** size + 1];
  /** A code is the text of another and one more index. */
  const before = new Uint16Array(CODES);
  const last = new Uint8Array(CODES);
  const first = new Uint8Array(CODES);
  const lengths = new Uint16Array(CODES);
  for (let code = 0; code < clear; ++code) {
    last[code] = first[code] = code;
    lengths[code] = 1;
  }
  const out = new Uint8Array(count);
  let [filled, next, bits, previous] = [0, end + 1, size + 1, -1];
  let [at, left, buffer, held] = [start + 1, 0, 0, 0];
  while (filled < count) {
    while (held < bits) {
      if (left === 0) {
        left = bytes[at++] ?? 0;
        if (left === 0) throw new Fault("truncated", `one whose picture ends after ${filled} of ${count} pixels`);
      }
      if (at >= bytes.length) throw new Fault("truncated", "one that is cut short");
      buffer |= bytes[at++]! << held;
      held += 8;
      left -= 1;
    }
    const code = buffer & (2 ** bits - 1);
    buffer >>>= bits;
    held -= bits;
    if (code === end) throw new Fault("truncated", `one whose picture ends after ${filled} of ${count} pixels`);
    if (code === clear) {
      [next, bits, previous] = [end + 1, size + 1, -1];
      continue;
    }
    if (code > next || (code === next && previous < 0)) throw new Fault("malformed", "one with an unknown code");
    if (previous >= 0 && next < CODES) {
      before[next] = previous;
      first[next] = first[previous]!;
      last[next] = first[code === next ? previous : code]!;
      lengths[next] = lengths[previous]! + 1;
      next += 1;
      if (next === 2 ** bits && bits < 12) bits += 1;
    } else if (code >= next) throw new Fault("malformed", "one with an unknown code");
    // From its last index back to its first.
    let text = code;
    for (let i = filled + lengths[code]! - 1; i >= filled; --i) {
      if (i < count) out[i] = last[text]!;
      text = before[text]!;
    }
    filled += lengths[code]!;
    previous = code;
  }
  return out;
}
