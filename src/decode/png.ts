/** PNG through the Rust `png` crate, compiled to WebAssembly by @jsquash: palettes, 16 bits, alpha, interlacing. */
import type { Pixels } from "../image.ts";
import { Idle, type Kept } from "./idle.ts";

/** What `squoosh_png` (wasm-bindgen) exports, of which only this is used. */
interface PngExports {
  readonly memory: WebAssembly.Memory;
  __wbindgen_malloc(bytes: number, align: number): number;
  __wbindgen_free(address: number, bytes: number, align: number): void;
  decode(address: number, bytes: number): number;
}

/** An instance, and where it leaves what it decoded. */
interface Decoder {
  readonly exports: PngExports;
  pixels: Pixels | undefined;
}

const idle = new Idle<Decoder>();

/** Decodes a PNG by an instance of `module`. Throws when it is broken. */
export async function decodePng(module: WebAssembly.Module, file: Uint8Array): Promise<Pixels> {
  const bytes = withoutWords(file);
  const { decoder, memory } = idle.take(module) ?? (await start(module));
  const { exports } = decoder;
  const address = exports.__wbindgen_malloc(bytes.length, 1) >>> 0;
  new Uint8Array(exports.memory.buffer, address, bytes.length).set(bytes);
  exports.decode(address, bytes.length);
  const { pixels } = decoder;
  if (pixels === undefined) throw new Error("no pixels");
  decoder.pixels = undefined;
  idle.keep(module, { decoder, memory });
  return pixels;
}

async function start(module: WebAssembly.Module): Promise<Kept<Decoder>> {
  const decoder: { exports: PngExports; pixels: Pixels | undefined } = { exports: {} as PngExports, pixels: undefined };
  const memory = (): ArrayBuffer => decoder.exports.memory.buffer;
  const imported: Readonly<Record<string, (...args: number[]) => number>> = {
    newwithownedu8clampedarrayandsh(address, length, width, height) {
      const data = new Uint8ClampedArray(memory(), address! >>> 0, length).slice();
      // It was made over to us.
      decoder.exports.__wbindgen_free(address!, length!, 1);
      decoder.pixels = { data, width: width! >>> 0, height: height! >>> 0 };
      return 0;
    },
    throw(address, length) {
      throw new Error(new TextDecoder().decode(new Uint8Array(memory(), address! >>> 0, length)));
    },
  };
  // wasm-bindgen's names are `__wbg_<what>_<hash>` and `__wbindgen_<what>`; what 16-bit results would need is never called.
  const wbg = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ name }) => [
      name,
      imported[name.replace(/^__wbg_|^__wbindgen_/, "").replace(/_[0-9a-f]{16}$/, "")] ?? (() => 0),
    ]),
  );
  decoder.exports = (await WebAssembly.instantiate(module, { wbg })).exports as unknown as PngExports;
  return { decoder, memory: decoder.exports.memory };
}

/** Chunks that say nothing of the pixels. The decoder would unpack them, to hundreds of megabytes if they are made for it. */
const WORDS = ["iCCP", "zTXt", "iTXt", "tEXt"];

/** The file without such chunks. */
function withoutWords(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const parts: Uint8Array[] = [file.subarray(0, 8)];
  let at = 8;
  while (at + 12 <= file.length) {
    const end = at + 12 + view.getUint32(at);
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (!WORDS.includes(type)) parts.push(file.subarray(at, end));
    at = end;
    if (type === "IEND") break;
  }
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let to = 0;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  return bytes;
}
