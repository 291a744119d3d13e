/** What programs may test: the code and the subject of what a hub throws, whatever the words. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { locate } from "../../src/hub/locate.ts";
import type { LocateOptions } from "../../src/runtime.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { cut, file, type Handler, payload, redirect, startServer, status, type TestServer } from "./server.ts";

const ETAG = { etag: '"one"' };
const ROUTES: Readonly<Record<string, Handler>> = {
  "/gone": status(404),
  "/past": status(410),
  "/private": status(401),
  "/forbidden": status(403),
  "/broken": status(500),
  "/teapot": status(418),
  "/loop": redirect("/loop"),
  "/page": file("<!doctype html><p>Sign in"),
  "/empty": file(""),
  "/cut": cut(file(payload(300_000), ETAG), 1000, 3),
  "/sum": file(payload(1000)),
  "/model.json": file("{}"),
  "/bad/model.json": file(JSON.stringify({ weightsManifest: [{ paths: ["../a"] }] })),
  "/lone/model.json": file(JSON.stringify({ weightsManifest: [{ paths: ["a.bin"] }] })),
};
let root: string;
let server: TestServer;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "resnet-wasm-codes-"));
  server = await startServer();
  for (const [path, handler] of Object.entries(ROUTES)) server.routes.set(path, handler);
});
afterAll(async () => {
  await server.close();
  await rm(root, { recursive: true, force: true });
});

test.each<[string, LocateOptions, string, string | undefined]>([
  ["/gone", {}, "not-found", "gone"],
  ["/past", {}, "not-found", "past"],
  ["/private", {}, "denied", "private"],
  ["/forbidden", {}, "denied", "forbidden"],
  ["/broken", {}, "network", undefined],
  ["/teapot", {}, "network", "teapot"],
  ["/loop", {}, "network", "loop"],
  ["/page", {}, "not-a-model", "page"],
  ["/empty", {}, "truncated", "empty"],
  ["/cut", {}, "truncated", undefined],
  [`/sum#sha256=${"0".repeat(64)}`, {}, "integrity", "sum"],
  ["/sum", { offline: true }, "offline", expect.stringContaining("sum") as unknown as string],
  ["/model.json", {}, "not-a-model", "model.json"],
  ["/bad/model.json", {}, "malformed", "model.json"],
  ["/lone/model.json", {}, "not-found", "a.bin"],
])("%s %o: %s", async (path, options, code, subject) => {
  const found = locate(`${server.origin}${path}`, nodeRuntime(), { cache: join(root, "cache"), ...options });
  await expect(found).rejects.toMatchObject({ name: "ModelError", code, subject });
});
test("a cache that cannot be written", async () => {
  const cache = join(root, "file");
  await writeFile(cache, "");
  const found = locate(`${server.origin}/sum`, nodeRuntime(), { cache });
  await expect(found).rejects.toMatchObject({ name: "ModelError", code: "cache", subject: cache });
});
test("a server that is not there", async () => {
  const found = locate("http://127.0.0.1:1/m.pth", nodeRuntime(), { cache: join(root, "cache") });
  await expect(found).rejects.toMatchObject({ name: "ModelError", code: "network" });
});
test("a local file that is not there, and a folder without a model", async () => {
  const absent = join(root, "none.pth");
  await expect(locate(absent, nodeRuntime())).rejects.toMatchObject({ code: "not-found", subject: absent });
  await expect(locate(root, nodeRuntime())).rejects.toMatchObject({ code: "not-found", subject: root });
});
