/**
 * WebP by libwebp 1.4.0, as WebAssembly of the package icodec (the fix of CVE-2023-4863 is in 1.3.2 and later). Its module is
 * called here without its own JavaScript, which makes functions from text: Workers and strict pages forbid that. Of an
 * animation the first frame is shown on its canvas, as Pillow shows it.
 */
import type { Pixels } from "../image.ts";
import { Fault } from "./fault.ts";
import type { Header } from "./header.ts";
import { Idle, type Kept } from "./idle.ts";

/** The module's exports, by the letters that its build gave them (icodec 0.6.0). */
interface Exports {
  readonly w: WebAssembly.Memory;
  /** Constructors: they register what the module exports. */
  readonly x: () => void;
  readonly z: WebAssembly.Table;
  readonly A: (bytes: number) => number;
  readonly B: (address: number) => void;
}

/** An instance, its `decode(std::string)`, and what it decoded last. */
interface Decoder {
  readonly exports: Exports;
  invoke: (text: number) => void;
  pixels: Pixels | undefined;
}

/** Any handle of a JavaScript value: only `decode` makes one, and nothing looks at it. */
const VALUE = 10;
const MAX_PAGES = 2 ** 16;
const idle = new Idle<Decoder>();

/** Decodes a WebP by an instance of `module`. Throws when it is broken. */
export async function decodeWebp(module: WebAssembly.Module, bytes: Uint8Array, header: Header): Promise<Pixels> {
  const frame = firstFrame(bytes);
  if (frame !== undefined && (frame.left + frame.width > header.width || frame.top + frame.height > header.height)) {
    throw new Fault("malformed", "one whose first frame reaches beyond its canvas");
  }
  const pixels = await decodeStill(module, frame?.file ?? bytes);
  return frame === undefined ? pixels : placed(pixels, frame, header);
}

async function decodeStill(module: WebAssembly.Module, bytes: Uint8Array): Promise<Pixels> {
  const { decoder, memory } = idle.take(module) ?? (await start(module));
  const { exports } = decoder;
  // A std::string as the module takes it: its length, its bytes, a zero.
  const text = exports.A(bytes.length + 5);
  if (text === 0) throw new RangeError("no memory for the file");
  new Uint32Array(memory.buffer, text, 1)[0] = bytes.length;
  new Uint8Array(memory.buffer, text + 4, bytes.length + 1).set(bytes);
  new Uint8Array(memory.buffer)[text + 4 + bytes.length] = 0;
  decoder.invoke(text);
  exports.B(text);
  const { pixels } = decoder;
  if (pixels === undefined) throw new Error("no pixels");
  decoder.pixels = undefined;
  idle.keep(module, { decoder, memory });
  return pixels;
}

/** Starts an instance with the little of Emscripten's bindings that one function with one result needs. */
async function start(module: WebAssembly.Module): Promise<Kept<Decoder>> {
  const decoder = { exports: {} as Exports, invoke: (_: number): void => {}, pixels: undefined as Pixels | undefined };
  const memory = (): ArrayBuffer => decoder.exports.w.buffer as ArrayBuffer;
  const stop = (): never => {
    throw new Error("the decoder stopped");
  };
  const imports: Readonly<Record<string, (...args: number[]) => unknown>> = {
    // register_function(name, count, types, signature, invoker, function)
    j: (_name, _count, _types, _signature, invoker, target) => {
      const call = decoder.exports.z.get(invoker!) as (target: number, text: number) => number;
      decoder.invoke = (text) => call(target!, text);
    },
    // emval_call(caller, function, destructors, arguments): ImageData(view, width, height, depth), 8 bytes each
    i: (_caller, _target, _destructors, address) => {
      const [, from, width, , height] = new Uint32Array(memory(), address, 5);
      const data = new Uint8ClampedArray(memory(), from, 4 * width! * height!).slice();
      decoder.pixels = { data, width: width!, height: height! };
      return VALUE;
    },
    e: () => VALUE,
    h: () => VALUE,
    s: (bytes) => grow(decoder.exports.w, bytes! >>> 0),
    t: (to, from, count) => {
      new Uint8Array(memory()).copyWithin(to!, from!, from! + count!);
    },
    u: stop,
    p: stop,
  };
  // The others register types, or count references to values: nothing here needs them.
  const a = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ name }) => [name, imports[name] ?? (() => 0)]),
  );
  decoder.exports = (await WebAssembly.instantiate(module, { a })).exports as unknown as Exports;
  decoder.exports.x();
  return { decoder, memory: decoder.exports.w };
}

/** Makes a memory hold `bytes` and a little more. */
function grow(memory: WebAssembly.Memory, bytes: number): number {
  const have = memory.buffer.byteLength / 65536;
  const wanted = Math.ceil(bytes / 65536);
  for (const pages of [Math.max(wanted, Math.ceil(1.2 * have)), wanted]) {
    if (pages > MAX_PAGES) continue;
    try {
      memory.grow(pages - have);
      return 1;
    } catch {}
  }
  return 0;
}

interface Frame {
  /** The frame as a file of its own. */
  readonly file: Uint8Array;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const HEADER_BYTES = 16;

/** The first frame of an animation (RFC 9649, 2.7.1.1), or `undefined` for a still picture. */
function firstFrame(bytes: Uint8Array): Frame | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at: number): string => String.fromCharCode(...bytes.subarray(at, at + 4));
  const u24 = (at: number): number => view.getUint16(at, true) | (bytes[at + 2]! << 16);
  if (name(12) !== "VP8X" || (bytes[20]! & 2) === 0) return undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (name(at) !== "ANMF") {
      at += 8 + length + (length & 1);
      continue;
    }
    const body = at + 8;
    if (length < HEADER_BYTES || body + length > bytes.length) throw new Fault("truncated", "one that is cut short");
    const chunks = bytes.subarray(body + HEADER_BYTES, body + length);
    // An extended header allows what stands before the picture: its alpha.
    const file = new Uint8Array(30 + chunks.length);
    const out = new DataView(file.buffer);
    const write = (text: string, to: number): void => {
      for (let i = 0; i < 4; ++i) file[to + i] = text.charCodeAt(i);
    };
    write("RIFF", 0);
    out.setUint32(4, file.length - 8, true);
    write("WEBP", 8);
    write("VP8X", 12);
    out.setUint32(16, 10, true);
    file[20] = 0x10;
    file.set(bytes.subarray(body + 6, body + 12), 24);
    file.set(chunks, 30);
    const [width, height] = [1 + u24(body + 6), 1 + u24(body + 9)];
    return { file, left: 2 * u24(body), top: 2 * u24(body + 3), width, height };
  }
  throw new Fault("malformed", "an animation without frames");
}

/** A frame on its canvas, which is transparent and black around it. */
function placed(pixels: Pixels, { left, top }: Frame, { width, height }: Header): Pixels {
  if (left === 0 && top === 0 && pixels.width === width && pixels.height === height) return pixels;
  // Larger than it says, a frame would reach beyond the canvas.
  if (left + pixels.width > width || top + pixels.height > height)
    throw new Fault("malformed", "one whose first frame has another size than it says");
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < pixels.height; ++y) {
    const row = pixels.data.subarray(4 * y * pixels.width, 4 * (y + 1) * pixels.width);
    data.set(row, 4 * ((top + y) * width + left));
  }
  return { width, height, data };
}
