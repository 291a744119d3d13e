/** `package:FILE`: weights that are in the package itself, in its folder `models/`, and need no download. */
import { expectedGot, ModelError } from "../errors.ts";
import type { Located, Runtime } from "../runtime.ts";

/** Throws `ModelError` where the runtime has no files of the package, or the package no such file. */
export async function locateShipped(source: string, runtime: Runtime, signal?: AbortSignal): Promise<Located> {
  const entry = source.slice(source.indexOf(":") + 1);
  const folder = runtime.shipped?.(signal);
  if (folder === undefined) {
    const hint = `import resnet-wasm/models/${entry} as bytes, and load these`;
    throw new ModelError("runtime", expectedGot(source, "a runtime with files of the package", runtime.name, hint));
  }
  const file = await folder.open(entry);
  await file.close();
  return { folder, entry };
}
