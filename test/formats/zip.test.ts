import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type ByteSource, fromBytes } from "../../src/bytes.ts";
import { ModelError } from "../../src/errors.ts";
import { openZip } from "../../src/formats/zip.ts";
import { archive, archiveSource, type Packed } from "./archive.ts";

const text = (value: string) => new TextEncoder().encode(value);
const open = async (files: readonly Packed[]) => openZip(archiveSource("m.zip", files));

async function refuses(opened: Promise<unknown>, message: RegExp): Promise<void> {
  await expect(opened).rejects.toThrow(ModelError);
  await expect(opened).rejects.toThrow(message);
}

describe("what is in the archive is read", () => {
  const ramp = Uint8Array.from({ length: 1000 }, (_, i) => i);

  for (const deflate of [false, true]) {
    test(`${deflate ? "compressed" : "stored"} files, whole and in part`, async () => {
      const zip = await open([
        { name: "a/ramp", bytes: ramp, deflate },
        { name: "a/", bytes: new Uint8Array() },
        { name: "a/b", bytes: text("hello"), deflate },
        { name: "empty", bytes: new Uint8Array() },
      ]);
      expect([...zip.files]).toEqual([
        ["a/ramp", 1000],
        ["a/b", 5],
        ["empty", 0],
      ]);
      expect(await zip.read("a/ramp")).toEqual(ramp);
      expect(await zip.read("a/ramp", 990)).toEqual(ramp.subarray(990));
      expect(await zip.read("a/ramp", 10, 3)).toEqual(ramp.subarray(10, 13));
      expect(new TextDecoder().decode(await zip.read("a/b"))).toBe("hello");
      expect((await zip.read("empty")).byteLength).toBe(0);
    });
  }

  test("an archive of nothing", async () => expect((await open([])).files.size).toBe(0));

  test("files beyond 4 GB, of more than 4 GB (zip64)", async () => {
    const zip = await open([
      { name: "huge", bytes: 5e9 },
      { name: "after", bytes: text("behind") },
    ]);
    expect(zip.files.get("huge")).toBe(5e9);
    expect(await zip.read("huge", 5e9 - 3)).toEqual(new Uint8Array(3));
    expect(new TextDecoder().decode(await zip.read("after"))).toBe("behind");
  });

  test("stored files are read in place: no more than was asked for", async () => {
    const inner = archiveSource("m.zip", [
      { name: "large", bytes: 1e9 },
      { name: "small", bytes: text("abc") },
    ]);
    let longest = 0;
    const watched: ByteSource = {
      ...inner,
      read(offset, length) {
        longest = Math.max(longest, length);
        return inner.read(offset, length);
      },
    };
    const zip = await openZip(watched);
    await zip.read("small");
    await zip.read("large", 12345, 1000);
    expect(longest).toBeLessThan(70_000);
  });

  test("what the source throws is passed on as it is", async () => {
    const inner = archiveSource("m.zip", [{ name: "a", bytes: text("abc"), deflate: true }]);
    const lost = new Error("the connection was lost");
    let fails = false;
    const zip = await openZip({ ...inner, read: (...range) => (fails ? Promise.reject(lost) : inner.read(...range)) });
    fails = true;
    await expect(zip.read("a")).rejects.toBe(lost);
  });
});

describe("ways an archive can lie", () => {
  const bytes = text("0123456789");
  const read = async (files: readonly Packed[], name: string) => (await open(files)).read(name);

  test("no such file", () => refuses(read([{ name: "a", bytes }], "b"), /a file "b" in the archive/));
  test("a range beyond the file", async () =>
    refuses((await open([{ name: "a", bytes }])).read("a", 5, 6), /"a": expected at least 11 bytes, got 10/));

  for (const name of ["../a", "a/../../b", "/etc/passwd", "..\\a", "C:\\a", "a/./b", "a//b", "a\0b"]) {
    test(`a name ${JSON.stringify(name)}`, () => refuses(open([{ name, bytes }]), /names that stay inside/));
  }
  test("a climbing name is refused", () => refuses(open([{ name: "../a", bytes }]), /m\.zip: .*, got "\.\.\/a"/));
  test("a name twice", () => {
    const twice = [
      { name: "a", bytes },
      { name: "a", bytes },
    ];
    return refuses(open(twice), /one file "a" in the archive, got two/);
  });
  test("two files over one another", () => {
    const over = [
      { name: "a", bytes },
      { name: "b", bytes, says: { offset: 5 } },
    ];
    return refuses(open(over), /"a": .* got an overlap with "b"/);
  });
  test("one file, many names: as quoted bombs are made", () => {
    const same = [
      { name: "a", bytes },
      { name: "b", bytes, says: { offset: 0 } },
    ];
    return refuses(open(same), /got an overlap with/);
  });
  test("a local header that makes the data reach into the next file", async () => {
    const files = [
      { name: "a", bytes, local: { extra: 5 } },
      { name: "b", bytes },
    ];
    await refuses(read(files, "a"), /"a": .* got an overlap with the file after it/);
  });
  test("a local header of another name", () =>
    refuses(
      read([{ name: "a", bytes, local: { name: "b" } }], "a"),
      /"a": .*mismatched local file header \(filename\)/,
    ));
  test("a local header of another size", () =>
    refuses(read([{ name: "a", bytes, local: { size: 11 } }], "a"), /"a": .*mismatched local file header/));
  test("a local header of another compression", () =>
    refuses(read([{ name: "a", bytes, local: { method: 8 } }], "a"), /"a": .*mismatched local file header/));
  test("no local header at its place", () =>
    refuses(
      read([{ name: "a", bytes: new Uint8Array(100), says: { offset: 40 } }], "a"),
      /"a": .*Local file header not found/,
    ));
  test("a file that reaches beyond the archive", () =>
    refuses(open([{ name: "a", bytes, says: { size: 1e6, compressed: 1e6 } }]), /"a": .* got an end beyond it/));
  test("a stored file of two sizes", () =>
    refuses(open([{ name: "a", bytes, says: { size: 11 } }]), /11 bytes, as it is not compressed, got 10/));
  test("an encrypted file", () =>
    refuses(open([{ name: "a", bytes, says: { flags: 0x801 } }]), /"a": expected a file that is not encrypted/));
  test("an unknown compression", () =>
    refuses(open([{ name: "a", bytes, says: { method: 14 } }]), /"a": .* got zip's compression 14/));

  test("a bomb is refused before it is inflated", () =>
    refuses(
      open([{ name: "a", bytes: new Uint8Array(4e6), deflate: true }]),
      /"a": expected at most 200 bytes .*\n.*bomb/,
    ));
  test("a bomb that claims to be small is inflated no further than it claims", () => {
    const bomb = { name: "a", bytes: new Uint8Array(4e6), deflate: true, says: { size: 100 }, local: { size: 100 } };
    return refuses(read([bomb], "a"), /"a": .*Invalid (?:CRC32|uncompressed size)/);
  });
  test("compressed data that end early", () => {
    const files = [{ name: "a", bytes, deflate: true, says: { size: 20 }, local: { size: 20 } }];
    return refuses(read(files, "a"), /"a": .*Invalid (?:CRC32|uncompressed size)/);
  });
  test("compressed data that are none", async () => {
    const whole = await archive([{ name: "a", bytes, deflate: true }]);
    whole.fill(0xff, 31, 31 + deflateRawSync(bytes).byteLength);
    await refuses(
      openZip(fromBytes("m.zip", whole)).then((zip) => zip.read("a")),
      /"a": expected a sound zip archive/,
    );
  });
  test("compressed data that are others", async () => {
    const whole = await archive([{ name: "a", bytes: text("abcabcabc"), deflate: true }]);
    // The first literal of a fixed Huffman block.
    whole[31]! ^= 8;
    await refuses(
      openZip(fromBytes("m.zip", whole)).then((zip) => zip.read("a")),
      /"a": expected a sound zip archive/,
    );
  });

  test("cut anywhere", async () => {
    const whole = await archive([
      { name: "a", bytes },
      { name: "b", bytes },
    ]);
    for (let length = 0; length < whole.byteLength; length++) {
      await refuses(openZip(fromBytes("m.zip", whole.subarray(0, length))), /m\.zip: expected a sound zip archive/);
    }
  });
  test("bytes after the end", async () => {
    const whole = await archive([{ name: "a", bytes }]);
    const longer = new Uint8Array(whole.byteLength + 1);
    longer.set(whole);
    await refuses(openZip(fromBytes("m.zip", longer)), /expected a sound zip archive/);
  });
  test("a directory of gigabytes", async () => {
    const source = archiveSource("m.zip", [{ name: "a", bytes: 3e9 }]);
    const tail = new Uint8Array(await source.read(source.size - 22, 22));
    new DataView(tail.buffer).setUint32(12, 2e9, true);
    new DataView(tail.buffer).setUint32(16, 100, true);
    const lying: ByteSource = {
      ...source,
      read: async (offset, length) => {
        const read = new Uint8Array(await source.read(offset, length));
        const from = source.size - 22 - offset;
        if (from >= 0 && from + 22 <= length) read.set(tail, from);
        return read;
      },
    };
    await refuses(openZip(lying), /m\.zip: expected a zip directory of at most 8388608 bytes, got 2000000000/);
  });
  test("more files than any checkpoint has", () => {
    const files = Array.from({ length: 32769 }, (_, i) => ({ name: `${i}`, bytes: new Uint8Array() }));
    return refuses(open(files), /at most 32768 files/);
  });
});
