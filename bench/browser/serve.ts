/** The bench's pages: a server of built scripts and folders, and browsers that open them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { build } from "esbuild";
import type { Vectors } from "../../src/variants.ts";
import { type BrowserName, programOf, type RunningBrowser, startBrowser } from "../../test/runtimes/browsers.ts";

const root = join(import.meta.dirname, "../..");
const versus = join(import.meta.dirname, "../versus");
const rivals = join(versus, "node_modules");

/** Where each engine's WebAssembly is. */
export const FOLDERS = {
  dist: join(root, "dist"),
  wasm: join(root, "wasm"),
  ort: join(rivals, "onnxruntime-web/dist"),
  tfjs: join(rivals, "@tensorflow/tfjs-backend-wasm/dist"),
  litert: join(rivals, "@litertjs/core/wasm"),
} as const;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};
/** The first Chromium whose flag for packing has no "experimental" before it: V8 15.3. */
const RENAMED = 153;

/** Installs the rivals, builds the package, bundles a page's script of this folder. */
export async function pageScript(name: string): Promise<string> {
  if (!existsSync(rivals)) {
    const install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    execFileSync("npm", install, { cwd: versus, stdio: ["ignore", 2, 2] });
  }
  execFileSync(process.execPath, [join(root, "build.ts")], { stdio: ["ignore", 2, 2] });
  const { outputFiles } = await build({
    ...{ entryPoints: [join(import.meta.dirname, name)], bundle: true, write: false, format: "esm", minify: true },
    ...{ platform: "browser", target: "es2023", nodePaths: [rivals], logLevel: "error" },
  });
  return outputFiles![0]!.text;
}

/** Serves `/page.html` with a script, and folders by name; `isolated` pages may have threads. */
export function serve(folders: Readonly<Record<string, string>>, script: string, isolated: boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, "http://x").pathname);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    if (path === "/page.js") return response.end(script);
    if (path === "/page.html") {
      return response.end('<!doctype html><title>waiting</title><body><script type="module" src="/page.js"></script>');
    }
    const [, first = "", rest = ""] = /^\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const folder = folders[first];
    const file = folder === undefined ? undefined : join(folder, rest);
    return file !== undefined && existsSync(file) ? response.end(readFileSync(file)) : response.writeHead(404).end();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** Starts a browser; with `vectors` of 256 bits Chromium's V8 packs pairs. V8's flags are the whole browser's. */
export function launch(name: BrowserName, vectors: Vectors): Promise<RunningBrowser> {
  return startBrowser(name, vectors === 256 ? packingFlag(programOf("chromium")) : "");
}

function packingFlag(program: string): string {
  const version = execFileSync(program, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const major = /\d+/.exec(version)?.[0];
  return Number(major) >= RENAMED ? "--wasm-revectorize" : "--experimental-wasm-revectorize";
}

/** Opens the page and resolves to what it has written when its title is `done`. */
export async function resultOf<T>(browser: RunningBrowser, server: Server, query: URLSearchParams): Promise<T> {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/page.html?${query}`;
  return JSON.parse(await browser.resultOf(url, 600_000)) as T;
}
