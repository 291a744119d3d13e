/** What outlives the page: photos, their features, models from files. In memory where the browser keeps nothing. */
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { Photo } from "./protocol.ts";

interface Stores extends DBSchema {
  /** By id. */
  photos: { key: string; value: Photo };
  /** JPEGs, by id of their photo. */
  pictures: { key: string; value: Blob };
  /** `[id, model]` → `[channels]`. */
  features: { key: [id: string, model: string]; value: Float32Array };
  /** Files of the user's, by name. */
  models: { key: string; value: Blob };
  /** Names of classes, in their order. */
  values: { key: string; value: readonly string[] };
}

export type StoreName = "photos" | "pictures" | "features" | "models" | "values";
type Key<Name extends StoreName> = Stores[Name]["key"];
type Value<Name extends StoreName> = Stores[Name]["value"];

const NAME = "spotter";
const VERSION = 1;

export interface Keep {
  /** Whether it outlives the page. */
  readonly lasts: boolean;
  get<Name extends StoreName>(store: Name, key: Key<Name>): Promise<Value<Name> | undefined>;
  all<Name extends StoreName>(store: Name): Promise<readonly Value<Name>[]>;
  keys<Name extends StoreName>(store: Name): Promise<readonly Key<Name>[]>;
  /** @throws DOMException `QuotaExceededError` when the device is full */
  put<Name extends StoreName>(store: Name, key: Key<Name>, value: Value<Name>): Promise<void>;
  delete<Name extends StoreName>(store: Name, key: Key<Name>): Promise<void>;
  clear(): Promise<void>;
}

const STORES: readonly StoreName[] = ["photos", "pictures", "features", "models", "values"];

function lasting(db: IDBPDatabase<Stores>): Keep {
  return {
    lasts: true,
    get: (store, key) => db.get(store, key as never) as never,
    all: (store) => db.getAll(store) as never,
    keys: (store) => db.getAllKeys(store) as never,
    async put(store, key, value) {
      await db.put(store, value as never, key as never);
    },
    delete: (store, key) => db.delete(store, key as never),
    async clear() {
      for (const store of STORES) await db.clear(store);
    },
  };
}

function passing(): Keep {
  const stores = new Map(STORES.map((name) => [name, new Map<string, { key: unknown; value: unknown }>()]));
  const name = (key: unknown): string => JSON.stringify(key);
  return {
    lasts: false,
    get: async (store, key) => stores.get(store)!.get(name(key))?.value as never,
    all: async (store) => [...stores.get(store)!.values()].map(({ value }) => value) as never,
    keys: async (store) => [...stores.get(store)!.values()].map(({ key }) => key) as never,
    async put(store, key, value) {
      stores.get(store)!.set(name(key), { key, value });
    },
    async delete(store, key) {
      stores.get(store)!.delete(name(key));
    },
    async clear() {
      for (const store of stores.values()) store.clear();
    },
  };
}

/** Opens what is kept; in memory where the browser refuses. */
export async function openKeep(): Promise<Keep> {
  try {
    const db = await openDB<Stores>(NAME, VERSION, {
      upgrade(db, from) {
        if (from < 1) for (const name of STORES) db.createObjectStore(name);
      },
    });
    return lasting(db);
  } catch {
    return passing();
  }
}
