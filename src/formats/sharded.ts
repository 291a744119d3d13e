/**
 * safetensors in several files: `model.safetensors.index.json`, as Hugging Face's libraries write it, says in its
 * `weight_map` which shard beside it has which tensor.
 */
import type { Folder } from "../bytes.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import type { TensorInfo } from "../tensor.ts";
import { duplicateKey, openSafetensors } from "./safetensors.ts";

/** Longest index accepted, in bytes. */
const MAX_INDEX_BYTES = 100_000_000;
/** Most shards opened at once. */
const MAX_SHARDS = 1000;

/**
 * Opens the index `entry` of `folder` and all its shards as one checkpoint. Its metadata is that of the shards; where
 * they differ, of the first that has it.
 *
 * @throws ModelError when a shard is absent, outside of the folder or no safetensors file, or index and shards do not
 * have the same tensors, each once
 */
export async function openSharded(folder: Folder, entry: string): Promise<Checkpoint> {
  const { where, map } = await readIndex(folder, entry);
  const directory = entry.slice(0, entry.lastIndexOf("/") + 1);
  const shards = new Map<string, Checkpoint>();
  const close = async (): Promise<void> => {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
  };
  try {
    for (const name of new Set(map.values())) {
      shards.set(name, await openShard(folder, where, directory, name));
    }
    const tensors = new Map<string, TensorInfo>();
    for (const [shardName, shard] of shards) {
      for (const [name, info] of shard.tensors) {
        const home = map.get(name);
        const culprit = `${where}: ${JSON.stringify(name)}`;
        if (home === undefined)
          throw new ModelError("malformed", expectedGot(culprit, "a place in weight_map", `only ${shardName}`), {
            subject: name,
          });
        if (home !== shardName)
          throw new ModelError("malformed", expectedGot(culprit, `it in ${home} only`, `it in ${shardName} too`), {
            subject: name,
          });
        tensors.set(name, info);
      }
    }
    for (const [name, home] of map) {
      if (tensors.has(name)) continue;
      throw new ModelError(
        "tensor-missing",
        expectedGot(`${where}: ${JSON.stringify(name)}`, `it in ${home}`, "no such tensor there"),
        { subject: name },
      );
    }
    const metadata = Object.assign({}, ...[...shards.values()].reverse().map((shard) => shard.metadata));
    return {
      tensors,
      metadata,
      async read(name) {
        const shard = shards.get(map.get(name) ?? "");
        if (shard !== undefined) return shard.read(name);
        throw new ModelError(
          "tensor-missing",
          expectedGot(where, `a tensor ${JSON.stringify(name)}`, "none of that name"),
          { subject: name },
        );
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openShard(folder: Folder, where: string, directory: string, name: string): Promise<Checkpoint> {
  const parts = name.split("/");
  if (/[\\:]/.test(name) || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new ModelError("malformed", expectedGot(where, "shards inside its folder", JSON.stringify(name)), {
      subject: name,
    });
  }
  const source = await folder.open(`${directory}${name}`);
  try {
    return await openSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The index's map from tensors to shards. */
async function readIndex(folder: Folder, entry: string): Promise<{ where: string; map: ReadonlyMap<string, string> }> {
  const source = await folder.open(entry);
  const where = source.name;
  let text: string;
  try {
    if (source.size > MAX_INDEX_BYTES) {
      throw new ModelError(
        "unsupported",
        expectedGot(where, `an index of at most ${MAX_INDEX_BYTES} bytes`, `${source.size}`),
      );
    }
    text = new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
  let json: { weight_map?: unknown } | null;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ModelError("malformed", expectedGot(where, "JSON", (error as Error).message));
  }
  const map = json?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new ModelError("malformed", expectedGot(where, "a weight_map", "none"));
  }
  const twice = duplicateKey(text, json);
  if (twice !== undefined)
    throw new ModelError("malformed", expectedGot(where, `${JSON.stringify(twice)} once`, "it twice"));
  const entries = Object.entries(map as Record<string, unknown>);
  for (const [name, shard] of entries) {
    if (typeof shard === "string") continue;
    throw new ModelError(
      "malformed",
      expectedGot(`${where}: ${JSON.stringify(name)}`, "the name of a shard", typeof shard),
      { subject: name },
    );
  }
  const shards = new Set(entries.map(([, shard]) => shard)).size;
  if (shards === 0 || shards > MAX_SHARDS) {
    throw new ModelError("unsupported", expectedGot(where, `from 1 to ${MAX_SHARDS} shards`, `${shards}`));
  }
  return { where, map: new Map(entries as [string, string][]) };
}
