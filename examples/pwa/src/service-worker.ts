/** Keeps the app for use without a network: all files of one version, whole or not at all. */

declare const FILES: readonly string[];
declare const VERSION: string;

/** What this file uses of `ServiceWorkerGlobalScope`, which cannot be had beside the types of a page. */
interface Scope {
  addEventListener(
    type: "install" | "activate",
    listener: (event: { waitUntil(done: Promise<unknown>): void }) => void,
  ): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "fetch",
    listener: (event: { readonly request: Request; respondWith(response: Promise<Response>): void }) => void,
  ): void;
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly registration: { readonly scope: string };
}
const scope = self as unknown as Scope;

const PREFIX = "app-";
const NAME = `${PREFIX}${VERSION}`;

scope.addEventListener("install", (event) => {
  const keep = async (): Promise<void> => {
    const cache = await caches.open(NAME);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
  };
  event.waitUntil(keep());
});

scope.addEventListener("activate", (event) => {
  const clean = async (): Promise<void> => {
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
    await scope.clients.claim();
  };
  event.waitUntil(clean());
});

scope.addEventListener("message", ({ data }) => {
  if (data === "take over") void scope.skipWaiting();
});

/** A photo from another app: put aside for the page. */
async function share(request: Request): Promise<Response> {
  const photo = (await request.formData()).get("photo");
  if (photo instanceof File) await (await caches.open("shared")).put("photo", new Response(photo));
  return Response.redirect("./#shared", 303);
}

async function answer(request: Request): Promise<Response> {
  const kept = await caches.match(request, { cacheName: NAME, ignoreSearch: true });
  return kept ?? fetch(request);
}

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (!request.url.startsWith(scope.registration.scope)) return;
  if (request.method === "POST" && pathname.endsWith("/share")) return event.respondWith(share(request));
  if (request.method === "GET" && origin === location.origin) event.respondWith(answer(request));
});
