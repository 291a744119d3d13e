import { describe, expect, test } from "vitest";
import type { Pixels } from "../../src/image.ts";
import { uniform } from "../../src/models/random.ts";
import { PRESETS, type Preprocess } from "../../src/preprocess.ts";
import { recolour, vary } from "../../src/train/augment.ts";

const photo = (width: number, height: number): Pixels => ({
  width,
  height,
  data: new Uint8Array(4 * width * height).fill(200),
});
const WAY = PRESETS["torchvision-v1"];

describe("a photo", () => {
  test("without variation is the centre crop", () => {
    const { view } = vary(photo(500, 400), WAY, "none", () => expect.fail("nothing to draw"));
    expect(view).toEqual({ resized: [320, 256], left: 48, top: 16, width: 224, height: 224, mirrored: false });
  });
  test("light: the crop moves within the resized image, half are mirrored", () => {
    const next = uniform(1);
    const views = Array.from({ length: 400 }, () => vary(photo(500, 400), WAY, "light", next).view);
    expect(Math.min(...views.map(({ left }) => left))).toBe(0);
    expect(Math.max(...views.map(({ left }) => left))).toBe(96);
    expect(Math.max(...views.map(({ top }) => top))).toBe(32);
    const mirrored = views.filter((view) => view.mirrored).length;
    expect(mirrored).toBeGreaterThan(150);
    expect(mirrored).toBeLessThan(250);
  });
  test("standard: a part of a quarter or more, no flatter than 4 to 3, inside the image", () => {
    const next = uniform(2);
    for (let i = 0; i < 400; ++i) {
      const { view, colours } = vary(photo(500, 400), WAY, "standard", next);
      const { left, top, width, height } = view.box!;
      expect(left >= 0 && top >= 0 && left + width <= 500 && top + height <= 400).toBe(true);
      expect(width * height).toBeGreaterThan(0.24 * 500 * 400);
      expect(width / height).toBeGreaterThan(0.74);
      expect(width / height).toBeLessThan(1.35);
      expect(view.resized).toEqual([224, 224]);
      expect(colours!.every((factor) => factor >= 0.8 && factor < 1.2)).toBe(true);
    }
  });
  test("standard: of one that is far too long, the square in its middle", () => {
    const { view } = vary(photo(4000, 10), WAY, "standard", uniform(3));
    expect(view.box).toEqual({ left: 1995, top: 0, width: 10, height: 10 });
  });
});

describe("a CIFAR image", () => {
  const way = PRESETS.cifar;
  test("light: whole, perhaps mirrored", () => {
    const { view } = vary(photo(32, 32), way, "light", () => 0);
    expect(view).toEqual({ resized: [32, 32], left: 0, top: 0, width: 32, height: 32, mirrored: true });
  });
  test("standard: 4 black pixels around it, and a crop of 32 somewhere", () => {
    const next = uniform(4);
    const seen = new Set<string>();
    for (let i = 0; i < 600; ++i) {
      const { pixels, view, colours } = vary(photo(32, 32), way, "standard", next);
      expect(pixels.width).toBe(40);
      expect(pixels.data[0]).toBe(0);
      expect(pixels.data[4 * (4 * 40 + 4)]).toBe(200);
      expect(pixels.data[4 * (3 * 40 + 4)]).toBe(0);
      expect(colours).toBeUndefined();
      seen.add(`${view.left} ${view.top}`);
    }
    expect(seen.size).toBe(81);
  });
});

describe("colours", () => {
  const way: Preprocess = { ...WAY, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
  const normal = (x: number): number => 2 * x - 1;
  test("unchanged by factors of one", () => {
    const input = Float32Array.from([0.1, 0.5, 0.9, 0.3, 0.3, 0.7], normal);
    const out = input.slice();
    recolour(out, way, [1, 1, 1]);
    out.forEach((value, i) => {
      expect(value).toBeCloseTo(input[i]!, 5);
    });
  });
  test("brightness multiplies and clamps", () => {
    const out = Float32Array.from([0.2, 0.5, 0.9], normal);
    recolour(out, way, [1.2, 1, 1]);
    [0.24, 0.6, 1].forEach((value, i) => {
      expect(out[i]).toBeCloseTo(normal(value), 5);
    });
  });
  test("saturation of zero is grey, weighted as red, green and blue whatever their order", () => {
    const grey = 0.299 * 0.2 + 0.587 * 0.5 + 0.114 * 0.8;
    for (const order of ["rgb", "bgr"] as const) {
      const pixel = order === "rgb" ? [0.2, 0.5, 0.8] : [0.8, 0.5, 0.2];
      const out = Float32Array.from(pixel, normal);
      recolour(out, { ...way, order }, [1, 1, 0]);
      for (const value of out) expect(value).toBeCloseTo(normal(grey), 5);
    }
  });
});
