/** Features that were computed before, found again by what they were computed from. */

import type { Photo } from "../decode/input.ts";
import { featuresNode, type Graph } from "../graph.ts";
import { digestOf, toHex } from "../hub/integrity.ts";
import type { Model } from "../model.ts";
import { paramsOf } from "../ops/ops.ts";
import type { Runtime } from "../runtime.ts";
import { allFinite } from "../tensor.ts";

/**
 * Keeps features of photos, in IndexedDB or in a `Map`, say. What is damaged, or not there any more, is computed again.
 *
 *     const kept = new Map();
 *     const featureStore = { get: async (key) => kept.get(key), put: async (key, bytes) => void kept.set(key, bytes) };
 *     await finetune("resnet18", set, { featureStore });
 */
export interface FeatureStore {
  /**
   * @param key `<network>/<photo>`, 64 hexadecimal digits each: features of one network have the same length
   */
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** Changed when the same photo and network give other features than before. */
const VERSION = 1;

/** SHA-256 of several texts, which have no line breaks. */
export function digestOfTexts(runtime: Runtime, texts: readonly string[]): Promise<string> {
  return digestOf(runtime, "sha256", new TextEncoder().encode(texts.join("\n")));
}

/**
 * A digest of what the features of a photo depend on in a model: the network up to them with its weights, and how photos become
 * inputs. The classifier behind the features does not count: models of other classes share them.
 */
export async function digestOfTrunk(
  runtime: Runtime,
  { checkpoint, graph, preprocess }: Pick<Model, "checkpoint" | "graph" | "preprocess">,
): Promise<string> {
  const last = graph.nodes.indexOf(featuresNode(graph));
  const trunk: Graph = { ...graph, nodes: graph.nodes.slice(0, last + 1) };
  const hash = await runtime.hash("sha256");
  const add = (text: string): unknown => hash.update(new TextEncoder().encode(`${text}\n`));
  add(JSON.stringify({ version: VERSION, nodes: trunk.nodes, preprocess }));
  for (const { name } of paramsOf(trunk)) {
    const info = checkpoint.tensors.get(name);
    add(`${name} ${info?.dtype} ${info?.shape}`);
    if (info !== undefined) hash.update(await checkpoint.read(name));
  }
  return toHex(hash.digest());
}

/** A digest of a photo's bytes, or of its pixels. */
export async function digestOfPhoto(runtime: Runtime, photo: Photo): Promise<string> {
  if ("encoded" in photo) return digestOf(runtime, "sha256", photo.encoded);
  const { width, height, data } = photo.pixels;
  const hash = await runtime.hash("sha256");
  hash.update(new TextEncoder().encode(`${width}×${height}\n`));
  hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return toHex(hash.digest());
}

/** The kept features under a key; undefined unless they are whole. */
export async function keptFeatures(
  store: FeatureStore,
  key: string,
  channels: number,
): Promise<Float32Array<ArrayBuffer> | undefined> {
  const bytes = await store.get(key);
  if (bytes?.byteLength !== 4 * channels) return undefined;
  // A Buffer's `slice` would copy nothing.
  const features = new Float32Array(new Uint8Array(bytes).buffer);
  return allFinite(features) ? features : undefined;
}
