/**
 * The package as npm would publish it, in projects of every bundler: each builds without a warning, runs, and gives the answers that
 * plain Node gives. The sizes of README's table are those of these bundles.
 *
 *     node .ci/bundlers.ts [NAME…]
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build as esbuild } from "esbuild";
import { startBrowser } from "../test/runtimes/browsers.ts";
import { fixtures } from "../test/runtimes/fixtures.ts";
import { modules, parts } from "../test/sizes.ts";
import { check, finish, root } from "./checks.ts";

const run = promisify(execFile);
const tools = join(root, "test/bundlers");
/** Modules of the tools, which have no types here. */
// biome-ignore lint/suspicious/noExplicitAny: each has an API of its own
const tool = (name: string): any => createRequire(join(tools, "package.json"))(name);

const home = mkdtempSync(join(tools, "run-"));
const wanted = process.argv.slice(2);
// Bundlers look for one in the folders above, and this checkout's leads to the sources.
writeFileSync(join(home, "tsconfig.json"), "{}");

// The package, as it would be installed.
const packed = join(home, "node_modules/resnet-wasm");
mkdirSync(packed, { recursive: true });
const npm = ["pack", "--silent", "--ignore-scripts", "--pack-destination", home];
const tarball = execFileSync("npm", npm, { cwd: root, encoding: "utf8" }).trim().split("\n").at(-1)!;
execFileSync("tar", ["xzf", join(home, tarball), "-C", packed, "--strip-components", "1"]);

// What every project is given.
const given = await fixtures();
const { images } = JSON.parse(readFileSync(join(root, "test/golden/images.json"), "utf8")) as {
  readonly images: Readonly<Record<string, { readonly base64: string }>>;
};
const files: Readonly<Record<string, Uint8Array>> = {
  "model.safetensors": given.int8,
  "photo.jpg": given.photo,
  "photo.webp": Buffer.from(images["lossy.webp"]!.base64, "base64"),
};

/** A folder with the sources, the files, and `more`. */
function project(name: string, more: Readonly<Record<string, string>> = {}): string {
  const folder = join(home, name);
  mkdirSync(join(folder, "public"), { recursive: true });
  const sources = readdirSync(tools).filter((file) => file.endsWith(".js"));
  for (const file of sources) cpSync(join(tools, file), join(folder, file));
  for (const [path, bytes] of Object.entries(files)) {
    for (const place of ["", "public"]) writeFileSync(join(folder, place, path), bytes);
  }
  const manifest = JSON.stringify({ name, private: true, type: "module" });
  for (const [path, text] of Object.entries({ "package.json": manifest, ...more })) {
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const HTML = '<!doctype html><title>waiting</title><script type="module" src="./main.js"></script>';
/** Of an HTML file from which a bundler starts. */
const ENTRY = HTML.replace("main.js", "page.js");

const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".html": "text/html",
  ".wasm": "application/wasm",
};

/** Serves a folder, and what every project is given. */
async function served(folder: string): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    const path = new URL(request.url!, "http://x").pathname.slice(1) || "index.html";
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    try {
      const body = files[path] ?? readFileSync(join(folder, path));
      response.writeHead(200, { ...ISOLATED, "Content-Type": type }).end(body);
    } catch {
      response.writeHead(path === "favicon.ico" ? 204 : 404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

const browser = await startBrowser("chromium");
const PATIENCE_MS = 60_000;
const pageAt = (url: string): Promise<string> =>
  browser.resultOf(url, PATIENCE_MS).catch((error) => `${(error as Error).message}`);

/** What a folder's page answers. */
async function page(folder: string): Promise<string> {
  const { url, server } = await served(folder);
  const text = await pageAt(url);
  server.closeAllConnections();
  server.close();
  return text;
}

async function program(folder: string, file: string): Promise<string> {
  const { stdout } = await run(process.execPath, [file], { cwd: folder });
  return stdout.trim();
}

/** What a project came to. */
interface Outcome {
  readonly warnings: readonly string[];
  readonly answers: string;
  /** Files that a page loads at once, where the bundler tells. */
  readonly eager?: readonly string[];
}

/** A logger's function. How long a plugin takes is this machine's business. */
function noted(warnings: string[]): (text: string) => void {
  return (text) => {
    if (!text.includes("PLUGIN_TIMINGS")) warnings.push(text);
  };
}

interface OutputChunk {
  readonly fileName: string;
  readonly isEntry: boolean;
  readonly imports: readonly string[];
}

/** The entry and what it imports statically, in what Rollup and Vite report. */
function eagerOf(out: string, output: readonly OutputChunk[]): readonly string[] {
  const found = new Set(output.filter(({ isEntry }) => isEntry).map(({ fileName }) => fileName));
  for (const name of found) {
    for (const each of output.find(({ fileName }) => fileName === name)?.imports ?? []) found.add(each);
  }
  return [...found].map((name) => join(out, name));
}

/** webpack and Rspack, which have one API. */
async function byWebpack(name: string, module: string): Promise<Outcome> {
  const folder = project(name);
  const out = join(folder, "out");
  // biome-ignore lint/suspicious/noExplicitAny: statistics of tools without types here
  const stats: any = await new Promise((resolve, reject) => {
    const bundler = tool(module).webpack ?? tool(module).rspack ?? tool(module);
    const config = {
      mode: "production",
      context: folder,
      entry: "./page.js",
      output: { path: out, filename: "main.js" },
    };
    bundler(config, (error: unknown, done: unknown) => (error ? reject(error) : resolve(done)));
  });
  const { warnings, errors, entrypoints } = stats.toJson({
    all: false,
    warnings: true,
    errors: true,
    entrypoints: true,
  });
  writeFileSync(join(out, "index.html"), HTML);
  const eager = entrypoints.main.assets.map((asset: { name: string }) => join(out, asset.name));
  const said = [...errors, ...warnings].map(({ message }: { message: string }) => message);
  return { warnings: said, answers: await page(out), eager };
}

/** The package's files that a bundler leaves where they are: workers beside the bundle, wasm where its address leads to. */
function copyParts(out: string): void {
  for (const job of ["engine", "opener", "quantizer", "trainer", "worker", "replica", "preparer"]) {
    cpSync(join(packed, `dist/runtimes/browser-${job}.js`), join(out, `browser-${job}.js`));
  }
  cpSync(join(packed, "wasm"), join(out, "wasm"), { recursive: true });
  writeFileSync(join(out, "index.html"), HTML);
}

async function byNext(name: string, flags: readonly string[]): Promise<Outcome> {
  const folder = project(name);
  cpSync(join(tools, "next"), folder, { recursive: true });
  // Where CI is set, a build without a folder for its cache is one of Next's warnings.
  mkdirSync(join(folder, ".next/cache"), { recursive: true });
  // In the same place as in the tools' folder, beside the sources that it shares.
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };
  const bin = join(tools, "node_modules/next/dist/bin/next");
  const built = await run(process.execPath, [bin, "build", ...flags], { cwd: folder, env }).catch((error) => error);
  const text = `${built.stdout}${built.stderr}`;
  const warnings = "code" in built || /warn|⚠/i.test(text) ? [text] : [];
  if ("code" in built) return { warnings, answers: "no build" };
  const { url: free, server: holder } = await served(folder);
  const { port } = new URL(free);
  await new Promise((resolve) => holder.close(resolve));
  const url = `http://localhost:${port}`;
  const server = spawn(process.execPath, [bin, "start", "--port", `${port}`], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    let said = "";
    for await (const part of server.stdout) {
      said += part;
      if (!/Ready/.test(said)) continue;
      const route = await (await fetch(`${url}/api/answers`)).text();
      // The page's text has what Next adds behind it.
      const client = (await pageAt(url)).slice(0, route.length);
      return { warnings, answers: route === client ? route : `route ${route}, client ${client}` };
    }
    return { warnings, answers: said };
  } finally {
    server.kill();
  }
}

const PROJECTS: Readonly<Record<string, () => Promise<Outcome>>> = {
  webpack: () => byWebpack("webpack", "webpack"),
  Rspack: () => byWebpack("rspack", "@rspack/core"),
  async Vite() {
    const folder = project("vite", { "index.html": ENTRY });
    const warnings: string[] = [];
    const out = join(folder, "out");
    const { build, createLogger } = tool("vite");
    const note = noted(warnings);
    const customLogger = { ...createLogger("warn"), warn: note, warnOnce: note, error: note };
    const { output } = await build({ root: folder, customLogger, build: { outDir: out } });
    return { warnings, answers: await page(out), eager: eagerOf(out, output) };
  },
  async "Vite, its server"() {
    const folder = project("vite-dev", { "index.html": ENTRY });
    const warnings: string[] = [];
    const { createServer, createLogger } = tool("vite");
    const note = noted(warnings);
    const customLogger = { ...createLogger("warn"), warn: note, warnOnce: note, error: note };
    // The package is in the folder that the projects share.
    const options = { port: 0, headers: ISOLATED, fs: { allow: [home] } };
    const server = await createServer({ root: folder, customLogger, server: options });
    await server.listen();
    const answers = await pageAt(server.resolvedUrls.local[0]);
    await server.close();
    return { warnings, answers };
  },
  async Rollup() {
    const folder = project("rollup");
    const out = join(folder, "out");
    const warnings: string[] = [];
    const bundle = await tool("rollup").rollup({
      input: join(folder, "page.js"),
      plugins: [tool("@rollup/plugin-node-resolve").nodeResolve({ browser: true })],
      onwarn: ({ message }: { message: string }) => warnings.push(message),
    });
    await bundle.write({ dir: out, entryFileNames: "main.js" });
    copyParts(out);
    return { warnings, answers: await page(out) };
  },
  async Parcel() {
    const folder = project("parcel", { "index.html": ENTRY });
    const { Parcel } = tool("@parcel/core");
    const bundler = new Parcel({
      entries: join(folder, "index.html"),
      cacheDir: join(folder, "cache"),
      defaultConfig: "@parcel/config-default",
      mode: "production",
      shouldDisableCache: true,
      shouldAutoInstall: false,
      defaultTargetOptions: {
        distDir: join(folder, "out"),
        publicUrl: "/",
        engines: { browsers: "last 2 Chrome versions" },
      },
    });
    try {
      await bundler.run();
    } catch (error) {
      const { diagnostics = [{ message: String(error) }] } = error as { diagnostics?: readonly { message: string }[] };
      return { warnings: diagnostics.map(({ message }) => message), answers: "no build" };
    }
    return { warnings: [], answers: await page(join(folder, "out")) };
  },
  async "esbuild for browsers"() {
    const folder = project("esbuild");
    const out = join(folder, "out");
    const { warnings, metafile } = await esbuild({
      entryPoints: { main: join(folder, "page.js") },
      outdir: out,
      bundle: true,
      minify: true,
      format: "esm",
      splitting: true,
      metafile: true,
      logLevel: "silent",
    });
    copyParts(out);
    const outputs = Object.entries(metafile.outputs).map(([path, { entryPoint, imports }]) => ({
      fileName: path.slice(path.lastIndexOf("/") + 1),
      isEntry: /page\.js$/.test(entryPoint ?? ""),
      imports: imports
        .filter(({ kind }) => kind === "import-statement")
        .map(({ path }) => path.slice(path.lastIndexOf("/") + 1)),
    }));
    return { warnings: warnings.map(({ text }) => text), answers: await page(out), eager: eagerOf(out, outputs) };
  },
  async "esbuild for Node"() {
    const folder = project("esbuild-node");
    const said: string[] = [];
    const answers: string[] = [];
    for (const format of ["esm", "cjs"] as const) {
      const file = format === "esm" ? "main.mjs" : "main.cjs";
      const { warnings } = await esbuild({
        entryPoints: [join(folder, "server.js")],
        outfile: join(folder, file),
        bundle: true,
        platform: "node",
        format,
        logLevel: "silent",
      });
      said.push(...warnings.map(({ text }) => `${format}: ${text}`));
      answers.push(await program(folder, file));
    }
    return { warnings: said, answers: [...new Set(answers)].join(" and ") };
  },
  Next: () => byNext("next-turbopack", []),
  "Next, by webpack": () => byNext("next-webpack", ["--webpack"]),
};

const plain = await program(project("plain"), "server.js");
check("plain Node", /^\{("\w+":"\d+ 0\.\d{4}",?){5}\}$/.test(plain), plain);

/** What the names of README's table stand for. */
const sizes = new Map<string, readonly [bytes: number, gzip: number]>();
const wasm = new Map(modules().map(({ name, bytes, gzip }) => [name, [bytes, gzip] as const]));
sizes.set("kernels, a build", wasm.get("baseline.wasm")!);
sizes.set("the JPEG decoder's module", wasm.get("jpeg.wasm")!);
sizes.set("the WebP decoder's", wasm.get("webp.wasm")!);
const [engine, opener, quantizer, trainer, core, pictures, hub, formats] = parts();
sizes.set("the worker that computes", [engine!.bytes, engine!.gzip]);
sizes.set("the worker that opens models", [opener!.bytes, opener!.gzip]);
sizes.set("the worker that quantizes", [quantizer!.bytes, quantizer!.gzip]);
sizes.set("the worker that trains", [trainer!.bytes, trainer!.gzip]);
sizes.set("what computes on the page", [core!.bytes, core!.gzip]);
sizes.set("for photos", [pictures!.bytes, pictures!.gzip]);
sizes.set("for names, addresses and the cache", [hub!.bytes, hub!.gzip]);
sizes.set("for other formats than torchvision's safetensors", [formats!.bytes, formats!.gzip]);
for (const [name, build] of Object.entries(PROJECTS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const start = performance.now();
  const outcome = await build().catch((error): Outcome => ({ warnings: [], answers: String(error?.stack ?? error) }));
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  check(`${name}: no warning`, outcome.warnings.length === 0, outcome.warnings.join("\n") || `none, ${seconds} s`);
  check(`${name}: the answers of plain Node`, outcome.answers === plain, outcome.answers);
  if (outcome.eager === undefined) continue;
  const contents = outcome.eager.map((path) => readFileSync(path));
  const bytes = contents.reduce((sum, { length }) => sum + length, 0);
  const gzip = contents.reduce((sum, content) => sum + gzipSync(content, { level: 9 }).length, 0);
  sizes.set(`a page with \`load\`, by ${name}`, [bytes, gzip]);
}
const kB = (bytes: number): string => `${Math.round(bytes / 1000)} kB`;
const readme = readFileSync(join(root, "README.md"), "utf8");
for (const [name, measured] of sizes) {
  const said = readme.split("\n").find((line) => line.startsWith(`| ${name} |`)) ?? "no such row";
  const numbers = [...said.matchAll(/(\d+) kB/g)].map(([, number]) => 1000 * Number(number));
  // Half a kilobyte is rounding.
  const isNear = numbers.length === 2 && measured.every((is, i) => Math.abs(numbers[i]! - is) <= 0.02 * is + 500);
  check(`README's size of ${name}`, isNear, `${measured.map(kB).join(", ")}; README: ${said}`);
}
await browser.close();
if (process.env.KEEP === undefined) rmSync(home, { recursive: true });
finish();
