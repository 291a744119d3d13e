/** `resnet-wasm models`: the published weights with a short name, and what of them and of others is in the cache. */
import { expectedGot } from "../errors.ts";
import { repositoryKey } from "../hub/huggingface.ts";
import { packageKey, parseNpm } from "../hub/npm.ts";
import { twinKey } from "../int8-twin.ts";
import { PRETRAINED, pretrained } from "../models/pretrained.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { cachedEntries, removeEntry } from "../runtimes/node-cache.ts";
import { featureBytes, featuresFolder, removeFeatures } from "../runtimes/node-features.ts";
import { twinOf } from "../twins.ts";
import { table } from "./terminal.ts";

export interface ModelsCommand {
  readonly cache?: string;
  readonly json?: boolean;
}

/** What `models` calls the features that `finetune` keeps. */
const FEATURES = "features";

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** Lists the models. */
export async function listModels({ cache, json }: ModelsCommand): Promise<number> {
  const runtime = nodeRuntime();
  const { name: root } = runtime.store(cache);
  const entries = await cachedEntries(root);
  const keys = await pinnedKeys();
  const models = Object.entries(PRETRAINED).map(([name, known]) => {
    const cached = entries.find(({ key }) => key === keys.get(known.source));
    return { name, ...known, cached: cached !== undefined, ...(cached && { cachedBytes: cached.bytes }) };
  });
  const taken = new Set(keys.values());
  const others = entries.filter(({ key }) => !taken.has(key)).map(({ key, bytes }) => ({ source: shown(key), bytes }));
  const features = await featureBytes(featuresFolder(root));
  if (features > 0) others.push({ source: FEATURES, bytes: features });
  if (json) {
    process.stdout.write(`${JSON.stringify({ cache: root, models, others }, undefined, 2)}\n`);
    return 0;
  }
  const rows = models.map(({ name, bytes, top1, measured, licence, cached, source }) => [
    name,
    Number(megabytes(bytes)),
    top1?.toFixed(1) ?? (measured === undefined ? "" : "see below"),
    licence,
    cached ? "yes" : source.startsWith("package:") ? "not needed" : "no",
    source.replace(/@[0-9a-f]{40}\/.*$/, ""),
  ]);
  const lines = [table([["name", "MB", "top-1 %", "licence", "cached", "from"], ...rows])];
  for (const { name, source, measured } of models) {
    if (measured === undefined) continue;
    const { images, top1, f32 } = measured;
    const how = `${top1} % of ${images} of ImageNet's photos, f32 ${f32} %`;
    lines.push("", `${name} is made here, once, from ${twinOf(source)} and generated images: ${how}`);
  }
  if (others.length > 0) {
    lines.push("", "also in the cache");
    lines.push(table(others.map(({ source, bytes }) => [source, `${megabytes(bytes)} MB`])));
  }
  lines.push("", `cache ${root}; resnet-wasm models rm NAME makes room`);
  process.stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

/** Removes models from the cache: short names, or sources as `models` shows them. */
export async function removeModels(names: readonly string[], { cache, json }: ModelsCommand): Promise<number> {
  const { name: root } = nodeRuntime().store(cache);
  const entries = await cachedEntries(root);
  const keys = await pinnedKeys();
  const removed: { readonly name: string; readonly bytes: number }[] = [];
  const missing: string[] = [];
  const features = await featureBytes(featuresFolder(root));
  for (const name of names) {
    if (name === FEATURES && features > 0) {
      await removeFeatures(featuresFolder(root));
      removed.push({ name, bytes: features });
      continue;
    }
    const key = keys.get(pretrained(name)?.source ?? name) ?? entries.find((entry) => shown(entry.key) === name)?.key;
    if (key !== undefined && (await removeEntry(root, key))) {
      removed.push({ name, bytes: entries.find((entry) => entry.key === key)?.bytes ?? 0 });
    } else missing.push(name);
  }
  if (json) process.stdout.write(`${JSON.stringify({ cache: root, removed, missing })}\n`);
  else for (const { name, bytes } of removed) process.stdout.write(`removed ${name}, ${megabytes(bytes)} MB\n`);
  if (missing.length === 0) return 0;
  const there = entries.map(({ key }) => nameOf(key, keys)).join(", ") || "nothing";
  throw new Error(expectedGot(`cache ${root}`, `an entry ${missing.join(", ")}`, there));
}

/** The cache's keys of all pinned sources. */
async function pinnedKeys(): Promise<ReadonlyMap<string, string>> {
  const keyOf = async (source: string): Promise<string> => {
    const twin = twinOf(source);
    if (twin !== undefined) return twinKey(twin, nodeRuntime());
    // Not in the cache: it is part of the package.
    if (source.startsWith("package:")) return source;
    return source.startsWith("npm:") ? packageKey(parseNpm(source)) : repositoryKey(source, { beside: false });
  };
  const sources = Object.values(PRETRAINED).map(({ source }) => source);
  return new Map(await Promise.all(sources.map(async (source) => [source, await keyOf(source)] as const)));
}

/** An entry's short name, or its source. */
function nameOf(key: string, keys: ReadonlyMap<string, string>): string {
  return Object.entries(PRETRAINED).find(([, { source }]) => keys.get(source) === key)?.[0] ?? shown(key);
}

/** A key as a source: `hf:owner/repo@main`. */
function shown(key: string): string {
  // A plus stands for a slash before a file of a repository, and for a colon before a port.
  const plain = key.startsWith("hf/") ? key.replace("+", "/") : key.replace("+", ":");
  return decodeURIComponent(plain.replace("/", ":"));
}
