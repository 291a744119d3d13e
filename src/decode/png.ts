/** PNG through the Rust `png` crate, compiled to WebAssembly by @jsquash: palettes, 16 bits, alpha, interlacing. */
import type { Pixels } from "../image.ts";

/** What `squoosh_png` (wasm-bindgen) exports, of which only this is used. */
interface PngExports {
  readonly memory: WebAssembly.Memory;
  __wbindgen_malloc(bytes: number, align: number): number;
  decode(address: number, bytes: number): number;
}

/** Decodes a PNG by an instance of `module`. Throws when it is broken. */
export async function decodePng(module: WebAssembly.Module, bytes: Uint8Array): Promise<Pixels> {
  let exports: PngExports;
  let pixels: Pixels | undefined;
  const imported: Readonly<Record<string, (...args: number[]) => number>> = {
    newwithownedu8clampedarrayandsh(address, length, width, height) {
      const data = new Uint8ClampedArray(exports.memory.buffer, address! >>> 0, length).slice();
      pixels = { data, width: width! >>> 0, height: height! >>> 0 };
      return 0;
    },
    throw(address, length) {
      throw new Error(new TextDecoder().decode(new Uint8Array(exports.memory.buffer, address! >>> 0, length)));
    },
  };
  // wasm-bindgen's names are `__wbg_<what>_<hash>` and `__wbindgen_<what>`; what 16-bit results would need is never called.
  const wbg = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ name }) => [
      name,
      imported[name.replace(/^__wbg_|^__wbindgen_/, "").replace(/_[0-9a-f]{16}$/, "")] ?? (() => 0),
    ]),
  );
  exports = (await WebAssembly.instantiate(module, { wbg })).exports as unknown as PngExports;
  const address = exports.__wbindgen_malloc(bytes.length, 1) >>> 0;
  new Uint8Array(exports.memory.buffer, address, bytes.length).set(bytes);
  exports.decode(address, bytes.length);
  if (pixels === undefined) throw new Error("no pixels");
  return pixels;
}
