/**
 * `int8:NAME`: the int8 twin of published weights. Nobody publishes those of this format, so they are made here, once: the f32
 * weights are fetched and calibrated with generated images, which needs no photos, and the result is kept in the cache. Only names
 * whose accuracy was measured that way are in `PRETRAINED`.
 */
import { lookUp } from "./hub/cache.ts";
import { digestOf } from "./hub/integrity.ts";
import { once } from "./hub/once.ts";
import { leafImages } from "./leaves.ts";
import { pretrained } from "./models/pretrained.ts";
import { quantizeWith } from "./quantizer.ts";
import type { Located, LocateOptions, Runtime } from "./runtime.ts";

/** Counts up when the same weights would become others. */
const RECIPE = 1;
/** ResNet-50 on 300 ImageNet photos: 79.7 % with 24, 79.3 % with 40, in f32 79.7 %; the best class is that of f32 on 96.7 and 96.3 %. */
const IMAGES = 24;
const ENTRY = "model.safetensors";

/** The cache's key of a twin: another recipe, or other f32 weights, make another. */
export async function twinKey(name: string, runtime: Runtime): Promise<string> {
  const source = pretrained(name)?.source ?? name;
  const digest = await digestOf(runtime, "sha256", new TextEncoder().encode(`${RECIPE} ${source}`));
  return `int8/${name}@${digest.slice(0, 16)}`;
}

/** The twin in the cache, or a new one. */
export async function locateTwin(name: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const store = runtime.store(options.cache);
  const key = await twinKey(name, runtime);
  const look = () => lookUp(store, key, async (folder) => folder);
  const { found } = await look();
  if (found !== undefined) return { folder: found, entry: ENTRY };
  const make = async (heard: LocateOptions): Promise<Uint8Array> => {
    const given = Object.entries(heard).filter(([, value]) => value !== undefined);
    const { beside: _, integrity: __, ...passed } = Object.fromEntries(given);
    return (await quantizeWith(runtime, name, leafImages(IMAGES), passed)).bytes;
  };
  const folder = await once(store, key, options, async (heard) => {
    const again = await look();
    if (again.found !== undefined) return again.found;
    return store.put(key, async (writer) => writer.write(ENTRY, await make(heard)), {
      replace: again.problem !== undefined,
    });
  });
  return { folder, entry: ENTRY };
}
