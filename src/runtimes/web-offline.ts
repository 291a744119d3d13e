/** What a page keeps besides models, and what its browser says of the room. */
import type { PageStorage } from "../runtime.ts";
import { DEFAULT_CACHE, denialOf } from "./web-cache.ts";
import { MODULES_ADDRESS } from "./web-modules.ts";

/** @param keep fetches modules where they are files */
export function pageStorage(keep: PageStorage["keep"] = async () => []): PageStorage {
  return {
    keep,
    async moduleBytes() {
      if ((await denialOf(DEFAULT_CACHE)) !== undefined) return 0;
      const cache = await caches.open(DEFAULT_CACHE);
      let bytes = 0;
      for (const { url } of await cache.keys()) {
        if (url.startsWith(MODULES_ADDRESS)) bytes += (await (await cache.match(url))?.blob())?.size ?? 0;
      }
      return bytes;
    },
    async estimate() {
      try {
        const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
        return { used: usage, quota };
      } catch {
        // Frames without storage.
        return {};
      }
    },
    async persist() {
      const { storage } = navigator;
      if (storage?.persist === undefined) {
        return {
          persisted: false,
          reason: "this browser has no navigator.storage.persist, or the page is not of https:",
        };
      }
      try {
        // Firefox asks the user, and answers when the user does.
        if (await storage.persisted()) return { persisted: true, reason: "the browser had granted it before" };
        if (await storage.persist()) return { persisted: true, reason: "the browser grants it" };
        const reason =
          "the browser refuses: it may remove what is kept when room is short; it grants it to sites in use";
        return { persisted: false, reason };
      } catch (error) {
        return { persisted: false, reason: `the browser refuses: ${(error as Error).name}` };
      }
    },
  };
}
