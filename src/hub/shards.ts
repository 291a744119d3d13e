/**
 * Models in several files: which ones a description names, so that they can be fetched with it.
 */
import { expectedGot, ModelError } from "../errors.ts";

/** Longest description of a model that is read: the reference implementation's limit for a safetensors header. */
export const MAX_DESCRIPTION_BYTES = 100_000_000;

/**
 * The files that a description needs, as paths from its folder: those of the `weight_map` of a
 * `model.safetensors.index.json`, or of the `weightsManifest` of a TensorFlow.js `model.json`.
 *
 * @throws ModelError when it is neither, or names a file outside its folder
 */
export function shardsOf(where: string, description: Uint8Array): readonly string[] {
  let json: { weight_map?: unknown; weightsManifest?: unknown } | null;
  try {
    json = JSON.parse(new TextDecoder().decode(description));
  } catch (error) {
    const message = expectedGot(where, "JSON", (error as Error).message);
    throw new ModelError("malformed", message, { subject: where, cause: error });
  }
  const { weight_map: map, weightsManifest: manifest } = json ?? {};
  const paths: unknown[] = [];
  if (typeof map === "object" && map !== null) paths.push(...new Set(Object.values(map)));
  else if (Array.isArray(manifest)) paths.push(...new Set(manifest.flatMap((group) => group?.paths ?? [])));
  if (paths.length === 0) {
    const message = expectedGot(where, "a weight_map or a weightsManifest", "neither");
    throw new ModelError("not-a-model", message, { subject: where });
  }
  return paths.map((path) => checkPath(where, path));
}

/** Throws `ModelError` unless `path` is one that stays in the folder it starts from. */
export function checkPath(where: string, path: unknown): string {
  const isInside =
    typeof path === "string" &&
    path.length < 1000 &&
    !/[\\:?#%\p{Cc}]/u.test(path) &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  if (isInside) return path;
  const got = JSON.stringify(path)?.slice(0, 80) ?? "nothing";
  throw new ModelError("malformed", expectedGot(where, "files inside its folder", got), { subject: where });
}
