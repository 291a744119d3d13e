/** Requests to the HTTP handler. */
import { readFileSync } from "node:fs";
import { loadWith } from "../../../src/classifier.ts";
import { nodeRuntime } from "../../../src/runtimes/node.ts";
import { createHandler } from "../../../src/server/handler.ts";
import { jsonFile } from "../containers.ts";
import { f32 } from "../seeds.ts";
import type { Target } from "../target.ts";

const { images } = JSON.parse(readFileSync(new URL("../../golden/images.json", import.meta.url), "utf8")) as {
  readonly images: Readonly<Record<string, { readonly base64: string }>>;
};
const PHOTO = images["rgb.png"]!.base64;
const FORM = [
  "--edge",
  'Content-Disposition: form-data; name="photo"; filename="a.png"',
  "Content-Type: image/png",
  "",
  Buffer.from(PHOTO, "base64").toString("latin1"),
  "--edge--",
  "",
].join("\r\n");

interface Spec {
  readonly method?: unknown;
  readonly path?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly base64?: unknown;
}

const SEEDS: readonly Spec[] = [
  { method: "POST", path: "/classify?top_k=3", headers: { "content-type": "image/png" }, base64: PHOTO },
  { method: "POST", path: "/classify", headers: { "content-type": "multipart/form-data; boundary=edge" }, body: FORM },
  { method: "POST", path: "/classify?url=https://images.example.com/a.png", headers: {} },
  { method: "GET", path: "/health", headers: { host: "localhost" } },
  { method: "GET", path: "/", headers: { accept: "text/html" } },
  { method: "OPTIONS", path: "/classify", headers: { origin: "https://a.example", host: "a.example" } },
];

const latin = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text, "latin1"));

/** The request that a text describes; `undefined` when no client could send it. */
function requestOf(bytes: Uint8Array): Request | undefined {
  try {
    const { method, path, headers, body, base64 } = JSON.parse(new TextDecoder().decode(bytes)) as Spec;
    const content = base64 === undefined ? body : new Uint8Array(Buffer.from(`${base64}`, "base64"));
    const hasBody = content !== undefined && !/^(?:get|head)$/i.test(`${method}`);
    return new Request(`http://localhost${path}`, {
      method: `${method}`,
      headers: new Headers(headers as Record<string, string>),
      ...(hasBody ? { body: typeof content === "string" ? latin(content) : (content as Uint8Array<ArrayBuffer>) } : {}),
    });
  } catch {
    return undefined;
  }
}

let handler: ((request: Request) => Promise<Response>) | undefined;
/** What went wrong in the handler during the last request. */
let failure: unknown;

export const service: readonly Target[] = [
  {
    name: "http",
    seeds: async () => SEEDS.map((seed) => new TextEncoder().encode(JSON.stringify(seed))),
    mutators: [jsonFile, jsonFile, jsonFile],
    async run(bytes) {
      handler ??= createHandler({
        load: () => loadWith(nodeRuntime(), f32()),
        origins: ["https://images.example.com"],
        maxBytes: 1e6,
        maxPixels: 1e6,
        onError: (error) => {
          failure = error;
        },
      });
      const request = requestOf(bytes);
      if (request === undefined) return [];
      // No network here: what is fetched comes from this function.
      const real = globalThis.fetch;
      globalThis.fetch = async () => new Response(Buffer.from(PHOTO, "base64"));
      failure = undefined;
      try {
        const response = await handler(request);
        const text = await response.text();
        if (response.status >= 500 && response.status !== 503) throw failure ?? new Error(`status ${response.status}`);
        if (!/json/.test(response.headers.get("content-type") ?? "")) return [response.status];
        const { predictions = [] } = JSON.parse(text) as { predictions?: { probability: number }[] };
        return [response.status, ...predictions.map(({ probability }) => probability ?? Number.NaN)];
      } finally {
        globalThis.fetch = real;
      }
    },
  },
];
