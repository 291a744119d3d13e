/** safetensors in several files: what the index may say, and every way it can lie. */
import { describe, expect, test } from "vitest";
import { type Folder, fromBytes } from "../../src/bytes.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { openSharded } from "../../src/formats/sharded.ts";
import { ModelError } from "../../src/tensor.ts";

const tensor = (name: string, value: number) => ({
  ...{ name, dtype: "F32" as const, shape: [1] },
  bytes: new Uint8Array(Float32Array.of(value).buffer),
});
const FIRST = writeSafetensors([tensor("a", 1), tensor("b", 2)], { format: "pt", who: "first" });
const SECOND = writeSafetensors([tensor("c", 3)], { who: "second" });
const MAP = { a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" };

function folderOf(index: string, files: Readonly<Record<string, Uint8Array>> = {}): Folder {
  const all: Record<string, Uint8Array> = {
    ...{ "1.safetensors": FIRST, "2.safetensors": SECOND, ...files },
    "m.index.json": new TextEncoder().encode(index),
  };
  return {
    name: "folder",
    async open(path) {
      const bytes = all[path];
      if (bytes === undefined) throw new ModelError(`folder/${path}: expected a file, got none`);
      return fromBytes(`folder/${path}`, bytes);
    },
  };
}

const open = (index: unknown, files?: Readonly<Record<string, Uint8Array>>) =>
  openSharded(folderOf(typeof index === "string" ? index : JSON.stringify(index), files), "m.index.json");

test("is one checkpoint", async () => {
  const checkpoint = await open({ metadata: { total_size: 12 }, weight_map: MAP });
  expect([...checkpoint.tensors.keys()].sort()).toEqual(["a", "b", "c"]);
  const values = [];
  for (const name of ["a", "b", "c"])
    values.push(new Float32Array(new Uint8Array(await checkpoint.read(name)).buffer)[0]);
  expect(values).toEqual([1, 2, 3]);
  expect(checkpoint.metadata).toMatchObject({ format: "pt", who: "first" });
  await checkpoint.close();
});

describe("an index", () => {
  test.each<readonly [string, unknown, RegExp]>([
    ["that is no JSON", "{", /expected JSON/],
    ["without a map", { metadata: {} }, /expected a weight_map, got none/],
    ["whose map is a list", { weight_map: [] }, /expected a weight_map/],
    ["of nothing", { weight_map: {} }, /expected from 1 to 1000 shards, got 0/],
    ["with a number for a shard", { weight_map: { a: 1 } }, /expected the name of a shard, got number/],
    ["with a tensor twice", '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}', /expected "a" once/],
    ["that climbs out", { weight_map: { a: "../1.safetensors" } }, /expected shards inside its folder/],
    ["with a root path", { weight_map: { a: "/1.safetensors" } }, /expected shards inside its folder/],
    ["with a shard that is absent", { weight_map: { ...MAP, d: "3.safetensors" } }, /3\.safetensors: expected a file/],
    [
      "with a tensor that its shard has not",
      { weight_map: { ...MAP, d: "1.safetensors" } },
      /"d": expected it in 1\.safetensors/,
    ],
    [
      "that lacks a shard's tensor",
      { weight_map: { a: "1.safetensors", c: "2.safetensors" } },
      /"b": expected a place in weight_map/,
    ],
    [
      "that has a tensor in the other shard",
      { weight_map: { ...MAP, b: "2.safetensors" } },
      /"b": expected it in 2\.safetensors/,
    ],
  ])("%s is refused", async (_, index, message) => {
    const error: unknown = await open(index).catch((reason) => reason);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as Error).message).toMatch(message);
  });
  test("over a shard that is none is refused", async () => {
    await expect(open({ weight_map: MAP }, { "2.safetensors": new Uint8Array(20) })).rejects.toThrow(ModelError);
  });
});
