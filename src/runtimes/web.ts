/**
 * What pages and workers of a browser share, wherever the modules come from. What only some of them need is imported when it is
 * first called: names and the cache, HEIC, measuring.
 */
import { type ByteSource, type Folder, fromBytes } from "../bytes.ts";
import { drawn } from "../decode/drawable.ts";
import { schemeOf } from "../decode/scheme.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { SHARDED, TFJS } from "../formats/json.ts";
import { type Format, SAFETENSORS } from "../formats/open.ts";
import { codeOfStatus } from "../hub/status.ts";
import type { ModuleName, Runtime, Store } from "../runtime.ts";
import { givenAddresses, givenModule } from "./init.ts";
import type { VerifiedEntries } from "./web-store.ts";

/** What differs between a browser's entries. */
export interface WebParts {
  /** Compiles a module that was not given. */
  compile(name: ModuleName): Promise<WebAssembly.Module>;
  startWorker: Runtime["startWorker"];
  /** Where the package's folder `models/` is; absent where there are no files beside the script. */
  readonly models?: () => string | URL;
  /** Absent where nothing may be imported any more. */
  importLibheif?: () => Promise<unknown>;
  /** Weight formats besides those that need no large reader. */
  readonly formats?: readonly Format[];
}

/** The environment of a browser. Each runtime compiles a module once, when it is first asked for. */
export function webRuntime({ compile, startWorker, models, importLibheif, formats = [] }: WebParts): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
  const verified: VerifiedEntries = new Set();
  const runtime: Runtime = {
    name: "browser",
    formats: [SAFETENSORS, SHARDED, TFJS, ...formats],
    measure: {
      async vectors(build) {
        const { measureVectors } = await import("../vectors.ts");
        return (await measureVectors(runtime, build)).vectors;
      },
      async dots(build) {
        const { measureDots } = await import("../dots.ts");
        return measureDots(runtime, build);
      },
    },
    module(name) {
      const module = modules.get(name) ?? givenModule(name).then((given) => given ?? compile(name));
      modules.set(name, module);
      return module;
    },
    async decodeHeif(...given) {
      const { heifDecoder } = await import("./web-heif.ts");
      return heifDecoder(importLibheif)(...given);
    },
    drawn,
    openFile: fetchFile,
    absolute: (path) => (schemeOf(path) === undefined ? new URL(path, location.href).href : path),
    folder: (path, signal) => folderAt(new URL(path.endsWith("/") ? path : `${path}/`, location.href), signal),
    ...(models && { shipped: (signal?: AbortSignal) => runtime.folder(`${models()}`, signal) }),
    store: (name = "resnet-wasm") => storeOf(name, verified),
    // Both answer pages of any origin.
    registry: async () => givenAddresses().registry ?? "https://registry.npmjs.org/",
    async huggingFace() {
      const endpoint = givenAddresses().hub ?? "https://huggingface.co";
      return { endpoint, token: undefined, cache: undefined, lists: true };
    },
    async hash(algorithm) {
      const { HASHES } = await import("./web-hash.ts");
      return HASHES[algorithm].create();
    },
    startWorker,
    async locate(source, options) {
      const { locate } = await import("../hub/locate.ts");
      return locate(source, runtime, options);
    },
  };
  return runtime;
}

function storeOf(name: string, verified: VerifiedEntries): Store {
  const opened = async (): Promise<Store> => {
    const { cacheStore } = await import("./web-store.ts");
    return cacheStore(name, verified);
  };
  return {
    name,
    get: async (...given) => (await opened()).get(...given),
    put: async (...given) => (await opened()).put(...given),
  };
}

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
