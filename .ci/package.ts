/**
 * The package as npm would publish it: its sizes, its manifest, and its use from fresh projects: Node, Deno, a Vite build and an
 * esbuild build in Chromium, a page of a single file, a Worker in workerd.
 */
import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";
import { startWorker } from "../examples/worker/workerd.ts";
import { fixtures } from "../test/runtimes/fixtures.ts";
import { modules } from "../test/sizes.ts";
import { check, finish, root } from "./checks.ts";

const home = mkdtempSync(join(tmpdir(), "resnet-wasm-package-"));
const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
const bin = (name: string): string => join(root, "node_modules/.bin", name);
const runtimes = join(root, "test/runtimes/node_modules/.bin");

const rows = modules().map(({ name, bytes, gzip }) => `| ${name} | ${kB(bytes)} | ${kB(gzip)} |`);
process.stdout.write(`\n| | bytes | gzip |\n| --- | --- | --- |\n${rows.join("\n")}\n\n`);

// The manifest.
const tarball = join(
  home,
  execFileSync("npm", ["pack", "--silent", "--pack-destination", home], { cwd: root, encoding: "utf8" })
    .trim()
    .split("\n")
    .at(-1)!,
);
function tool(name: string, ...args: readonly string[]): { readonly good: boolean; readonly said: string } {
  try {
    return { good: true, said: execFileSync(bin(name), args, { cwd: root, encoding: "utf8" }) };
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return { good: false, said: `${stdout}${stderr}` };
  }
}
const lint = tool("publint", tarball, "--strict");
check("publint", lint.good, lint.good ? "nothing to say" : lint.said);
const types = tool(
  "attw",
  tarball,
  "--profile",
  "esm-only",
  "--format",
  "ascii",
  "--exclude-entrypoints",
  "./baseline.wasm",
  "./relaxed.wasm",
  "./baseline.shared.wasm",
  "./relaxed.shared.wasm",
  "./jpeg.wasm",
  "./solve.wasm",
  "./webp.wasm",
  "./webp.wasm.gz",
);
check("@arethetypeswrong/cli", types.good, types.good ? "types are right" : types.said);

// Types, in projects that check those of their packages too.
const typed = mkdtempSync(join(tmpdir(), "resnet-wasm-types-"));
const place = join(typed, "node_modules/resnet-wasm");
mkdirSync(place, { recursive: true });
execFileSync("tar", ["xzf", tarball, "-C", place, "--strip-components", "1"]);
for (const name of ["@types/node", "undici-types"]) {
  cpSync(join(root, "node_modules", name), join(typed, "types", name.replace("@types/", "")), { recursive: true });
}
cpSync(join(typed, "types/undici-types"), join(typed, "node_modules/undici-types"), { recursive: true });
const source = `
  import { load } from "resnet-wasm";
  export async function classify(): Promise<number | undefined> {
    const model = await load(new Uint8Array(8));
    const [best] = await model.classify({ width: 1, height: 1, data: new Uint8Array(4) });
    await model.dispose();
    return best?.index;
  }
`;
writeFileSync(join(typed, "package.json"), '{ "type": "module" }');
writeFileSync(join(typed, "main.ts"), source);
const inPage = ["--lib", "es2022,dom", "--types", "", "--customConditions", "browser"];
const inNode = ["--lib", "es2022", "--typeRoots", "types", "--types", "node"];
for (const [name, flags] of [
  ["a page, without Node's types", ["--module", "esnext", "--moduleResolution", "bundler", ...inPage]],
  ["a program for Node, without the DOM's", ["--module", "nodenext", "--moduleResolution", "nodenext", ...inNode]],
  ["the same for a bundler", ["--module", "esnext", "--moduleResolution", "bundler", ...inNode]],
] as const) {
  const common = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "main.ts"];
  let said = "";
  try {
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...common, ...flags], {
      cwd: typed,
    });
  } catch (error) {
    said = String((error as { stdout: Buffer }).stdout);
  }
  check(`types of ${name}`, said === "", said || "right");
}
rmSync(typed, { recursive: true });

// Fresh projects.
const given = await fixtures();
function project(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(home, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name, private: true, type: "module" }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", tarball], {
    cwd: folder,
    stdio: "ignore",
  });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
  for (const [path, bytes] of Object.entries({ "int8.safetensors": given.int8, "photo.jpg": given.photo })) {
    mkdirSync(join(folder, "public"), { recursive: true });
    for (const place of ["", "public"]) writeFileSync(join(folder, place, path), bytes);
  }
  return folder;
}

const local = `
  import { load } from "resnet-wasm";
  const model = await load("int8.safetensors");
  const [best] = await model.classify("photo.jpg", { topK: 1 });
  console.log("best", best.index);
  await model.dispose();
`;
const node = project("plain-node", { "main.js": local });
const want = execFileSync(process.execPath, ["main.js"], { cwd: node, encoding: "utf8" }).trim();
check("plain Node", /^best \d+$/.test(want), want);
const installed = readdirSync(join(node, "node_modules")).filter((name) => !name.startsWith("."));
check("nothing else is installed with it", installed.length === 1, installed.join(", "));
const node20 = join(root, "node_modules/node20/bin/node");
const old = execFileSync(node20, ["main.js"], { cwd: node, encoding: "utf8" }).trim();
check("plain Node 20", old === want, old);

/** What the service of the installed command answers for a photo. */
async function served(program: string): Promise<string> {
  const server = spawn(
    program,
    ["node_modules/resnet-wasm/dist/cli/main.js", "serve", "--model", "int8.safetensors", "--port", "0"],
    {
      cwd: node,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  try {
    let text = "";
    for await (const part of server.stdout) {
      text += part;
      const url = /http:\S+/.exec(text)?.[0];
      if (url === undefined) continue;
      const headers = { "Content-Type": "image/jpeg" };
      const response = await fetch(new URL("classify", url), {
        method: "POST",
        body: new Uint8Array(given.photo),
        headers,
      });
      const { predictions } = (await response.json()) as { predictions: readonly { readonly index: number }[] };
      return `best ${predictions[0]!.index}`;
    }
    return text;
  } finally {
    server.kill("SIGINT");
  }
}
mkdirSync(join(node, "photos"));
cpSync(join(node, "photo.jpg"), join(node, "photos/photo.jpg"));
writeFileSync(join(node, "f32.safetensors"), given.f32);
for (const [name, program] of [
  ["Node", process.execPath],
  ["Node 20", node20],
] as const) {
  const command = (...args: readonly string[]): string =>
    execFileSync(program, ["node_modules/resnet-wasm/dist/cli/main.js", ...args], { cwd: node, encoding: "utf8" });
  const json = command("classify", "*.jpg", "--model", "int8.safetensors", "--top-k", "1", "--json");
  const [{ predictions }] = JSON.parse(json);
  check(`the command under ${name}: classify`, `best ${predictions[0].index}` === want, JSON.stringify(predictions));
  command("quantize", "f32.safetensors", "--calibrate", "photos", "--out", "q.safetensors", "--report", "q.html");
  const report = statSync(join(node, "q.html")).size;
  check(`the command under ${name}: a report with its charts`, report > 200_000, kB(report));
  const answer = await served(program);
  check(`the command under ${name}: serve`, answer === want, answer);
}
const deno = execFileSync(join(runtimes, "deno"), ["run", "--allow-all", "main.js"], {
  cwd: node,
  encoding: "utf8",
}).trim();
check("Deno", deno === want, deno);
const bun = execFileSync(join(runtimes, "bun"), ["run", "main.js"], { cwd: node, encoding: "utf8" }).trim();
check("Bun", bun === want, bun);

const page = (entry: string): string => `
  import { load } from "${entry}";
  try {
    const model = await load("int8.safetensors");
    const [best] = await model.classify("photo.jpg", { topK: 1 });
    document.title = "best " + best.index;
  } catch (error) { document.title = "failed: " + error.message; }
`;
const html = '<!doctype html><title>waiting</title><script type="module" src="./main.js"></script>';
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
});
const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".html": "text/html",
  ".wasm": "application/wasm",
};

/** The title that a folder's page ends with. */
async function shown(folder: string): Promise<string> {
  const server = createServer((request, response) => {
    const path = join(folder, new URL(request.url!, "http://x").pathname);
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    if (existsSync(path) && extname(path) !== "") response.end(readFileSync(path));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/index.html`);
  await tab.waitForFunction(() => document.title !== "waiting", { timeout: 30_000 }).catch(() => {});
  const title = await tab.title();
  await tab.close();
  server.closeAllConnections();
  server.close();
  return title;
}

const vite = project("vite", { "index.html": html, "main.js": page("resnet-wasm") });
execFileSync(process.execPath, [join(root, "node_modules/vite/bin/vite.js"), "build", "--base", "./"], {
  cwd: vite,
  stdio: "ignore",
});
const byVite = await shown(join(vite, "dist"));
check("a Vite build, in Chromium", byVite === want, byVite);
const stray = readdirSync(join(vite, "dist/assets")).filter((name) => /node/.test(name));
check("a Vite build has no stray assets", stray.length === 0, readdirSync(join(vite, "dist/assets")).join(", "));

async function esbuilt(name: string, entry: string): Promise<string> {
  const folder = project(name, { "index.html": html, "source.js": page(entry) });
  const out = join(folder, "public");
  await build({
    entryPoints: [join(folder, "source.js")],
    outfile: join(out, "main.js"),
    bundle: true,
    format: "esm",
    external: ["module", "node:*"],
    logLevel: "error",
  });
  cpSync(join(folder, "index.html"), join(out, "index.html"));
  return out;
}
const esbuild = await esbuilt("esbuild", "resnet-wasm");
// esbuild moves no files: wasm lies where the bundle's address leads to, `../../wasm`.
cpSync(join(root, "wasm"), join(esbuild, "wasm"), { recursive: true });
const byEsbuild = await shown(esbuild);
check("an esbuild build with the wasm folder beside it, in Chromium", byEsbuild === want, byEsbuild);
const single = await shown(await esbuilt("inline", "resnet-wasm/inline"));
check("a page of one script, by the inline entry, in Chromium", single === want, single);
await browser.close();

const worker = project("worker", {
  "main.js": `
    import { load } from "resnet-wasm";
    export default { async fetch(request, env) {
      const model = await load(await env.ASSETS.fetch("https://assets.local/int8.safetensors"));
      const photo = await env.ASSETS.fetch("https://assets.local/photo.jpg");
      const [best] = await model.classify(await photo.arrayBuffer(), { topK: 1 });
      return new Response("best " + best.index);
    } };`,
});
const running = await startWorker({ main: join(worker, "main.js"), assets: join(worker, "public") });
const byWorker = await (await fetch(running.url)).text();
check("a Worker bundled with the workerd condition", byWorker === want, byWorker);
await running.stop();
rmSync(home, { recursive: true });
finish();
