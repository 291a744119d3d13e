/** The page: the app, and the service worker that keeps it for later. */
import { render } from "preact";
import { App } from "./shell.tsx";
import { begin, go, shared, update } from "./state.ts";

/** Offers a new version when it has been kept whole; it never takes over by itself. */
async function keepOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const registration = await navigator.serviceWorker.register("service-worker.js");
  const offer = (worker: ServiceWorker | null): void => {
    if (worker && navigator.serviceWorker.controller) update.value = worker;
  };
  offer(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker?.addEventListener("statechange", () => worker.state === "installed" && offer(worker));
  });
  const hadOne = navigator.serviceWorker.controller !== null;
  navigator.serviceWorker.addEventListener("controllerchange", () => hadOne && location.reload());
  document.addEventListener("visibilitychange", () => document.hidden || registration.update().catch(() => {}));
}

/** Takes what another app shared; the service worker has put it aside. */
async function takeShared(): Promise<void> {
  if (!location.hash.startsWith("#shared")) return;
  const cache = await caches.open("shared");
  const response = await cache.match("photo");
  go("see");
  if (response === undefined) return;
  shared.value = await response.blob();
  await cache.delete("photo");
}

void begin();
render(<App />, document.querySelector("#app")!);
void takeShared().catch(() => {});
void keepOffline().catch(() => {});
