/**
 * `int8:NAME`: the int8 twin of published weights. Nobody publishes those of this format, so they are made here, once: the f32
 * weights are fetched and calibrated with generated images, which needs no photos, and the result is kept in the cache. Only names
 * whose accuracy was measured that way are in `PRETRAINED`.
 */
import type { Folder } from "../bytes.ts";
import { lookUp } from "../hub/cache.ts";
import { digestOf } from "../hub/integrity.ts";
import { locate } from "../hub/locate.ts";
import { pretrained } from "../models/pretrained.ts";
import type { Located, LocateOptions, Runtime } from "../runtime.ts";

/** Counts up when the same weights would become others. */
const RECIPE = 1;
/** ResNet-50 on 300 ImageNet photos: 79.7 % with 24, 79.3 % with 40, in f32 79.7 %; the best class is that of f32 on 96.7 and 96.3 %. */
const IMAGES = 24;
const ENTRY = "model.safetensors";

/** `locate`, and models that are made here. */
export async function locateOrMake(source: string, runtime: Runtime, options: LocateOptions): Promise<Located> {
  const name = twinOf(source);
  if (name === undefined) return locate(source, runtime, options);
  const store = runtime.store(options.cache);
  const key = twinKey(name, runtime);
  const { found, problem } = await lookUp(store, key, async (folder): Promise<Folder> => folder);
  if (found !== undefined) return { folder: found, entry: ENTRY };
  const folder = await store.put(
    key,
    async (writer) => {
      const [{ quantizeWith }, { leafImages }] = await Promise.all([import("../quantizer.ts"), import("../leaves.ts")]);
      const given = Object.entries(options).filter(([, value]) => value !== undefined);
      const { beside: _, integrity: __, ...passed } = Object.fromEntries(given);
      const { bytes } = await quantizeWith(runtime, name, leafImages(IMAGES), passed);
      await writer.write(ENTRY, bytes);
    },
    { replace: problem !== undefined },
  );
  return { folder, entry: ENTRY };
}

/** `NAME` of `int8:NAME`. */
export function twinOf(source: string): string | undefined {
  return /^int8:(.+)$/.exec(source)?.[1];
}

/** The cache's key of a twin: another recipe, or other f32 weights, make another. */
export function twinKey(name: string, runtime: Pick<Runtime, "hash">): string {
  const source = pretrained(name)?.source ?? name;
  const id = digestOf(runtime as Runtime, "sha256", new TextEncoder().encode(`${RECIPE} ${source}`)).slice(0, 16);
  return `int8/${name}@${id}`;
}
