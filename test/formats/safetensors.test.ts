import { describe, expect, test } from "vitest";
import { fromBytes } from "../../src/bytes.ts";
import { ModelError } from "../../src/errors.ts";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";

/** A file with this header and so many bytes of tensors, however wrong together. */
function file(header: unknown, bytes = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const whole = new Uint8Array(8 + json.byteLength + bytes);
  new DataView(whole.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  whole.set(json, 8);
  return whole;
}

const open = (bytes: Uint8Array) => openSafetensors(fromBytes("m.safetensors", bytes));
const f32 = (shape: number[], begin: number, end: number) => ({ dtype: "F32", shape, data_offsets: [begin, end] });
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

async function refuses(bytes: Uint8Array, message: RegExp): Promise<void> {
  const opened = open(bytes);
  await expect(opened).rejects.toThrow(ModelError);
  await expect(opened).rejects.toThrow(message);
}

describe("what is written is read", () => {
  test("tensors, shapes and metadata", async () => {
    const written = writeSafetensors(
      [
        { name: "scale", dtype: "I8", shape: [3], bytes: Uint8Array.of(1, 2, 255) },
        { name: "conv1.weight", dtype: "F32", shape: [2, 1], bytes: floats(1.5, -2) },
        { name: "empty", dtype: "F16", shape: [0, 4], bytes: new Uint8Array() },
      ],
      { format: "pt" },
    );
    const checkpoint = await open(written);
    expect(checkpoint.metadata).toEqual({ format: "pt" });
    expect(checkpoint.tensors.get("conv1.weight")).toEqual({ dtype: "F32", shape: [2, 1] });
    expect(await checkpoint.read("conv1.weight")).toEqual(floats(1.5, -2));
    expect(await checkpoint.read("scale")).toEqual(Uint8Array.of(1, 2, 255));
    expect((await checkpoint.read("empty")).byteLength).toBe(0);
    await expect(checkpoint.read("bias")).rejects.toThrow(/expected a tensor "bias"/);
  });

  test("every tensor is aligned to its element, whatever the order given", async () => {
    const written = writeSafetensors([
      { name: "a", dtype: "I8", shape: [1], bytes: Uint8Array.of(1) },
      { name: "b", dtype: "F32", shape: [1], bytes: floats(7) },
    ]);
    const bytes = await (await open(written)).read("b");
    expect(bytes.byteOffset % 8).toBe(0);
    expect(new Float32Array(bytes.buffer, bytes.byteOffset, 1)[0]).toBe(7);
  });

  test("no tensors at all", async () => {
    expect((await open(writeSafetensors([]))).tensors.size).toBe(0);
  });

  test("a name like __proto__ is only a name", async () => {
    const written = writeSafetensors([{ name: "__proto__", dtype: "U8", shape: [], bytes: Uint8Array.of(9) }]);
    expect(await (await open(written)).read("__proto__")).toEqual(Uint8Array.of(9));
  });

  test("a name twice, or bytes that do not fit, are not written", () => {
    const tensor = { name: "a", dtype: "U8", shape: [1], bytes: Uint8Array.of(1) } as const;
    expect(() => writeSafetensors([tensor, tensor])).toThrow(RangeError);
    expect(() => writeSafetensors([{ ...tensor, shape: [2] }])).toThrow(/"a": expected 2 bytes/);
    expect(() => writeSafetensors([{ ...tensor, name: "__metadata__" }])).toThrow(RangeError);
  });
});

describe("ways a file can lie", () => {
  const two = { a: f32([1], 0, 4), b: f32([2], 4, 12) };

  test("the honest file they are made from is read", async () => {
    expect([...(await open(file(two, 12))).tensors.keys()]).toEqual(["a", "b"]);
  });
  test("shorter than the header's length", () =>
    refuses(new Uint8Array(5), /expected 8 bytes of header length, got 5/));
  test("header longer than the file", () => refuses(file(two, 12).subarray(0, 40), /expected a header of \d+ bytes/));
  test("header above 100 MB", () => refuses(new TextEncoder().encode("<!doctype html>"), /at most 100000000 bytes/));
  test("header of 2^63 bytes", async () => {
    const bytes = file(two, 12);
    bytes[7] = 0x80;
    await refuses(bytes, /at most 100000000 bytes, got 9223372036854/);
  });
  test("header is not JSON", () => refuses(file("{oops"), /expected a JSON header/));
  test("header is not UTF-8", async () => {
    const bytes = file('{"a":1}');
    bytes[10] = 0xff;
    await refuses(bytes, /expected a JSON header/);
  });
  test("header is an array", () => refuses(file([]), /expected a JSON object as header, got \[\]/));
  test("a tensor twice", () => {
    const a = JSON.stringify(f32([1], 0, 4));
    return refuses(file(`{"a":${a},"\\u0061" : ${a}}`, 4), /expected "a" once/);
  });
  test("a dtype twice", () =>
    refuses(file('{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), /"dtype" once/));
  test.each([
    [{ a: 1, b: "x", c: null }, { b: "x" }],
    [["a"], {}],
    [null, {}],
  ])("of metadata %j what is text is read", async (metadata, read) => {
    expect((await open(file({ __metadata__: metadata }))).metadata).toEqual(read);
  });
  test("a tensor that is a string", () => refuses(file({ a: "x" }), /"a": expected { dtype, shape, data_offsets }/));
  test.each(["F7", "toString", "BOOL"])("a tensor of dtype %s beside others is foreign", async (dtype) => {
    const shape = dtype === "BOOL" ? [4] : [1];
    const { tensors, foreign } = await open(file({ a: { ...two.a, shape, dtype } }, 4));
    expect([tensors.size, [...foreign!]]).toEqual([0, [["a", dtype]]]);
  });
  test("a foreign dtype of another length", () =>
    refuses(file({ a: { ...two.a, dtype: "U16" } }, 4), /"a": expected 2 bytes for U16 \[1\], got 4/));
  test("a dtype that is no text", () =>
    refuses(file({ a: { ...two.a, dtype: 7 } }, 4), /"a": expected the name of a dtype/));
  test("negative size", () => refuses(file({ a: f32([-1], 0, 4) }, 4), /"a": expected a shape of whole numbers/));
  test("fractional size", () => refuses(file({ a: f32([0.5], 0, 2) }, 2), /"a": expected a shape/));
  test("a shape that overflows", () =>
    refuses(file({ a: f32([2 ** 40, 2 ** 40, 0], 0, 0) }), /"a": expected a shape of less than 2\^53 bits/));
  test("a shape larger than its bytes", () =>
    refuses(file({ a: f32([2], 0, 4) }, 4), /"a": expected 8 bytes for F32 \[2\], got 4/));
  test("offsets backwards", () => refuses(file({ a: f32([1], 4, 0) }, 4), /"a": expected data_offsets/));
  test("offsets missing", () => refuses(file({ a: { dtype: "F32", shape: [1] } }, 4), /"a": expected data_offsets/));
  test("an extra field", () => refuses(file({ a: { ...two.a, codec: "x" } }, 4), /"a": expected .* only, got "codec"/));
  test("tensors overlap", () => refuses(file({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), /"b": .*overlap/));
  test("a hole between tensors", () => refuses(file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /"b": .*hole/));
  test("a hole before the first", () => refuses(file({ a: f32([1], 4, 8) }, 8), /"a": .*hole/));
  test("cut short", () => refuses(file(two, 11), /"b": expected 12 bytes of tensors, got 11\n {2}hint: .*cut short/));
  test("bytes after the last tensor", () => refuses(file(two, 13), /expected 12 bytes of tensors, got 13/));
});

test("a string may look like keys and braces", async () => {
  const metadata = { a: '{"a": 1, "a": 2}', b: "}" };
  expect((await open(file(JSON.stringify({ __metadata__: metadata }, null, "\t")))).metadata).toEqual(metadata);
});

test("a header with a very long string is no trouble", async () => {
  const metadata = { notes: 'a\\"b'.repeat(2_000_000) };
  expect((await open(file({ __metadata__: metadata }))).metadata).toEqual(metadata);
});
