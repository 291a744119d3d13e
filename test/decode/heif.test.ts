/** HEIC and AVIF: the pixels that were encoded, turned as the file says, and a clear refusal where nothing decodes them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { heifHeader } from "../../src/decode/heif-header.ts";
import { decodeImage } from "../../src/decode/image.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";

/** Base64, by name; `golden/make_heif.sh` says what they show. */
const files = JSON.parse(readFileSync(new URL("../golden/heif.json", import.meta.url), "utf8")) as Record<
  string,
  string
>;
const [WIDTH, HEIGHT] = [64, 48];
/** Where a shown pixel (x, y) is in the picture that was encoded. */
const STORED: Readonly<Record<string, (x: number, y: number) => readonly [number, number]>> = {
  "plain.avif": (x, y) => [x, y],
  "plain.heic": (x, y) => [x, y],
  // A quarter turn anticlockwise: the first row shown is the last column.
  "turned-1.avif": (x, y) => [WIDTH - 1 - y, x],
  // A quarter turn clockwise, then top and bottom exchanged.
  "turned-3-mirrored-0.avif": (x, y) => [WIDTH - 1 - y, HEIGHT - 1 - x],
  // Left and right exchanged.
  "mirrored-1.avif": (x, y) => [WIDTH - 1 - x, y],
};
const runtime = nodeRuntime();
const encoded = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(files[name]!, "base64"));

describe("HEIC and AVIF", () => {
  it.each(Object.keys(files))("%s", async (name) => {
    const { width, height, data } = await decodeImage(encoded(name), runtime, name);
    const isTurned = name.startsWith("turned");
    expect([width, height]).toEqual(isTurned ? [HEIGHT, WIDTH] : [WIDTH, HEIGHT]);
    let worst = 0;
    for (let i = 0; i < width * height; ++i) {
      const [x, y] = STORED[name]!(i % width, Math.floor(i / width));
      [3 * x, 4 * y, 255 - x - 2 * y].forEach((value, channel) => {
        worst = Math.max(worst, Math.abs(value - data[4 * i + channel]!));
      });
    }
    // The codecs lose a little; a wrong turn is off by more than a hundred.
    expect(worst).toBeLessThanOrEqual(12);
  });

  it("several in turn, and after a broken one", async () => {
    const broken = encoded("plain.heic").fill(0x55, -200);
    await expect(decodeImage(broken, runtime, "broken.heic")).rejects.toThrow(/^broken\.heic: expected a HEIC/);
    const [one, two] = await Promise.all([1, 2].map(() => decodeImage(encoded("plain.heic"), runtime, "plain.heic")));
    expect(one).toEqual(two);
  });

  it.each(Object.keys(files))("%s, cut, is refused", async (name) => {
    const bytes = encoded(name);
    for (let length = 12; length < bytes.length; length += 7) {
      await expect(decodeImage(bytes.subarray(0, length), runtime, name), `${length}`).rejects.toThrow(`${name}: `);
    }
  });

  it("by its compatible brands, where the first says only that it is an image", async () => {
    const bytes = encoded("plain.heic");
    bytes.set(Buffer.from("mif1"), 8);
    expect((await decodeImage(bytes, runtime, "mif1")).width).toBe(WIDTH);
    const other = encoded("plain.avif");
    const ftyp = new DataView(other.buffer).getUint32(0);
    for (let at = 8; at < ftyp; at += 4) if (at !== 12) other.set(Buffer.from("mif1"), at);
    await expect(decodeImage(other, runtime, "unknown")).rejects.toMatchObject({ code: "unsupported" });
  });

  it("larger than the limit, before it is decoded", async () => {
    const bytes = encoded("plain.avif");
    const ispe = Buffer.from(bytes).indexOf("ispe");
    new DataView(bytes.buffer).setUint32(ispe + 8, 60_000);
    new DataView(bytes.buffer).setUint32(ispe + 12, 60_000);
    await expect(decodeImage(bytes, runtime, "large")).rejects.toMatchObject({ code: "too-large" });
  });

  it("is refused by name where there is no decoder, with a way out", async () => {
    const { decodeHeif: _without, ...edge } = { ...runtime, name: "workerd" };
    await expect(decodeImage(encoded("plain.heic"), edge, "photo")).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/HEIC.*workerd.*JPEG/),
    });
  });

  it("has no size without its boxes", () => {
    expect(heifHeader(Buffer.from("\0\0\0\x10ftypheic\0\0\0\0", "latin1"))).toBeUndefined();
  });
});
