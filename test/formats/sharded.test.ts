/** Indexes of several safetensors files: one that is right, and every way in which one can lie. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ByteSource, type Folder, fromBytes } from "../../src/bytes.ts";
import { ModelError } from "../../src/errors.ts";
import { SHARDED } from "../../src/formats/json.ts";
import { openCheckpoint } from "../../src/formats/open.ts";
import { type NamedTensor, writeSafetensors } from "../../src/formats/safetensors.ts";
import { openSharded } from "../../src/formats/sharded.ts";

const ENTRY = "model.safetensors.index.json";

let files: Map<string, Uint8Array>;
/** Files open now. */
let open: string[];
/** Files ever opened. */
let opened: string[];

const folder: Folder = {
  name: "net",
  async open(path) {
    const bytes = files.get(path);
    if (bytes === undefined)
      throw new ModelError("malformed", `net/${path}: expected a file, got no such file or folder`);
    open.push(path);
    opened.push(path);
    const source: ByteSource = fromBytes(`net/${path}`, bytes);
    return { ...source, close: async () => void open.splice(open.indexOf(path), 1) };
  },
};

const tensor = (name: string, ...values: number[]): NamedTensor => {
  return { name, dtype: "F32", shape: [values.length], bytes: new Uint8Array(Float32Array.from(values).buffer) };
};

function put(path: string, content: string | Uint8Array | object): void {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  files.set(path, content instanceof Uint8Array ? content : new TextEncoder().encode(text));
}

const index = (map: unknown): void => put(ENTRY, { metadata: { total_size: 16 }, weight_map: map });

beforeEach(() => {
  files = new Map();
  open = [];
  opened = [];
  put("one.safetensors", writeSafetensors([tensor("a", 1, 2), tensor("b", 3)], { format: "pt", who: "one" }));
  put("two.safetensors", writeSafetensors([tensor("c", 4)], { format: "pt", who: "two", more: "of two" }));
  index({ a: "one.safetensors", b: "one.safetensors", c: "two.safetensors" });
});

/** Whatever happens, no file stays open. */
afterEach(() => expect(open).toEqual([]));

async function refuses(message: RegExp, entry = ENTRY): Promise<void> {
  const error = await openSharded(folder, entry).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ModelError);
  expect((error as Error).message).toMatch(message);
}

describe("an index that is right", () => {
  test("is one checkpoint of all its shards, each opened once", async () => {
    const checkpoint = await openSharded(folder, ENTRY);
    expect([...checkpoint.tensors.keys()].sort()).toEqual(["a", "b", "c"]);
    const values = async (name: string): Promise<number[]> => [
      ...new Float32Array((await checkpoint.read(name)).slice().buffer),
    ];
    expect([await values("a"), await values("b"), await values("c")]).toEqual([[1, 2], [3], [4]]);
    expect(opened).toEqual([ENTRY, "one.safetensors", "two.safetensors"]);
    await checkpoint.close();
  });
  test("has its shards' metadata, of the first where they differ", async () => {
    const checkpoint = await openSharded(folder, ENTRY);
    expect(checkpoint.metadata).toEqual({ format: "pt", who: "one", more: "of two" });
    await checkpoint.close();
  });
  test("in a folder finds its shards there", async () => {
    for (const [path, bytes] of [...files]) put(`fp16/${path}`, bytes);
    files.delete("one.safetensors");
    const checkpoint = await openSharded(folder, `fp16/${ENTRY}`);
    expect(checkpoint.tensors.size).toBe(3);
    await checkpoint.close();
  });
  test("is recognised by its name among the formats", async () => {
    const checkpoint = await openCheckpoint(folder, ENTRY, [SHARDED]);
    expect(checkpoint.tensors.size).toBe(3);
    await checkpoint.close();
  });
  test("has no tensor that it does not have", async () => {
    const checkpoint = await openSharded(folder, ENTRY);
    await expect(checkpoint.read("d")).rejects.toThrow(/index.json: expected a tensor "d", got none of that name/);
    await expect(checkpoint.read("__proto__")).rejects.toThrow(ModelError);
    await checkpoint.close();
  });
});

describe("an index that lies", () => {
  test("about a tensor that no shard has", async () => {
    index({ a: "one.safetensors", b: "one.safetensors", c: "two.safetensors", d: "two.safetensors" });
    await refuses(/index.json: "d": expected it in two.safetensors, got no such tensor there/);
  });
  test("about where a tensor is", async () => {
    index({ a: "one.safetensors", b: "two.safetensors", c: "two.safetensors" });
    await refuses(/index.json: "b": expected it in two.safetensors only, got it in one.safetensors too/);
  });
  test("by leaving a tensor out", async () => {
    index({ a: "one.safetensors", c: "two.safetensors" });
    await refuses(/index.json: "b": expected a place in weight_map, got only one.safetensors/);
  });
  test("of a tensor that two shards have", async () => {
    put("two.safetensors", writeSafetensors([tensor("c", 4), tensor("a", 9, 9)]));
    await refuses(/index.json: "a": expected it in one.safetensors only, got it in two.safetensors too/);
  });
  test("of a shard that is not there", async () => {
    index({ a: "one.safetensors", b: "one.safetensors", c: "three.safetensors" });
    await refuses(/three.safetensors: expected a file/);
  });
  test("of a shard that is no safetensors file", async () => {
    put("two.safetensors", "<!doctype html><title>404</title>");
    await refuses(/net\/two.safetensors: expected/);
  });
  test("of a shard that is cut short", async () => {
    put("two.safetensors", files.get("two.safetensors")!.subarray(0, -2));
    await refuses(/net\/two.safetensors: "c": expected 4 bytes of tensors, got 2/);
  });
  test("of itself as a shard", async () => {
    index({ a: ENTRY });
    await refuses(/index.json: expected/);
  });
  test.each([
    "../one.safetensors",
    "/etc/passwd",
    "a/../../b",
    "./one.safetensors",
    "a//b",
    "",
    "c:\\x",
    "https://x/y",
  ])("with the shard %j, outside of its folder", async (path) => {
    index({ a: "one.safetensors", b: "one.safetensors", c: path });
    await refuses(/index.json: expected shards inside its folder, got "/);
    expect(opened.filter((name) => !files.has(name))).toEqual([]);
  });
  test("by naming a tensor twice", async () => {
    put(ENTRY, '{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}');
    await refuses(/index.json: expected "a" once, got it twice/);
  });
  test("by having two maps", async () => {
    put(ENTRY, '{"weight_map": {"c": "two.safetensors"}, "weight_map": {"a": "one.safetensors"}}');
    await refuses(/expected "weight_map" once, got it twice/);
  });
});

describe("a file that is no index", () => {
  test.each([
    ["without a map", {}],
    ["with a map that is an array", { weight_map: ["one.safetensors"] }],
    ["with a map that is text", { weight_map: "one.safetensors" }],
    ["with a map that is null", { weight_map: null }],
    ["that is an array", []],
  ])("%s", async (_, json) => {
    put(ENTRY, json);
    await refuses(/index.json: expected a weight_map, got none/);
  });
  test("that is null", async () => {
    put(ENTRY, "null");
    await refuses(/expected a weight_map, got none/);
  });
  test("with an empty map", async () => {
    index({});
    await refuses(/expected from 1 to 1000 shards, got 0/);
  });
  test("with a shard for every tensor of a thousand and one", async () => {
    index(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `s${i}.safetensors`])));
    await refuses(/expected from 1 to 1000 shards, got 1001/);
    expect(opened).toEqual([ENTRY]);
  });
  test.each([1, null, ["one.safetensors"], { file: "one.safetensors" }])("with %j for a shard", async (shard) => {
    index({ a: shard });
    await refuses(/index.json: "a": expected the name of a shard/);
  });
  test("that is no JSON", async () => {
    put(ENTRY, '{"weight_map": ');
    await refuses(/index.json: expected JSON/);
  });
  test("that is too long is not read", async () => {
    const vast: Folder = {
      name: "net",
      open: async () => ({
        name: "net/index",
        size: 100_000_001,
        read: () => expect.fail("it was read"),
        close: async () => {},
      }),
    };
    await expect(openSharded(vast, ENTRY)).rejects.toThrow(/an index of at most 100000000 bytes, got 100000001/);
  });
  test("with names that objects have of their own", async () => {
    put(ENTRY, '{"weight_map": {"__proto__": "one.safetensors", "constructor": "one.safetensors"}}');
    await refuses(/index.json: "(a|b)": expected a place in weight_map/);
  });
});
