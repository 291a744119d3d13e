/**
 * The package in a real Chromium, from a server that isolates its pages and from one that does not: both builds, one
 * thread and two, a photo, and the same bytes as Node gives.
 */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import puppeteer, { type Page } from "puppeteer-core";
import { resnetSpec } from "../src/models/resnet.ts";
import type * as Library from "../src/runtimes/browser.ts";
import { type Build, load } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "../test/golden/checkpoint.ts";
import { goldenInput } from "../test/golden/weights.ts";
import { check, finish, root } from "./checks.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".wasm": "application/wasm",
  ".html": "text/html",
};
const spec = { ...resnetSpec("resnet20"), shortcut: "B" } as const;
const model = goldenCheckpoint(spec);
const SHAPE = [3, 40, 33, 3] as const;
/** The checkout, a page, the model and its input over HTTP on this machine. */
function serve(isolated: boolean): Promise<Server> {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url!, "http://x").pathname);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    try {
      if (path === "/")
        response.setHeader("Content-Type", "text/html").end("<!doctype html><title>resnet-wasm</title>");
      else if (path === "/model.safetensors") response.end(model);
      else if (path === "/input") response.end(Buffer.from(goldenInput(SHAPE).buffer));
      else if (/^\/(dist|wasm|node_modules\/baboon-image)\//.test(path)) response.end(await readFile(join(root, path)));
      else response.writeHead(404).end();
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** Logits as a list, so that they travel; runs in the page. */
async function logitsInPage(page: Page, build: Build, threads: number): Promise<readonly number[]> {
  return page.evaluate(
    async (build, threads, shape) => {
      const entry = "/dist/runtimes/browser.js";
      const { load } = (await import(entry)) as typeof Library;
      const model = await load("model.safetensors", { build, threads });
      const data = new Float32Array(await (await fetch("/input")).arrayBuffer());
      const logits = await model.logits({ data, shape: shape as unknown as readonly [number, number, number, number] });
      await model.dispose();
      return [...logits.data];
    },
    build,
    threads,
    [...SHAPE],
  );
}

async function nodeLogits(build: Build): Promise<readonly number[]> {
  const loaded = await load(model, { build });
  const { data } = await loaded.logits({ data: goldenInput(SHAPE), shape: SHAPE });
  await loaded.dispose();
  return [...data];
}

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync"],
  ],
});
try {
  for (const isolated of [false, true]) {
    const server = await serve(isolated);
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const where = `${await browser.version()}, ${isolated ? "isolated" : "plain"} page`;
    for (const build of ["baseline", "relaxed"] as const) {
      const want = await nodeLogits(build);
      for (const threads of isolated ? [1, 2] : [1]) {
        const got = await logitsInPage(page, build, threads);
        const same = got.length === want.length && got.every((value, i) => value === want[i]);
        check(`${where}, ${build}, ${threads} thread(s): Node's bytes`, same, `${got.length} logits`);
      }
    }
    const said = await page.evaluate(async () => {
      const entry = "/dist/runtimes/browser.js";
      const { load } = (await import(entry)) as typeof Library;
      const model = await load("model.safetensors");
      const best = await model.classify("/node_modules/baboon-image/baboon.png", { topK: 1 });
      const refused = await load("model.safetensors", { threads: 2 }).then(
        async (loaded) => loaded.dispose().then(() => "none"),
        (error: Error) => error.message.split("\n")[0],
      );
      const missing = await load("nothing.safetensors").catch((error: Error) => error.message.split("\n")[0]);
      await model.dispose();
      return { best, refused, missing };
    });
    const local = await load(model);
    const [here] = await local.classify(join(root, "node_modules/baboon-image/baboon.png"), { topK: 1 });
    await local.dispose();
    check(`${where}: a photo by URL`, said.best[0]!.index === here!.index, JSON.stringify(said.best[0]));
    const threadsRight = isolated
      ? said.refused === "none"
      : /expected 1 where there is no shared memory/.test(`${said.refused}`);
    check(`${where}: two threads`, threadsRight, isolated ? "they work" : said.refused);
    check(
      `${where}: a missing model`,
      /expected nothing\.safetensors at .*, got 404/.test(`${said.missing}`),
      said.missing,
    );
    await page.close();
    server.close();
  }
} finally {
  await browser.close();
}
finish();
