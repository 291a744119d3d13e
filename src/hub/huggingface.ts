/**
 * `hf:owner/repo[@revision][/file]`: a repository of the Hugging Face hub, or of one that serves its layout
 * (`{endpoint}/{repo}/resolve/{revision}/{file}`). A model that other programs have left in the hub's own cache
 * (huggingface.co/docs/hub/local-cache) is read there; what is fetched here goes to this package's cache.
 */
import type { Folder } from "../bytes.ts";
import { ArgumentTypeError, expectedGot, ModelError } from "../errors.ts";
import type { HuggingFace, Located, LocateOptions, Runtime, StoreWriter } from "../runtime.ts";
import { lookUp, offlineError, verifyCached } from "./cache.ts";
import { download, type Promised } from "./download.ts";
import { displayUrl, fetchBytes, type Request, StatusError } from "./fetch.ts";
import { type Checksum, digestOf, parseIntegrity } from "./integrity.ts";
import { type Listing, readListing } from "./listing.ts";
import { once } from "./once.ts";
import { ORIGIN_FILE } from "./origin.ts";
import { checkPath, MAX_DESCRIPTION_BYTES, shardsOf } from "./shards.ts";
import { checkUpdate, type Freshness, guessesOf, unanswered } from "./update.ts";

interface Source {
  /** `owner/repo`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** The weight file; empty to look for it. */
  readonly file: string;
}

/** Where a model's weights may be, the best first. */
const WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"] as const;
const CONFIG = "config.json";
/** Files beside the weights, which a repository may lack. */
const BESIDE = ["preprocessor_config.json"] as const;
const MAX_CONFIG_BYTES = 1 << 24;
const MAX_LISTING_BYTES = 1 << 24;
const MAX_COMMIT_BYTES = 100;
/** Milliseconds that the hub may be silent when it is asked for a branch's commit; there is a copy to take. */
const ASK_STALL_MS = 5000;
const INDEX = /\.json$/i;

/**
 * Finds the weights of a repository, with `config.json` and `preprocessor_config.json` beside them if it has them. All
 * files come from one commit, and have the checksums that the hub gives.
 *
 * @throws ArgumentTypeError for a source that is none; ModelError when there is no such repository, revision or file, it may not
 * be read, or the bytes are not the promised ones; the signal's reason when it aborts
 */
export async function locateRepository(text: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const source = parseSource(text);
  checkUpdate(options);
  const pinned = options.integrity === undefined ? [] : [parseIntegrity(options.integrity)];
  const store = runtime.store(options.cache);
  const key = keyOf(source, options);
  const verified = async (located: Located): Promise<Located> => {
    await verifyCached(runtime, located.folder, located.entry, pinned);
    return located;
  };
  const look = () =>
    lookUp(store, key, async (folder) => {
      const { entry, commit } = await readOrigin(folder);
      return { ...(await verified({ folder, entry })), commit };
    });
  const { found, ...lookup } = await look();
  const isFixed = /^[0-9a-f]{40,64}$/.test(source.revision) || pinned.length > 0;
  const asks = options.update === "check" && !isFixed;
  if (found !== undefined && !asks) return { folder: found.folder, entry: found.entry };
  const hub = await runtime.huggingFace();
  const state = asks ? await newestCommit({ source, hub, runtime, options }) : {};
  const isNewest = (commit: string): boolean => state.commit === undefined || state.commit === commit;
  if (found !== undefined && isNewest(found.commit)) {
    const { folder, entry } = found;
    return { folder, entry, ...guessesOf(state) };
  }
  let { problem } = lookup;
  const shared = await findShared(source, hub, runtime, options);
  if (shared !== undefined && isNewest(shared.commit)) {
    const { folder, entry } = shared;
    try {
      return { ...(await verified({ folder, entry })), ...guessesOf(state) };
    } catch (error) {
      if (!(error instanceof ModelError && error.code === "integrity")) throw error;
      problem ??= error;
    }
  }
  if (options.offline === true) throw offlineError(store, text, problem);
  const fetched = once(store, key, options, async (heard) => {
    const again = await look();
    if (again.found !== undefined && isNewest(again.found.commit)) return again.found;
    let entry = "";
    const fill = async (writer: StoreWriter): Promise<void> => {
      entry = await fetchRepository({ source, hub, pinned, writer, runtime, options: heard });
    };
    const replace = again.found !== undefined || again.problem !== undefined;
    const folder = await store.put(key, fill, { replace });
    return { folder, entry: entry || (await readOrigin(folder)).entry };
  });
  try {
    const { folder, entry } = await fetched;
    return { folder, entry };
  } catch (error) {
    if (found === undefined) throw error;
    const { folder, entry } = found;
    return { folder, entry, ...guessesOf(unanswered(text, error, options)) };
  }
}

/** The commit that a branch or a tag is of now; why it is not known where there is no answer. */
async function newestCommit(
  asking: Asking,
): Promise<Pick<Freshness, "guesses"> & { readonly commit?: string | undefined }> {
  const { source, hub, options } = asking;
  const quick = { ...asking, options: { ...options, stallMs: ASK_STALL_MS } };
  try {
    if (options.offline === true) throw new ModelError("offline", "offline was asked for");
    const listing = hub.lists === true ? await fetchListing(quick) : undefined;
    const commit = listing?.commit ?? (await fetchSmall(quick, CONFIG, source.revision, MAX_CONFIG_BYTES)).commit;
    if (commit === undefined) throw new ModelError("network", `${hub.endpoint} does not tell its commit`);
    return { commit };
  } catch (error) {
    return unanswered(source.repo, error, options);
  }
}

/** The cache's key of a repository's weights. */
export function repositoryKey(text: string, options: Pick<LocateOptions, "beside">): string {
  return keyOf(parseSource(text), options);
}

function keyOf(source: Source, options: Pick<LocateOptions, "beside">): string {
  const file = source.file === "" ? "" : `+${encodeURIComponent(source.file)}`;
  // Without the configuration it is another entry: who asks for the whole repository must not get half of it.
  const alone = isAlone(source, options) ? "+alone" : "";
  return `hf/${source.repo}@${encodeURIComponent(source.revision)}${file}${alone}`;
}

/** Whether the weight file is wanted without what is beside it. */
function isAlone({ file }: Source, { beside }: Pick<LocateOptions, "beside">): boolean {
  return file !== "" && beside === false;
}

/** The path of the weights in an entry of the cache, and the commit that they are of. */
async function readOrigin(folder: Folder): Promise<{ readonly entry: string; readonly commit: string }> {
  const where = `${folder.name}/${ORIGIN_FILE}`;
  const text = await readText(folder, ORIGIN_FILE, MAX_CONFIG_BYTES);
  try {
    const { entry, commit } = JSON.parse(text ?? "") as { entry?: unknown; commit?: unknown };
    return { entry: checkPath(where, entry), commit: String(commit) };
  } catch (error) {
    const got = text === undefined ? "no such file" : "another text";
    const message = expectedGot(where, "what the cache's entry was made from", got);
    throw new ModelError("integrity", message, { subject: where, cause: error });
  }
}

function parseSource(text: string): Source {
  const parts = /^hf:([\w-][\w.-]*\/[\w-][\w.-]*)(?:@(refs\/[\w-]+\/[\w-]+|[\w-][\w.-]*))?(?:\/(.*))?$/i.exec(text);
  if (parts === null)
    throw new ArgumentTypeError("source", expectedGot("hub", "hf:owner/repo, hf:owner/repo@revision/file", text));
  const [, repo, revision = "main", file = ""] = parts as unknown as [string, string, string?, string?];
  return { repo, revision, file: file === "" ? "" : checkPath("hub", file) };
}

/** The model in the hub's own cache, if it is there with all its files. */
async function findShared(
  source: Source,
  { cache }: HuggingFace,
  runtime: Runtime,
  options: LocateOptions,
): Promise<(Located & { readonly commit: string }) | undefined> {
  const { repo, revision, file } = source;
  if (cache === undefined) return undefined;
  const root = `${cache}/models--${repo.replace("/", "--")}`;
  const named = await readText(runtime.folder(root), `refs/${revision}`, MAX_COMMIT_BYTES);
  const commit = named?.trim() ?? revision;
  if (!/^[0-9a-f]{40,64}$/.test(commit)) return undefined;
  const folder = runtime.folder(`${root}/snapshots/${commit}`);
  let entry: string | undefined;
  for (const name of file === "" ? WEIGHTS : [file]) if (entry === undefined && (await has(folder, name))) entry = name;
  if (entry === undefined) return undefined;
  // Without its configuration it may be half a model; what the hub lacks too is remembered in its cache.
  const lacksConfig = runtime.folder(`${root}/.no_exist/${commit}`);
  const mayLack = options.offline === true || isAlone(source, options);
  if (!mayLack && !(await has(folder, CONFIG)) && !(await has(lacksConfig, CONFIG))) return undefined;
  if (INDEX.test(entry)) {
    const index = await readText(folder, entry, MAX_DESCRIPTION_BYTES);
    for (const path of shardsOf(`${folder.name}/${entry}`, new TextEncoder().encode(index))) {
      if (!(await has(folder, besideOf(entry, path)))) return undefined;
    }
  }
  return { folder, entry, commit };
}

async function has(folder: Folder, path: string): Promise<boolean> {
  return (await readText(folder, path, 0)) !== undefined;
}

/** The first `limit` bytes of a file, when it is there. */
async function readText(folder: Folder, path: string, limit: number): Promise<string | undefined> {
  try {
    const file = await folder.open(path);
    try {
      return new TextDecoder().decode(await file.read(0, Math.min(limit, file.size)));
    } finally {
      await file.close();
    }
  } catch (error) {
    // A folder of that name, or a link to nowhere, is no file either.
    if (error instanceof ModelError && error.code === "not-found") return undefined;
    throw error;
  }
}

/** `path`, which `entry` names, from the root. */
function besideOf(entry: string, path: string): string {
  return `${entry.slice(0, entry.lastIndexOf("/") + 1)}${path}`;
}

/** What asking for one repository shares. */
interface Asking {
  readonly source: Source;
  readonly hub: HuggingFace;
  readonly runtime: Runtime;
  readonly options: LocateOptions;
  /** What the repository has, where the hub was asked. */
  readonly listing?: Listing | undefined;
}

/** What fetching it shares besides. */
interface Fetching extends Asking {
  readonly pinned: readonly Checksum[];
  readonly writer: StoreWriter;
}

/** Writes a model's files, and returns the path of its weights. */
async function fetchRepository(given: Fetching): Promise<string> {
  const { source, hub, writer, options } = given;
  const alone = isAlone(source, options);
  const listing = hub.lists === true && !alone ? await fetchListing(given) : undefined;
  const fetching = { ...given, listing };
  const from = listing?.commit ?? source.revision;
  const config = alone ? { commit: undefined } : await fetchSmall(fetching, CONFIG, from, MAX_CONFIG_BYTES);
  // From here on the commit is fixed, whatever becomes of the branch.
  const revision = config.commit ?? from;
  if (config.bytes !== undefined) await writer.write(CONFIG, config.bytes);
  for (const entry of source.file === "" ? WEIGHTS : [source.file]) {
    if (!(await fetchWeights(fetching, entry, revision))) continue;
    for (const path of alone ? [] : BESIDE) {
      const { bytes } = await fetchSmall(fetching, path, revision, MAX_CONFIG_BYTES);
      if (bytes !== undefined) await writer.write(path, bytes);
    }
    const origin = { entry, repository: source.repo, commit: revision, endpoint: hub.endpoint };
    await writer.write(ORIGIN_FILE, new TextEncoder().encode(`${JSON.stringify(origin, undefined, 2)}\n`));
    return entry;
  }
  const expected = source.file === "" ? `one of ${WEIGHTS.join(", ")}` : source.file;
  const where = `hub: ${source.repo}@${source.revision} at ${hub.endpoint}`;
  const hint =
    config.bytes === undefined
      ? `check the name, the revision and the endpoint; ${accessHint(fetching)}`
      : "name the weight file: hf:owner/repo/file";
  throw new ModelError("not-found", expectedGot(where, expected, "404 for all of them", hint), {
    subject: source.repo,
  });
}

/** Fetches the weights, shards included. False when the repository has no such file. */
async function fetchWeights(fetching: Fetching, entry: string, revision: string): Promise<boolean> {
  const { pinned, writer } = fetching;
  if (!INDEX.test(entry)) return fetchLarge(fetching, entry, revision, pinned);
  const { bytes } = await fetchSmall(fetching, entry, revision, MAX_DESCRIPTION_BYTES, pinned);
  if (bytes === undefined) return false;
  for (const path of shardsOf(`${fetching.source.repo}/${entry}`, bytes)) {
    if (await fetchLarge(fetching, besideOf(entry, path), revision, [])) continue;
    const message = expectedGot(`${fetching.source.repo}/${entry}`, `a file ${path} in the repository`, "404");
    throw new ModelError("not-found", message, { subject: path });
  }
  await writer.write(entry, bytes);
  return true;
}

/** Fetches a file into the entry. False when the repository has none. */
async function fetchLarge(
  fetching: Fetching,
  path: string,
  revision: string,
  pinned: readonly Checksum[],
): Promise<boolean> {
  const { writer, runtime, options, listing } = fetching;
  if (listing !== undefined && !listing.files.has(path)) return false;
  const listed = listing?.files.get(path) ?? [];
  const promised = (headers: readonly Headers[]): Promised => {
    const { checksums, size } = promisedBy(headers);
    return { checksums: [...pinned, ...(checksums.length > 0 ? checksums : listed)], size };
  };
  try {
    await download(requestOf(fetching, path, revision), await writer.file(path), promised, runtime, options);
    return true;
  } catch (error) {
    if (isMissing(fetching, error)) return false;
    throw error;
  }
}

/** A small file, if the repository has it, and the commit that it is of. */
async function fetchSmall(
  fetching: Asking,
  path: string,
  revision: string,
  limit: number,
  pinned: readonly Checksum[] = [],
): Promise<{ readonly bytes?: Uint8Array; readonly commit: string | undefined }> {
  const { runtime, options, listing } = fetching;
  if (listing !== undefined && !listing.files.has(path)) return { commit: undefined };
  const request = requestOf(fetching, path, revision);
  try {
    const { bytes, headers } = await fetchBytes(request, limit, options);
    for (const { algorithm, hex } of [...pinned, ...promisedBy(headers).checksums]) {
      const digest = await digestOf(runtime, algorithm, bytes);
      if (digest.startsWith(hex)) continue;
      const hint = "the download is damaged or not the file it should be";
      const message = expectedGot(displayUrl(request.url), `${algorithm} ${hex}`, `${algorithm} ${digest}`, hint);
      throw new ModelError("integrity", message, { subject: request.name });
    }
    return { bytes, commit: commitOf(headers) };
  } catch (error) {
    if (isMissing(fetching, error)) return { commit: commitOf([error.headers]) };
    throw error;
  }
}

/** What the repository has at its revision; `undefined` where the endpoint has no such API. */
async function fetchListing(fetching: Asking): Promise<Listing | undefined> {
  const { source, hub, options } = fetching;
  const url = `${hub.endpoint}/api/models/${source.repo}/revision/${encodeURIComponent(source.revision)}?blobs=true`;
  try {
    const request = { url, name: source.repo, fresh: options.update === "check" };
    const { bytes } = await fetchBytes(request, MAX_LISTING_BYTES, options);
    return readListing(bytes);
  } catch (error) {
    if (isMissing(fetching, error)) return undefined;
    throw error;
  }
}

function requestOf({ source, hub, options }: Asking, path: string, revision: string): Request {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return {
    url: `${hub.endpoint}/${source.repo}/resolve/${encodeURIComponent(revision)}/${encoded}`,
    name: `${source.repo}/${path}`,
    authorization: hub.token === undefined ? undefined : `Bearer ${hub.token}`,
    fresh: options.update === "check",
  };
}

/** Whether only the file is missing. Throws when the repository is, or may not be read. */
function isMissing(fetching: Asking, error: unknown): error is StatusError {
  if (!(error instanceof StatusError)) return false;
  const { source, hub } = fetching;
  const where = `hub: ${source.repo}@${source.revision} at ${hub.endpoint}`;
  if (error.code === "denied") {
    const got = `${error.status}, which is also the answer for one that does not exist`;
    const message = expectedGot(where, "a repository to read", got, accessHint(fetching));
    throw new ModelError("denied", message, { subject: source.repo, cause: error });
  }
  if (error.code !== "not-found") return false;
  const code = error.headers.get("x-error-code");
  if (code !== "RepoNotFound" && code !== "RevisionNotFound") return true;
  const expected = code === "RepoNotFound" ? "a repository of that name" : "a revision of that name";
  const message = expectedGot(where, expected, "404", accessHint(fetching));
  throw new ModelError("not-found", message, { subject: source.repo, cause: error });
}

function accessHint({ source, hub }: Asking): string {
  const conditions = `if it is gated, accept its conditions at ${hub.endpoint}/${source.repo}`;
  return hub.token === undefined
    ? `if it is private or gated, set HF_TOKEN; ${conditions}`
    : `the token (HF_TOKEN, or the file token in HF_HOME) may not read it; ${conditions}`;
}

/** The commit that the hub says a file is of. */
function commitOf(headers: readonly Headers[]): string | undefined {
  const commit = headers.map((each) => each.get("x-repo-commit")).find((each) => each !== null);
  return commit != null && /^[0-9a-f]{7,64}$/.test(commit) ? commit : undefined;
}

/**
 * Checksum and length of a file, from the hub's answer and not from that of the store it redirects to: the SHA-256 of
 * files in LFS, which are linked, git's own SHA-1 of others.
 */
function promisedBy(headers: readonly Headers[]): Promised {
  const linked = headers.find((each) => each.has("x-linked-etag"));
  const own = headers.find((each) => each.has("x-repo-commit"));
  const tag = linked?.get("x-linked-etag") ?? own?.get("etag") ?? "";
  const hex = /^(?:W\/)?"?([0-9a-f]{64}|[0-9a-f]{40})"?$/.exec(tag)?.[1];
  const size = linked?.get("x-linked-size") ?? undefined;
  return {
    checksums: hex === undefined ? [] : [{ algorithm: hex.length === 64 ? "sha256" : "git", hex }],
    size: size === undefined || !/^\d+$/.test(size) ? undefined : Number(size),
  };
}
