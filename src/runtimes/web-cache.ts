/** What this package's caches in a browser have in common: their addresses, and whether a page may have one at all. */

/** Begins every address: of no server, because these responses were made here. */
export const ADDRESS = "https://cache.invalid/";

/** The cache of models and modules, where the caller names no other. */
export const DEFAULT_CACHE = "resnet-wasm";

/** Why a page may keep nothing; `undefined` where it may. */
export async function denialOf(name: string): Promise<string | undefined> {
  try {
    // Reading the property throws too, in some frames.
    if (globalThis.caches === undefined) return "the page has no Cache API, which needs https: or localhost";
    await caches.open(name);
    return undefined;
  } catch (error) {
    return `the browser denies storage to this page (${(error as Error).name})`;
  }
}
