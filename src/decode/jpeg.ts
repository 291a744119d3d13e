/**
 * JPEG by this project's own decoder (`assembly/jpeg/`): baseline, extended and progressive, of 8 bits. Pixels are those of
 * libjpeg-turbo (`islow` IDCT, fancy upsampling), bit for bit, and so are those of a scale of 1/2, 1/4 or 1/8, which Pillow calls
 * a draft. Rows come one row of MCUs at a time, of all scans together, as pixels or straight into a resize: the whole picture exists only
 * where it is asked for, its coefficients never. Of the file, a window of each scan is in the decoder's memory.
 */
import type { instantiate } from "../../wasm/jpeg.js";
import type { Pixels } from "../image.ts";
import { Fault } from "./fault.ts";
import { Idle, type Kept } from "./idle.ts";
import { type ComponentGeometry, type Geometry, geometryOf, type Scale } from "./jpeg-geometry.ts";
import { pastCodes } from "./jpeg-header.ts";
import type { Resized, ResizePlan } from "./jpeg-resize.ts";
import { align, Room } from "./jpeg-room.ts";
import { type Codes, type Scan, Tables, usualCodes } from "./jpeg-tables.ts";
import { Windows } from "./jpeg-windows.ts";

type Exports = Awaited<ReturnType<typeof instantiate>>;

/** Of a table of Huffman codes: see `assembly/jpeg/huffman.ts`. */
const TABLE_BYTES = 16784;
/** Beside a row, for vectors that reach beyond it; before it, for the neighbour of its first sample. */
const [PADDING, MARGIN] = [64, 16];

/** An instance, and who gives it more of a file. */
interface Decoder {
  readonly exports: Exports;
  source: Pick<Windows, "more"> | undefined;
}

const idle = new Idle<Decoder>();

function start(module: WebAssembly.Module): Kept<Decoder> {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const more = (id: number, from: number): number => decoder.source!.more(id, from >>> 0);
  const { exports } = new WebAssembly.Instance(module, { env: { memory, more } });
  const decoder: Decoder = { exports: exports as unknown as Exports, source: undefined };
  return { decoder, memory };
}

/**
 * Decodes one at full size, or at a scale of it. Throws `Fault` or `RangeError`.
 *
 * @param windowBytes of each scan in the decoder's memory, at least 4
 */
export function decodeJpeg(
  module: WebAssembly.Module,
  bytes: Uint8Array,
  scale: Scale = 8,
  windowBytes?: number,
): Pixels {
  return decoding(module, bytes, scale, (job) => job.pixels(), windowBytes);
}

/**
 * Decodes one into a resize.
 *
 * @param plan of the picture at this scale
 * @param gray whether luma is wanted in place of each colour
 */
export function decodeResized(
  module: WebAssembly.Module,
  bytes: Uint8Array,
  scale: Scale,
  plan: () => ResizePlan,
  gray: boolean,
): Resized {
  return decoding(module, bytes, scale, (job) => job.resized(plan, gray));
}

function decoding<T>(
  module: WebAssembly.Module,
  bytes: Uint8Array,
  scale: Scale,
  work: (job: Job) => T,
  windowBytes?: number,
): T {
  const kept = idle.take(module) ?? start(module);
  // A decoder that met an error is as good as new: nothing of one image is read by the next.
  try {
    return work(new Job(kept, bytes, scale, windowBytes));
  } finally {
    kept.decoder.source = undefined;
    idle.keep(module, kept);
  }
}

/** What of the image is wanted: pixels [left, right) of the rows [top, bottom). */
interface Part {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Bytes behind a row that may be read. */
  readonly slack?: number;
}

/** One image in one decoder. */
class Job {
  readonly #decoder: Exports;
  readonly #room: Room;
  readonly #tables: Tables;
  readonly #geometry: Geometry;
  readonly #bytes: Uint8Array;
  readonly #windows: Windows;
  readonly #first: Scan;
  /** Tables in memory that were built already, and plain ones. */
  readonly #built = [new Map<Codes, number>(), new Map<Codes, number>()] as const;
  /** Addresses of the components' quantization tables, and those that are written. */
  readonly #quants: number[] = [];
  readonly #latched = new Set<number>();

  constructor({ decoder, memory }: Kept<Decoder>, bytes: Uint8Array, scale: Scale, windowBytes?: number) {
    this.#decoder = decoder.exports;
    this.#bytes = bytes;
    this.#tables = new Tables(bytes);
    const first = this.#tables.next(2);
    const { frame } = this.#tables;
    if (frame === undefined || first === undefined) throw new Fault("malformed", "one without a picture");
    this.#first = first;
    this.#geometry = geometryOf(frame, scale);
    this.#room = new Room(memory, this.#decoder.heap());
    this.#windows = new Windows(this.#room, bytes, windowBytes);
    decoder.source = this.#windows;
  }

  pixels(): Pixels {
    const { width, height, mcuHeight } = this.#geometry;
    const strip = this.#room.take((mcuHeight + 1) * width * 4 + PADDING);
    const data = new Uint8Array(4 * width * height);
    this.#rows({ left: 0, right: width, top: 0, bottom: height }, strip, false, (from, to) => {
      this.#decoder.emit(from, to);
      data.set(this.#room.bytes(strip, (to - from) * width * 4), from * width * 4);
    });
    return { width, height, data };
  }

  resized(plan: () => ResizePlan, gray: boolean): Resized {
    const resize = plan();
    if (resize.storedWidth !== this.#geometry.width || resize.storedHeight !== this.#geometry.height) {
      throw new Fault("malformed", "one of another size than its header says");
    }
    const out = resize.place(this.#decoder, this.#room);
    this.#rows(resize, 0, gray, (from, to) => this.#decoder.emit(from, to));
    const { width, height } = resize;
    return { width, height, data: this.#room.bytes(out, 4 * width * height).slice() };
  }

  /** Decodes, and calls `emit` for the rows of `part` as they are there. */
  #rows(part: Part, strip: number, gray: boolean, emit: (from: number, to: number) => void): void {
    const { frame } = this.#tables;
    const { mcuWidth, mcuHeight, mcusAcross, mcusDown, looksAhead, components, width } = this.#geometry;
    const decoder = this.#decoder;
    // A triangle filter looks at a sample beside those of a pixel.
    const reach = 2;
    const [left, right] = [Math.floor((part.left - reach) / mcuWidth), Math.ceil((part.right + reach) / mcuWidth)];
    const [top, bottom] = [Math.floor((part.top - reach) / mcuHeight), Math.ceil((part.bottom + reach) / mcuHeight)];
    const [firstRow, lastRow] = [Math.max(0, top), Math.min(mcusDown, bottom)];
    decoder.set_frame(components.length, mcusAcross);
    decoder.set_wanted(Math.max(0, left), Math.min(mcusAcross, right), firstRow, lastRow);
    const rowBytes = align(mcusAcross * mcuWidth) + PADDING;
    const planes = this.#room.take(3 * rowBytes + PADDING);
    decoder.set_rows(this.#tables.colours, width, gray ? 1 : 0, planes, rowBytes, strip);
    const isKept = frame!.progressive || this.#first.components.length < components.length;
    for (const [index, component] of components.entries()) this.#place(component, index, rowBytes, isKept);
    this.#room.take(part.slack ?? 0);
    const decode = isKept ? this.#keep() : this.#begin();
    let done = part.top;
    for (let row = 0; row < lastRow; ++row) {
      decode(row);
      const ready = row + 1 === mcusDown ? part.bottom : (row + 1) * mcuHeight - (looksAhead ? 1 : 0);
      const to = Math.min(part.bottom, ready);
      if (row >= firstRow && to > done) {
        emit(done, to);
        done = to;
      }
    }
  }

  /** Memory for a component. */
  #place(component: ComponentGeometry, index: number, rowBytes: number, isKept: boolean): void {
    const { mcusAcross } = this.#geometry;
    const { h, v, size, width, height, kind, across, down, blocksAcross, blocksDown } = component;
    const room = this.#room;
    // A row's filter looks at the row of MCUs before, or behind.
    const rows = 2 * v * size;
    const stride = align(mcusAcross * h * size) + PADDING;
    const plane = room.take(MARGIN + rows * stride + PADDING) + MARGIN;
    const row = kind === 0 ? 0 : room.take(rowBytes + PADDING);
    // Without a scan, a component has no table: its samples are all 128.
    const quant = room.zeros(128);
    this.#quants.push(quant);
    this.#decoder.set_component(
      ...([index, h, v, size, quant, plane, stride, rows, width, height, kind, across, down, row] as const),
    );
    const coefBlocks = mcusAcross * h;
    const coefs = isKept ? room.take(128 * coefBlocks * v) : 0;
    this.#decoder.set_blocks(index, blocksAcross, blocksDown, coefs, coefBlocks);
  }

  /** Writes a component's quantization table, at its first scan: it keeps that one. */
  #latch(index: number): void {
    if (this.#latched.has(index)) return;
    this.#latched.add(index);
    const table = this.#tables.quantization[this.#tables.frame!.components[index]!.table];
    if (table === undefined) throw new Fault("malformed", "one without its quantization tables");
    const natural = new Uint16Array(64);
    for (const [i, value] of table.entries()) natural[NATURAL[i]!] = value;
    this.#room.bytes(this.#quants[index]!, 128).set(new Uint8Array(natural.buffer));
  }

  /** Begins the only scan. Gives what decodes a row of its MCUs. */
  #begin(): (row: number) => void {
    this.#startScan(this.#first, false, this.#bytes.length);
    return (row) => this.#decoder.decode_row(row);
  }

  /** Begins all scans. Gives what decodes a row of MCUs of each. */
  #keep(): (row: number) => void {
    const { progressive } = this.#tables.frame!;
    const { components } = this.#geometry;
    const [decoder, room] = [this.#decoder, this.#room];
    const states: Uint8Array[] = [];
    const bytes = decoder.cursor_bytes();
    const cursor = room.take(bytes);
    for (let scan: Scan | undefined = this.#first; scan !== undefined; ) {
      const end = pastCodes(this.#bytes, scan.at);
      for (const { index } of scan.components) this.#latch(index);
      // Of a block that becomes one sample, the first coefficient is all that counts.
      const isSeen = scan.first === 0 || scan.components.some(({ index }) => components[index]!.size > 1);
      if (!progressive || isSeen) {
        this.#startScan(scan, progressive, end);
        decoder.save_scan(cursor);
        states.push(room.bytes(cursor, bytes).slice());
      }
      scan = this.#tables.next(end);
    }
    const cursors = room.take(states.length * bytes);
    for (const [i, state] of states.entries()) room.bytes(cursors + i * bytes, bytes).set(state);
    return (row) => decoder.decode_scans(row, cursors, states.length);
  }

  /** Begins a scan whose codes end at `to`. */
  #startScan({ components, first, last, high, low, at }: Scan, progressive: boolean, to: number): void {
    const decoder = this.#decoder;
    const needsDc = !progressive || (first === 0 && high === 0);
    const needsAc = !progressive || first > 0;
    components.forEach(({ index, dc, ac }, slot) => {
      this.#latch(index);
      const dcTable = needsDc ? this.#table("dc", dc, false) : 0;
      const acTable = needsAc ? this.#table("ac", ac, progressive && high > 0) : 0;
      decoder.set_scanned(slot, index, dcTable, acTable);
    });
    const kind = progressive ? (first === 0 ? 1 : 3) + (high === 0 ? 0 : 1) : 0;
    decoder.set_scan(kind, first, last, low);
    decoder.start_bits(...this.#windows.open(at, to), this.#tables.restartInterval);
  }

  /** The address of a Huffman table, which is built when it is first used. */
  #table(kind: "dc" | "ac", index: number, plain: boolean): number {
    const codes = this.#tables[kind][index] ?? usualCodes()[kind][index];
    if (codes === undefined) throw new Fault("malformed", "one without its Huffman tables");
    const built = this.#built[plain ? 1 : 0];
    const known = built.get(codes);
    if (known !== undefined) return known;
    if (kind === "dc" && codes.symbols.some((symbol) => symbol > 15)) {
      throw new Fault("malformed", "one with a broken Huffman table");
    }
    const table = this.#room.take(TABLE_BYTES);
    const [counts, symbols] = [this.#room.put(codes.counts), this.#room.put(codes.symbols)];
    const isPaired = kind === "ac" && !this.#tables.frame!.progressive;
    if (this.#decoder.huffman(table, counts, symbols, plain ? 1 : 0, isPaired ? 1 : 0) === 0) {
      throw new Fault("malformed", "one with a broken Huffman table");
    }
    built.set(codes, table);
    return table;
  }
}

/** The coefficient at each zigzag index. */
const NATURAL = [
  ...[0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21],
  ...[28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61],
  ...[54, 47, 55, 62, 63],
];
