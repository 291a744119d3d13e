/**
 * `https://host/path/file`: one file, with its checksum when one is known, and the shards that it names.
 */

import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import type { Located, LocateOptions, Runtime, StoreWriter } from "../runtime.ts";
import { lookUp, offlineError, verifyCached } from "./cache.ts";
import { download } from "./download.ts";
import { fetchBytes, isLocal, type Request } from "./fetch.ts";
import { type Checksum, digestOf, parseIntegrity } from "./integrity.ts";
import { once } from "./once.ts";
import { ORIGIN_FILE, type Origin, originOf, readOriginFile } from "./origin.ts";
import { MAX_DESCRIPTION_BYTES, shardsOf } from "./shards.ts";
import { checkUpdate, type Freshness, freshness, guessesOf, sameVersion, unanswered } from "./update.ts";

const HINT = "check the address";

/** The cache's key of a URL, whose fragment does not count, and the name of its file there. */
export async function urlKey(url: URL, runtime: Runtime): Promise<{ readonly key: string; readonly entry: string }> {
  const entry = fileName(url);
  const { href } = new URL(url);
  const plain = href.replace(/#.*$/s, "");
  const id = (await digestOf(runtime, "sha256", new TextEncoder().encode(plain))).slice(0, 16);
  return { key: `url/${url.host.replace(":", "+")}/${id}-${entry}`, entry };
}

/**
 * Finds the file of a URL, in the cache or else at its address.
 *
 * @throws ArgumentTypeError for a URL that cannot be one of a model; ModelError when there is no such file, no network, or the
 * bytes are not the promised ones; the signal's reason when it aborts
 */
export async function locateUrl(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const url = parseUrl(source, options);
  const checksums = checksumsOf(url, options);
  const isPinned = checksums.length > 0;
  url.hash = "";
  checkUpdate(options);
  const { key, entry } = await urlKey(url, runtime);
  const store = runtime.store(options.cache);
  const look = () =>
    lookUp(store, key, async (folder) => {
      await verifyCached(runtime, folder, entry, checksums);
      return folder;
    });
  const plain: Request = { url: url.href, name: entry, hint: HINT };
  const { found, problem } = await look();
  const kept = found && (await readOriginFile(found));
  // What has the checksum that is asked for is what the server should have.
  const asks = found !== undefined && options.update === "check" && !isPinned;
  const state: Freshness = asks ? await freshness({ ...plain, fresh: true }, kept, options) : {};
  if (found !== undefined && state.isOld !== true) return { folder: found, entry, ...guessesOf(state) };
  if (options.offline === true) throw offlineError(store, `${entry} of ${url.host}`, problem);
  const fetched = once(store, key, options, async (heard) => {
    const again = await look();
    const isNew = state.isOld !== true || !sameVersion(await readOriginFile(again.found), kept);
    if (again.found !== undefined && isNew) return again.found;
    const replace = again.found !== undefined || again.problem !== undefined;
    // The browser's own cache may have the old file too.
    const request = { ...plain, fresh: replace || isPinned };
    const fill = (writer: StoreWriter): Promise<void> => fetchInto(request, entry, checksums, writer, runtime, heard);
    return store.put(key, fill, { replace });
  });
  try {
    return { folder: await fetched, entry };
  } catch (error) {
    if (found === undefined) throw error;
    return { folder: found, entry, ...guessesOf(unanswered(entry, error, options)) };
  }
}

async function fetchInto(
  request: Request,
  entry: string,
  checksums: readonly Checksum[],
  writer: StoreWriter,
  runtime: Runtime,
  options: LocateOptions,
): Promise<void> {
  let origin: Origin;
  if (/\.json$/i.test(entry)) origin = await fetchDescribed(request, entry, checksums, writer, runtime, options);
  else {
    let last: Headers | undefined;
    const promised = (headers: readonly Headers[]) => {
      last = headers.at(-1);
      return { checksums };
    };
    await download(request, await writer.file(entry), promised, runtime, options);
    origin = originOf(request.url, last);
  }
  await writer.write(ORIGIN_FILE, new TextEncoder().encode(JSON.stringify(origin)));
}

/** A description of a model, and the files that it names. */
async function fetchDescribed(
  request: Request,
  entry: string,
  checksums: readonly Checksum[],
  writer: StoreWriter,
  runtime: Runtime,
  options: LocateOptions,
): Promise<Origin> {
  const { bytes, headers } = await fetchBytes(request, MAX_DESCRIPTION_BYTES, options);
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
    const shard: Request = { url: url.href, name: path, hint: `${entry} names it`, fresh: request.fresh };
    await download(shard, await writer.file(path), () => ({ checksums: [] }), runtime, options);
  }
  await writer.write(entry, bytes);
  return originOf(request.url, headers.at(-1));
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
