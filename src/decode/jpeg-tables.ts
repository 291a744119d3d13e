/**
 * What the segments of a JPEG define (ISO 10918-1, annex B): tables, the frame, scans. Read one after the other, because tables
 * may be replaced between scans. What libjpeg takes for an error is one here.
 */
import { Fault } from "./fault.ts";

export interface FrameComponent {
  readonly id: number;
  readonly h: number;
  readonly v: number;
  /** Number of its quantization table. */
  readonly table: number;
}

export interface Frame {
  readonly progressive: boolean;
  readonly width: number;
  readonly height: number;
  readonly components: readonly FrameComponent[];
}

/** A Huffman table as a file has it: how many codes of each length, and their symbols. */
export interface Codes {
  readonly counts: Uint8Array;
  readonly symbols: Uint8Array;
}

export interface Scan {
  readonly components: readonly { readonly index: number; readonly dc: number; readonly ac: number }[];
  /** First and last coefficient. */
  readonly first: number;
  readonly last: number;
  /** How many bits were left out before this scan, and still are after it. */
  readonly high: number;
  readonly low: number;
  /** Where its codes begin. */
  readonly at: number;
}

/** How colours are stored, as the decoder numbers them. */
const COLOURS = { gray: 0, ycc: 1, rgb: 2, cmyk: 3, ycck: 4 } as const;

const [SOF0, SOF1, SOF2, DHT, RST0, RST7, SOI, EOI] = [0xc0, 0xc1, 0xc2, 0xc4, 0xd0, 0xd7, 0xd8, 0xd9];
const [SOS, DQT, DRI, APP0, APP14, TEM] = [0xda, 0xdb, 0xdd, 0xe0, 0xee, 0x01];

/** Most blocks of an MCU of several components. */
const MCU_BLOCKS = 10;

function malformed(what: string): never {
  throw new Fault("malformed", what);
}

/** What a file has defined so far. */
export class Tables {
  readonly #bytes: Uint8Array;
  readonly quantization: (Uint16Array | undefined)[] = [];
  readonly dc: (Codes | undefined)[] = [];
  readonly ac: (Codes | undefined)[] = [];
  frame: Frame | undefined;
  /** MCUs between restart markers; 0 without. */
  restartInterval = 0;
  #jfif = false;
  /** Adobe's number of a colour transform. */
  #transform: number | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Reads segments from `start` on. Gives the next scan, or `undefined` at the end of the image. */
  next(start: number): Scan | undefined {
    const bytes = this.#bytes;
    for (let at = start; ; ) {
      // Anything may stand before a marker, and any number of FF.
      while (at < bytes.length && bytes[at] !== 0xff) at += 1;
      while (at < bytes.length && bytes[at] === 0xff) at += 1;
      if (at >= bytes.length) return undefined;
      const marker = bytes[at]!;
      at += 1;
      if (marker === 0 || marker === TEM || (marker >= RST0 && marker <= RST7)) continue;
      if (marker === EOI) return undefined;
      if (marker === SOI) malformed("one that begins twice");
      if (at + 2 > bytes.length) return undefined;
      const end = at + ((bytes[at]! << 8) | bytes[at + 1]!);
      if (end < at + 2) malformed("one with a segment of no length");
      if (end > bytes.length) return undefined;
      const body = bytes.subarray(at + 2, end);
      if (marker === SOS) return this.#scan(body, end);
      this.#segment(marker, body);
      at = end;
    }
  }

  #segment(marker: number, body: Uint8Array): void {
    switch (marker) {
      case SOF0:
      case SOF1:
      case SOF2:
        this.#readFrame(marker === SOF2, body);
        break;
      case DHT:
        this.#readCodes(body);
        break;
      case DQT:
        this.#readQuantization(body);
        break;
      case DRI:
        if (body.length !== 2) malformed("one with a broken restart interval");
        this.restartInterval = (body[0]! << 8) | body[1]!;
        break;
      case APP0:
        if (body.length >= 14 && String.fromCharCode(...body.subarray(0, 5)) === "JFIF\0") this.#jfif = true;
        break;
      case APP14:
        if (body.length >= 12 && String.fromCharCode(...body.subarray(0, 5)) === "Adobe") this.#transform = body[11]!;
        break;
    }
  }

  #readFrame(progressive: boolean, body: Uint8Array): void {
    if (this.frame !== undefined) malformed("one of several frames");
    const count = body[5] ?? 0;
    if (body.length !== 6 + 3 * count) malformed("one with a broken frame");
    const [height, width] = [(body[1]! << 8) | body[2]!, (body[3]! << 8) | body[4]!];
    const components = Array.from({ length: count }, (_, i) => {
      const [id, factors, table] = body.subarray(6 + 3 * i, 9 + 3 * i);
      return { id: id!, h: factors! >> 4, v: factors! & 15, table: table! };
    });
    if (components.some(({ h, v }) => h < 1 || h > 4 || v < 1 || v > 4)) malformed("one with broken sampling factors");
    this.frame = { progressive, width, height, components };
  }

  #readCodes(body: Uint8Array): void {
    for (let at = 0; at < body.length; ) {
      if (at + 17 > body.length) malformed("one with a broken Huffman table");
      const index = body[at]!;
      const counts = body.subarray(at + 1, at + 17);
      const total = counts.reduce((sum, count) => sum + count, 0);
      at += 17;
      if (total > 256 || at + total > body.length || (index & ~0x13) !== 0)
        malformed("one with a broken Huffman table");
      const codes = { counts, symbols: body.subarray(at, at + total) };
      (index < 16 ? this.dc : this.ac)[index & 3] = codes;
      at += total;
    }
  }

  #readQuantization(body: Uint8Array): void {
    for (let at = 0; at < body.length; ) {
      const [wide, index] = [body[at]! >> 4, body[at]! & 15];
      at += 1;
      const width = wide === 0 ? 1 : 2;
      if (index > 3 || at + 64 * width > body.length) malformed("one with a broken quantization table");
      this.quantization[index] = Uint16Array.from({ length: 64 }, (_, i) =>
        width === 1 ? body[at + i]! : (body[at + 2 * i]! << 8) | body[at + 2 * i + 1]!,
      );
      at += 64 * width;
    }
  }

  #scan(body: Uint8Array, at: number): Scan {
    const { frame } = this;
    const count = body[0] ?? 0;
    if (frame === undefined || count < 1 || count > 4 || body.length !== 4 + 2 * count)
      malformed("one with a broken scan");
    const components = Array.from({ length: count }, (_, i) => {
      const [id, tables] = [body[1 + 2 * i]!, body[2 + 2 * i]!];
      const index = frame.components.findIndex((component) => component.id === id);
      if (index < 0 || (tables & 0xcc) !== 0) malformed("one with a broken scan");
      return { index, dc: tables >> 4, ac: tables & 15 };
    });
    if (new Set(components.map(({ index }) => index)).size !== count) malformed("one with a broken scan");
    const blocks = components.reduce((sum, { index }) => {
      const { h, v } = frame.components[index]!;
      return sum + h * v;
    }, 0);
    if (count > 1 && blocks > MCU_BLOCKS) malformed("one with more than ten blocks in an MCU");
    const [first, last, approximation] = body.subarray(1 + 2 * count) as unknown as [number, number, number];
    const scan = { components, first, last, high: approximation >> 4, low: approximation & 15, at };
    if (frame.progressive) checkProgression(scan);
    return scan;
  }

  /** How the colours of its components are stored, by libjpeg's rules. */
  get colours(): number {
    const { components } = this.frame!;
    if (components.length === 1) return COLOURS.gray;
    if (components.length === 4) return (this.#transform ?? 0) === 0 ? COLOURS.cmyk : COLOURS.ycck;
    if (this.#jfif) return COLOURS.ycc;
    if (this.#transform !== undefined) return this.#transform === 0 ? COLOURS.rgb : COLOURS.ycc;
    return String.fromCharCode(...components.map(({ id }) => id)) === "RGB" ? COLOURS.rgb : COLOURS.ycc;
  }
}

/** Throws for a scan that no progressive image has. */
function checkProgression({ components, first, last, high, low }: Scan): void {
  const isBand = first === 0 ? last === 0 : last >= first && last < 64 && components.length === 1;
  if (!isBand || low > 13 || (high !== 0 && low !== high - 1)) malformed("one with a broken progression");
}

const numbers = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16));

const LUMA_AC =
  "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435" +
  "363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798" +
  "999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4" +
  "f5f6f7f8f9fa";
const CHROMA_AC =
  "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a" +
  "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a9293949596" +
  "9798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4" +
  "f5f6f7f8f9fa";

/** The tables of annex K.3, luma and chroma: for files that have none, as frames of Motion JPEG. */
export function usualCodes(): { readonly dc: readonly Codes[]; readonly ac: readonly Codes[] } {
  const codes = (counts: string, symbols: string): Codes => ({ counts: numbers(counts), symbols: numbers(symbols) });
  const dc = "000102030405060708090a0b";
  return {
    dc: [codes("00010501010101010100000000000000", dc), codes("00030101010101010101010000000000", dc)],
    ac: [codes("0002010303020403050504040000017d", LUMA_AC), codes("00020102040403040705040400010277", CHROMA_AC)],
  };
}
