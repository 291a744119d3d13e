/** Which file of a folder is the model. */
import type { Folder } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { MAX_DESCRIPTION_BYTES } from "./shards.ts";

/** What a model's file may be called, the likeliest first. */
const MODEL_NAMES: readonly RegExp[] = [
  /^model\.(?:safetensors(?:\.index\.json)?|json)$/,
  /\.safetensors\.index\.json$/,
  /\.safetensors$/,
  /^pytorch_model\.bin$/,
  /\.(?:pth|pt|th|ckpt|onnx|pth\.tar)$/,
];
/** What the description of a model in several files has, whatever the file is called. */
const DESCRIPTION = /"(?:weightsManifest|weight_map)"\s*:/;
/** Other files that are named when there is no model. */
const MAX_LISTED = 20;

/**
 * The one model among files.
 *
 * @param folder where they are
 * @param files their paths, in one folder or in several
 * @param where the folder, for messages
 * @throws ModelError `not-found` that lists the models when there are several, and the files when there is none
 */
export async function modelAmong(folder: Folder, files: readonly string[], where: string): Promise<string> {
  const byFolder = new Map<string, string[]>();
  for (const path of files.filter(isVisible)) {
    const parent = path.slice(0, path.lastIndexOf("/") + 1);
    byFolder.set(parent, [...(byFolder.get(parent) ?? []), path]);
  }
  let models: readonly string[] = [...byFolder.values()].flatMap(likeliest);
  if (models.length === 0) models = await descriptionsAmong(folder, files);
  if (models.length === 1) return models[0]!;
  const expected = "one model.safetensors, model.json, *.safetensors, *.pth or *.onnx";
  const visible = files.filter(isVisible);
  const listed = visible.length === 0 ? "none" : `none, only ${shortened(visible)}`;
  const [got, hint] =
    models.length === 0 ? [listed, undefined] : [shortened(models), "name the file itself, after the folder"];
  throw new ModelError("not-found", expectedGot(where, expected, got, hint), { subject: where });
}

/** The models of one folder: those whose kind of name is the likeliest there. */
function likeliest(paths: readonly string[]): readonly string[] {
  const named = MODEL_NAMES.map((name) => paths.filter((path) => name.test(path.slice(path.lastIndexOf("/") + 1))));
  return named.find(({ length }) => length > 0) ?? [];
}

/** Neither hidden nor of another package. */
function isVisible(path: string): boolean {
  return path.split("/").every((part) => !part.startsWith(".") && part !== "node_modules");
}

/** JSON files that describe a model by another name than `model.json`. */
async function descriptionsAmong(folder: Folder, files: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of files.filter((each) => /\.json$/i.test(each) && isVisible(each))) {
    const file = await folder.open(path);
    try {
      if (file.size > MAX_DESCRIPTION_BYTES) continue;
      if (DESCRIPTION.test(new TextDecoder().decode(await file.read(0, file.size)))) found.push(path);
    } finally {
      await file.close();
    }
  }
  return found;
}

function shortened(paths: readonly string[]): string {
  const more = paths.length - MAX_LISTED;
  return [...paths.slice(0, MAX_LISTED), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}
