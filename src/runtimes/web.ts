/** What pages and workers of a browser share, wherever the modules come from. */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { type ByteSource, type Folder, fromBytes } from "../bytes.ts";
import { schemeOf } from "../decode/address.ts";
import { drawn } from "../decode/drawable.ts";
import { measureDots } from "../dots.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { type Format, SAFETENSORS } from "../formats/open.ts";
import { SHARDED } from "../formats/sharded.ts";
import { TFJS } from "../formats/tfjs.ts";
import { codeOfStatus } from "../hub/fetch.ts";
import { locate } from "../hub/locate.ts";
import type { ModuleName, Runtime } from "../runtime.ts";
import { measureVectors } from "../vectors.ts";
import { givenAddresses, givenModule } from "./init.ts";
import { heifDecoder } from "./web-heif.ts";
import { cacheStore, type VerifiedEntries } from "./web-store.ts";

/** What differs between a browser's entries. */
export interface WebParts {
  /** Compiles a module that was not given. */
  compile(name: ModuleName): Promise<WebAssembly.Module>;
  startWorker: Runtime["startWorker"];
  /** Absent where nothing may be imported any more. */
  importLibheif?: () => Promise<unknown>;
  /** Weight formats besides those that need no large reader. */
  readonly formats?: readonly Format[];
}

/** The environment of a browser. Each runtime compiles a module once, when it is first asked for. */
export function webRuntime({ compile, startWorker, importLibheif, formats = [] }: WebParts): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
  const verified: VerifiedEntries = new Set();
  const runtime: Runtime = {
    name: "browser",
    formats: [SAFETENSORS, SHARDED, TFJS, ...formats],
    measure: {
      vectors: async (build) => (await measureVectors(runtime, build)).vectors,
      dots: (build) => measureDots(runtime, build),
    },
    module(name) {
      const module = modules.get(name) ?? givenModule(name).then((given) => given ?? compile(name));
      modules.set(name, module);
      return module;
    },
    decodeHeif: heifDecoder(importLibheif),
    drawn,
    openFile: fetchFile,
    absolute: (path) => (schemeOf(path) === undefined ? new URL(path, location.href).href : path),
    folder: (path, signal) => folderAt(new URL(path.endsWith("/") ? path : `${path}/`, location.href), signal),
    store: (name = "resnet-wasm") => cacheStore(name, verified),
    // Both answer pages of any origin.
    registry: async () => givenAddresses().registry ?? "https://registry.npmjs.org/",
    async huggingFace() {
      const endpoint = givenAddresses().hub ?? "https://huggingface.co";
      return { endpoint, token: undefined, cache: undefined, lists: true };
    },
    hash: (algorithm) => HASHES[algorithm].create(),
    startWorker,
    locate: (source, options) => locate(source, runtime, options),
  };
  return runtime;
}

/** The Web's own hashes want all bytes at once. */
const HASHES = { sha1, sha256, sha512 } as const;

/** A file at a URL, whole. Throws `ModelError` when the server does not give it; the signal's reason when it aborts. */
export async function fetchFile(path: string, signal?: AbortSignal): Promise<ByteSource> {
  const url = new URL(path, location.href).href;
  let response: Response;
  try {
    response = await fetch(url, signal === undefined ? {} : { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ModelError("network", expectedGot(url, "a response", `${cause}`), { subject: url, cause });
  }
  if (!response.ok) {
    const message = expectedGot(url, "a file", `status ${response.status}`);
    throw new ModelError(codeOfStatus(response.status), message, { subject: url });
  }
  return fromBytes(url, new Uint8Array(await response.arrayBuffer()));
}

/** The files below a URL. */
function folderAt(base: URL, signal: AbortSignal | undefined): Folder {
  return {
    name: base.href,
    async open(path) {
      const url = new URL(path, base);
      if (!url.href.startsWith(base.href)) {
        throw new ModelError("malformed", expectedGot(base.href, "a file inside", path), { subject: path });
      }
      return fetchFile(url.href, signal);
    },
  };
}
