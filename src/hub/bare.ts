/** Names without a scheme: what is no path may be a repository of the Hugging Face hub, or a short name misspelt. */
import { expectedGot, ModelError } from "../errors.ts";
import { PRETRAINED } from "../models/pretrained.ts";
import { RESNETS } from "../models/resnet.ts";
import { near } from "../near.ts";

const REPOSITORY = /^[\w-][\w.-]*\/[\w-][\w.-]*(?:@[\w-][\w.-]*)?$/;
const NAME = /^[\w-][\w.-]*$/;
/** Ends of names that are files' without doubt. */
const FILE = /\.(?:safetensors|json|bin|pth|pt|th|ckpt|tar|onnx|zip)$/i;

/** Whether a source can be a repository, `owner/repo`, written without its scheme. */
export function isRepositoryLike(source: string): boolean {
  return REPOSITORY.test(source) && !FILE.test(source);
}

/** Whether a source can be a short name. */
export function isNameLike(source: string): boolean {
  return NAME.test(source) && !FILE.test(source);
}

/** The error for a name that is neither known nor a path: what is near, and what there is. */
export function unknownName(name: string, cause: unknown): ModelError {
  const message = expectedGot("model", "the name of a model, a file or a folder", `"${name}"`, hintFor(name));
  return new ModelError("not-found", message, { subject: name, cause });
}

function hintFor(name: string): string {
  const names = Object.keys(PRETRAINED);
  // A twin that was measured is in the table.
  const twin = /^(.*)-int8$/.exec(name)?.[1];
  if (twin !== undefined && names.includes(twin)) {
    return `int8 weights of ${twin} are not published, and how well generated images calibrate them is not known; make them from some of your photos: resnet-wasm quantize ${twin} --calibrate PHOTOS --out ${name}.safetensors`;
  }
  if (Object.hasOwn(RESNETS, name)) {
    return `"${name}" is a network without published weights; name a file of weights, or train it: there are weights of ${names.join(", ")}`;
  }
  const nearest = near(name, names);
  const meant = nearest.length === 0 ? "" : `did you mean ${nearest.join(" or ")}? `;
  return `${meant}there are ${names.join(", ")}; others by a path, owner/repo of Hugging Face, npm:package@version/path or an address`;
}
