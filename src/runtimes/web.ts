/**
 * What pages and workers of a browser share, wherever the modules come from. What only some of them need is imported when it is
 * first called: names and the cache, HEIC, measuring.
 */
import type { Folder } from "../bytes.ts";
import { requestCollection } from "../collect.ts";
import { drawn } from "../decode/drawable.ts";
import { schemeOf } from "../decode/scheme.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { SHARDED, TFJS } from "../formats/json.ts";
import { type Format, SAFETENSORS } from "../formats/open.ts";
import type { ModuleName, PageStorage, Runtime, Store } from "../runtime.ts";
import { givenAddresses, givenModule } from "./init.ts";
import { pageAddress } from "./page-address.ts";
import { fetchFile } from "./web-fetch.ts";

/** What differs between a browser's entries. */
export interface WebParts {
  /** Compiles a module that was not given. */
  compile(name: ModuleName): Promise<WebAssembly.Module>;
  /** Compiles what is at an address that was given. */
  readonly compileAt?: (name: ModuleName, url: string) => Promise<WebAssembly.Module>;
  /** Keeps modules; absent where they are part of the script. */
  readonly keep?: PageStorage["keep"];
  startWorker: Runtime["startWorker"];
  /** Where the package's folder `models/` is; absent where there are no files beside the script. */
  readonly models?: () => string | URL;
  /** Absent where nothing may be imported any more. */
  importLibheif?: () => Promise<unknown>;
  /** Weight formats besides those that need no large reader. */
  readonly formats?: readonly Format[];
}

/** The environment of a browser. Each runtime compiles a module once, when it is first asked for. */
export function webRuntime({
  compile,
  compileAt,
  keep,
  startWorker,
  models,
  importLibheif,
  formats = [],
}: WebParts): Runtime {
  const modules = new Map<ModuleName, Promise<WebAssembly.Module>>();
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
      const known = modules.get(name);
      if (known !== undefined) return known;
      const module = givenModule(name, compileAt && ((url) => compileAt(name, url))).then(
        (given) => given ?? compile(name),
      );
      modules.set(name, module);
      // What there is no network for now, there may be later.
      module.catch(() => modules.delete(name));
      return module;
    },
    collect: requestCollection,
    async decodeHeif(...given) {
      const { heifDecoder } = await import("./web-heif.ts");
      return heifDecoder(importLibheif)(...given);
    },
    drawn,
    openFile: fetchFile,
    absolute: (path) => (schemeOf(path) === undefined ? new URL(path, pageAddress()).href : path),
    folder: (path, signal) => folderAt(new URL(path.endsWith("/") ? path : `${path}/`, pageAddress()), signal),
    ...(models && { shipped: (signal?: AbortSignal) => runtime.folder(`${models()}`, signal) }),
    store: (name = "resnet-wasm") => storeOf(name),
    // Both answer pages of any origin.
    registry: async () => givenAddresses().registry ?? "https://registry.npmjs.org/",
    async huggingFace() {
      const endpoint = givenAddresses().hub ?? "https://huggingface.co";
      return { endpoint, token: undefined, cache: undefined, lists: true };
    },
    async hash(algorithm) {
      if (algorithm !== "sha256") {
        const { PUBLISHED_HASHES } = await import("./web-hash.ts");
        return PUBLISHED_HASHES[algorithm].create();
      }
      const { sha256 } = await import("./web-sha256.ts");
      return sha256.create();
    },
    startWorker,
    async pageStorage() {
      const { pageStorage } = await import("./web-offline.ts");
      return pageStorage(keep);
    },
    async locate(source, options) {
      const { locate } = await import("../hub/locate.ts");
      return locate(source, runtime, options);
    },
  };
  return runtime;
}

/** A store whose code is imported when it is used. */
function storeOf(name: string): Store {
  const opened = async (): Promise<Store> => {
    const { pageStore } = await import("./web-store.ts");
    return pageStore(name);
  };
  return {
    name,
    get: async (...given) => (await opened()).get(...given),
    put: async (...given) => (await opened()).put(...given),
    alone: async (...given) => (await opened()).alone!(...given),
    denial: async () => (await opened()).denial!(),
    list: async () => (await opened()).list!(),
    remove: async (...given) => (await opened()).remove!(...given),
  };
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
