/** Modules that the caller brings, instead of those that an entry finds by itself. */

import { expectedGot, ModelError } from "../errors.ts";
import type { ModuleName } from "../runtime.ts";
import type { ImagesBinding } from "./cloudflare-images.ts";

/** What a module can be made from: itself, its bytes, or where it can be fetched. The last two only where code may be compiled. */
export type ModuleInit =
  | { readonly module: WebAssembly.Module }
  | { readonly bytes: ArrayBuffer | Uint8Array<ArrayBuffer> }
  | { readonly url: string | URL };

/** Modules that were given instead of those imported. */
const given = new Map<ModuleName, ModuleInit>();

let importLibheif: (() => Promise<unknown>) | undefined;
const addresses: { hub?: string; registry?: string } = {};
let imagesBinding: ImagesBinding | undefined;

/** What `init` takes. */
export interface InitOptions extends Readonly<Partial<Record<ModuleName, ModuleInit>>> {
  /**
   * Imports libheif-js, when a page meets a HEIC that its browser cannot decode. A function cannot be posted: what replicas and
   * trainings, whose workers have none, meet of HEIC is decoded on the page.
   */
  readonly libheif?: () => Promise<unknown>;
  /** Address of the Hugging Face hub for `hf:` and short names, in pages: a mirror's, as `HF_ENDPOINT` elsewhere. */
  readonly hub?: string | URL;
  /** Address of npm's registry for `npm:` and short names, in pages. */
  readonly registry?: string | URL;
  /** A Worker's binding of Cloudflare Images, which makes JPEGs of HEIC and AVIF. */
  readonly images?: ImagesBinding;
}

/**
 * Replaces modules that this entry would find by itself, before anything is loaded: for a bundler that puts them elsewhere.
 *
 * @example
 * init({ libheif: () => import("libheif-js/libheif-wasm/libheif-bundle.mjs") });
 *
 * @param modules by name: the kernel builds `baseline` and `relaxed`, the decoders `jpeg` and `webp`; how to import libheif-js, the
 * binding of Cloudflare Images, and where models with a name come from
 */
export function init({ libheif, images, hub, registry, ...modules }: InitOptions): void {
  if (libheif !== undefined) importLibheif = libheif;
  if (images !== undefined) imagesBinding = images;
  if (hub !== undefined) addresses.hub = `${hub}`.replace(/\/+$/, "");
  if (registry !== undefined) addresses.registry = `${registry}`.replace(/\/*$/, "/");
  for (const [name, module] of Object.entries(modules)) given.set(name as ModuleName, module);
}

/** libheif-js, where the caller has said how to import it. */
export function givenLibheif(): Promise<unknown> | undefined {
  return importLibheif?.();
}

/** Where models with a name come from, where the caller has said so. */
export function givenAddresses(): { readonly hub?: string; readonly registry?: string } {
  return addresses;
}

/** Cloudflare Images, where the caller has given the binding. */
export function givenImages(): ImagesBinding | undefined {
  return imagesBinding;
}

/** What was given for a module. */
export function givenInit(name: ModuleName): ModuleInit | undefined {
  return given.get(name);
}

/**
 * A module that was given.
 *
 * @param compileAt compiles what is at an address
 * @throws ModelError when it was given as something else, or its address does not answer
 */
export async function givenModule(
  name: ModuleName,
  compileAt: (url: string) => Promise<WebAssembly.Module> = fetchModule,
): Promise<WebAssembly.Module | undefined> {
  const from = given.get(name);
  if (from === undefined) return undefined;
  if ("bytes" in from) return WebAssembly.compile(from.bytes);
  if ("module" in from) {
    if (from.module instanceof WebAssembly.Module) return from.module;
    const hint = `give it to init({ "${name}": { module } })`;
    throw new ModelError("runtime", expectedGot(`module ${name}`, "a WebAssembly.Module", typeof from.module, hint));
  }
  return compileAt(`${from.url}`);
}

async function fetchModule(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok)
    throw new ModelError("runtime", expectedGot(url, "a WebAssembly module", `status ${response.status}`));
  return WebAssembly.compile(await response.arrayBuffer());
}
