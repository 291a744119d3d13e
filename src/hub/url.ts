/**
 * `https://host/path/file`: one file, with its checksum when one is known, and the shards that it names.
 */

import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import type { Located, LocateOptions, Runtime, StoreWriter } from "../runtime.ts";
import { lookUp, offlineError, verifyCached } from "./cache.ts";
import { download } from "./download.ts";
import { fetchBytes, isLocal, type Request } from "./fetch.ts";
import { type Checksum, digestOf, parseIntegrity } from "./integrity.ts";
import { MAX_DESCRIPTION_BYTES, shardsOf } from "./shards.ts";

const HINT = "check the address";

/**
 * Finds the file of a URL, in the cache or else at its address.
 *
 * @throws ArgumentTypeError for a URL that cannot be one of a model; ModelError when there is no such file, no network, or the
 * bytes are not the promised ones; the signal's reason when it aborts
 */
export async function locateUrl(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const url = parseUrl(source, options);
  const checksums = checksumsOf(url, options);
  url.hash = "";
  const entry = fileName(url);
  const store = runtime.store(options.cache);
  const id = (await digestOf(runtime, "sha256", new TextEncoder().encode(url.href))).slice(0, 16);
  const key = `url/${url.host.replace(":", "+")}/${id}-${entry}`;
  const { found, problem } = await lookUp(store, key, async (folder) => {
    await verifyCached(runtime, folder, entry, checksums);
    return folder;
  });
  if (found !== undefined) return { folder: found, entry };
  if (options.offline === true) throw offlineError(store, `${entry} of ${url.host}`, problem);
  const request: Request = { url: url.href, name: entry, hint: HINT };
  const fill = async (writer: StoreWriter): Promise<void> => {
    if (/\.json$/i.test(entry)) await fetchDescribed(request, entry, checksums, writer, runtime, options);
    else await download(request, await writer.file(entry), () => ({ checksums }), runtime, options);
  };
  return { folder: await store.put(key, fill, { replace: problem !== undefined }), entry };
}

/** A description of a model, and the files that it names. */
async function fetchDescribed(
  request: Request,
  entry: string,
  checksums: readonly Checksum[],
  writer: StoreWriter,
  runtime: Runtime,
  options: LocateOptions,
): Promise<void> {
  const { bytes } = await fetchBytes(request, MAX_DESCRIPTION_BYTES, options);
  for (const { algorithm, hex } of checksums) {
    const digest = await digestOf(runtime, algorithm, bytes);
    if (!digest.startsWith(hex)) {
      const message = expectedGot(request.name, `${algorithm} ${hex}`, `${algorithm} ${digest}`);
      throw new ModelError("integrity", message, { subject: request.name });
    }
  }
  const base = new URL(request.url);
  for (const path of shardsOf(request.name, bytes)) {
    const url = new URL(path, base);
    // What opens the description opens its shards.
    url.search = base.search;
    const shard: Request = { url: url.href, name: path, hint: `${entry} names it` };
    await download(shard, await writer.file(path), () => ({ checksums: [] }), runtime, options);
  }
  await writer.write(entry, bytes);
}

function parseUrl(source: string, { insecure = false }: LocateOptions): URL {
  if (!URL.canParse(source))
    throw new ArgumentTypeError("source", expectedGot("hub", "an address such as https://host/path/file", source));
  const url = new URL(source);
  if (url.username !== "" || url.password !== "") {
    throw new ArgumentTypeError(
      "source",
      expectedGot("hub", "an address without a name and password", `one of ${url.host} with them`),
    );
  }
  if (url.protocol === "http:" && !insecure && !isLocal(url)) {
    const hint = "anyone on the network can change what http: brings; allow it with insecure";
    throw new ArgumentTypeError("source", expectedGot("hub", "an https: address", `http://${url.host}`, hint));
  }
  return url;
}

/** What is known of the file: from the caller, the fragment, or a name as PyTorch gives, `resnet50-0676ba61.pth`. */
function checksumsOf({ hash, pathname }: URL, { integrity }: LocateOptions): readonly Checksum[] {
  const checksums = integrity === undefined ? [] : [parseIntegrity(integrity)];
  const fragment = /^#sha256=([0-9a-f]{64})$/i.exec(hash)?.[1];
  if (fragment !== undefined) checksums.push({ algorithm: "sha256", hex: fragment.toLowerCase() });
  else if (hash !== "")
    throw new ArgumentTypeError("source", expectedGot("hub", "#sha256= and 64 digits after the address", hash));
  const named = /-([0-9a-f]{8})\.(?:pth|th)$/.exec(pathname)?.[1];
  if (named !== undefined) checksums.push({ algorithm: "sha256", hex: named });
  return checksums;
}

/** The last part of the address, as a file may be called everywhere. */
function fileName({ pathname }: URL): string {
  const last = pathname.slice(pathname.lastIndexOf("/") + 1);
  const name = last.replace(/%[0-9a-f]{2}|[^\w.+-]/gi, "_").slice(-100);
  return /\w/.test(name) && !name.startsWith(".") ? name : "model";
}
