/**
 * Decoders of @jsquash, built by Emscripten. An instance that has decoded an image and is small is kept for the next; one that
 * met a broken file has leaked memory and is dropped. Images decoded at the same time use different instances.
 * @jsquash's own `decode.js` leaves a global `ImageData` behind, so its module is called here without it.
 */
import type { Pixels } from "../image.ts";
import { Idle, type Kept } from "./idle.ts";

/** What the factory's module exports. */
interface Decoder {
  decode(bytes: BufferSource, ...options: readonly unknown[]): Pixels | null | undefined;
}

/** A factory as Emscripten writes it. */
export type Factory = (options: Readonly<Record<string, unknown>>) => Promise<unknown>;

const idle = new Idle<Decoder>();

/** Decodes by an instance of `module`. Throws when the file is broken. */
export async function decodeBy(
  factory: Factory,
  module: WebAssembly.Module,
  bytes: Uint8Array,
  ...options: readonly unknown[]
): Promise<Pixels> {
  const { decoder, memory } = idle.take(module) ?? (await start(factory, module));
  const pixels = withImageData(() => decoder.decode(bytes as BufferSource, ...options));
  if (!pixels) throw new Error("no pixels");
  idle.keep(module, { decoder, memory });
  return pixels;
}

async function start(factory: Factory, module: WebAssembly.Module): Promise<Kept<Decoder>> {
  let memory: WebAssembly.Memory | undefined;
  const decoder = await new Promise<Decoder>((resolve, reject) => {
    withImageData(() =>
      factory({
        noInitialRun: true,
        print() {},
        printErr() {},
        instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
          WebAssembly.instantiate(module, imports)
            .then((instance) => {
              memory = Object.values(instance.exports).find((each) => each instanceof WebAssembly.Memory);
              done(instance);
            })
            .catch(reject);
          return {};
        },
      }),
    ).then((made) => resolve(made as Decoder), reject);
  });
  return { decoder, memory: memory! };
}

/**
 * Runs `work`, which is synchronous, with a global `ImageData`: Emscripten's code makes its result with it, and would install
 * one for good where there is none.
 */
function withImageData<T>(work: () => T): T {
  const own = Object.getOwnPropertyDescriptor(globalThis, "ImageData");
  const value = function ImageData(data: Uint8ClampedArray, width: number, height: number): Pixels {
    return { data, width, height };
  };
  Object.defineProperty(globalThis, "ImageData", { value, configurable: true, writable: true });
  try {
    return work();
  } finally {
    if (own === undefined) Reflect.deleteProperty(globalThis, "ImageData");
    else Object.defineProperty(globalThis, "ImageData", own);
  }
}
