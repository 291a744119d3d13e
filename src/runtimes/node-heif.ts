/**
 * HEIC and AVIF in Node, Deno and Bun, by the packages libheif-js and @jsquash/avif: optional peers, imported when the first such
 * file is met.
 */
import { readFile } from "node:fs/promises";
import { decodeBy, type Factory } from "../decode/emscripten.ts";
import { Fault } from "../decode/fault.ts";
import type { HeifCodec } from "../decode/kind.ts";
import { upright } from "../decode/orientation.ts";
import type { Pixels } from "../image.ts";
import type { HeifSize } from "../runtime.ts";
import { decodeHeic, LIBHEIF } from "./heic.ts";
import { installedFile } from "./node-package.ts";

/** Its script and its WebAssembly, without their endings. */
const AVIF = "@jsquash/avif/codec/dec/avif_dec";
/** Of a channel, in the result. */
const BITS = 8;

/** See `Runtime.decodeHeif`. */
export function decodeHeif(codec: HeifCodec, bytes: Uint8Array, header: HeifSize): Promise<Pixels> {
  return codec === "HEIC" ? decodeHeic(bytes, () => installed(LIBHEIF)) : decodeAvif(bytes, header);
}

/** A module of a package that may not be there. The name is a variable, so that no bundler looks for it. */
async function installed(module: string): Promise<unknown> {
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ module);
  } catch (cause) {
    const name = /^(@[^/]+\/)?[^/]+/.exec(module)![0];
    const fault = new Fault("unsupported", `one, without the package ${name}: npm install ${name}`);
    throw Object.assign(fault, { cause });
  }
}

interface Avif {
  readonly factory: Factory;
  readonly module: WebAssembly.Module;
}

let avif: Promise<Avif> | undefined;

/** By libavif, which leaves it to its caller to turn the pixels. */
async function decodeAvif(bytes: Uint8Array, { orientation }: HeifSize): Promise<Pixels> {
  avif ??= findAvif().catch((error) => {
    avif = undefined;
    throw error;
  });
  const { factory, module } = await avif;
  const { width, height, data } = await decodeBy(factory, module, bytes, BITS);
  return upright({ width, height, data }, orientation);
}

async function findAvif(): Promise<Avif> {
  const { default: factory } = (await installed(`${AVIF}.js`)) as { readonly default: Factory };
  const file = installedFile(`${AVIF}.wasm`);
  return { factory, module: await WebAssembly.compile(await readFile(file)) };
}
