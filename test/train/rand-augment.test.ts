/** RandAugment's operations against plain formulas, and erasing. */
import { describe, expect, test } from "vitest";
import { uniform } from "../../src/models/random.ts";
import { PRESETS } from "../../src/preprocess.ts";
import { erase } from "../../src/train/erase.ts";
import { OPERATIONS, randAugment } from "../../src/train/rand-augment.ts";

const [WIDTH, HEIGHT] = [9, 7];
const LUMA = [0.299, 0.587, 0.114];
const next = uniform(3);
const data = Uint8ClampedArray.from({ length: WIDTH * HEIGHT * 3 }, () => 30 + Math.floor(next() * 180));
const image = { width: WIDTH, height: HEIGHT, channels: 3, data, luma: LUMA };
const run = (name: string, strength: number, sign = 1): Uint8ClampedArray => OPERATIONS[name]!(image, strength, sign);
const clamp = (x: number): number => Math.min(255, Math.max(0, Math.round(x)));
const at = (values: Uint8ClampedArray, x: number, y: number, c: number): number => values[(y * WIDTH + x) * 3 + c]!;

test("there are torchvision's fourteen", () => {
  expect(Object.keys(OPERATIONS)).toHaveLength(14);
});

describe("strength 0 changes nothing", () => {
  const always = ["autoContrast", "equalize"];
  test.each(Object.keys(OPERATIONS).filter((name) => !always.includes(name)))("%s", (name) => {
    expect([...run(name, 0)]).toEqual([...data]);
  });
});

describe("geometry", () => {
  test("translateX and translateY move by whole pixels, black behind them", () => {
    const by = Math.round((150 / 331) * WIDTH);
    const moved = run("translateX", 1);
    for (let y = 0; y < HEIGHT; ++y)
      for (let x = 0; x < WIDTH; ++x) expect(at(moved, x, y, 1)).toBe(x + by < WIDTH ? at(data, x + by, y, 1) : 0);
    const down = Math.round((150 / 331) * HEIGHT);
    const lower = run("translateY", 1, -1);
    for (let y = 0; y < HEIGHT; ++y) expect(at(lower, 4, y, 0)).toBe(y >= down ? at(data, 4, y - down, 0) : 0);
  });
  test("shearX moves each row by its distance from the middle, shearY each column", () => {
    const sheared = run("shearX", 1);
    for (let y = 0; y < HEIGHT; ++y) {
      const from = Math.round(4 + 0.3 * (y - 3));
      expect(at(sheared, 4, y, 2)).toBe(at(data, from, y, 2));
    }
    const other = run("shearY", 1);
    for (let x = 0; x < WIDTH; ++x) expect(at(other, x, 3, 2)).toBe(at(data, x, Math.round(3 + 0.3 * (x - 4)), 2));
  });
  test("rotate: by 30° and back around the middle, which stays", () => {
    const [one, other] = [run("rotate", 1), run("rotate", 1, -1)];
    expect(at(one, 4, 3, 0)).toBe(at(data, 4, 3, 0));
    // Two to the right of the middle: (2 cos 30°, 2 sin 30°) = (1.73, 1), up or down.
    expect(at(one, 6, 3, 0)).toBe(at(data, 6, 2, 0));
    expect(at(other, 6, 3, 0)).toBe(at(data, 6, 4, 0));
    // Three below it: (3 sin 30°, 3 cos 30°) = (1.5, 2.6).
    expect(at(one, 4, 5, 1)).toBe(at(data, 5, 5, 1));
  });
});

describe("colours", () => {
  test.each([-1, 1])("brightness, contrast and saturation, sign %i", (sign) => {
    const factor = 1 + sign * 0.9 * 0.5;
    const gray = (i: number): number => LUMA.reduce((sum, share, c) => sum + share * data[i - (i % 3) + c]!, 0);
    const mean = data.reduce((sum, _, i) => (i % 3 === 0 ? sum + gray(i) : sum), 0) / (data.length / 3);
    expect([...run("brightness", 0.5, sign)]).toEqual([...data].map((x) => clamp(x * factor)));
    expect([...run("contrast", 0.5, sign)]).toEqual([...data].map((x) => clamp(x * factor + (1 - factor) * mean)));
    expect([...run("saturation", 0.5, sign)]).toEqual(
      [...data].map((x, i) => clamp(x * factor + (1 - factor) * gray(i))),
    );
  });
  test("sharpness: from the mean of 3 × 3 pixels, the middle five times; the border stays", () => {
    const sharp = run("sharpness", 1);
    let sum = 4 * at(data, 4, 3, 1);
    for (let y = 2; y <= 4; ++y) for (let x = 3; x <= 5; ++x) sum += at(data, x, y, 1);
    expect(at(sharp, 4, 3, 1)).toBe(clamp(sum / 13 + 1.9 * (at(data, 4, 3, 1) - sum / 13)));
    expect(at(sharp, 0, 3, 1)).toBe(at(data, 0, 3, 1));
  });
  test("posterize keeps the upper bits, solarize inverts the bright", () => {
    expect([...run("posterize", 1)]).toEqual([...data].map((x) => x & 0xf0));
    expect([...run("solarize", 0.4)]).toEqual([...data].map((x) => (x < 153 ? x : 255 - x)));
  });
  test("autoContrast reaches 0 and 255 in every channel", () => {
    const spread = run("autoContrast", 0.5);
    for (let c = 0; c < 3; ++c) {
      const mine = [...spread].filter((_, i) => i % 3 === c);
      expect([Math.min(...mine), Math.max(...mine)]).toEqual([0, 255]);
    }
  });
  test("equalize: values keep their order and become as frequent as can be", () => {
    const ramp = Uint8ClampedArray.from({ length: 16384 * 3 }, (_, i) => Math.floor(i / 3 / 256) + 96);
    const out = OPERATIONS.equalize!({ width: 128, height: 128, channels: 3, data: ramp, luma: LUMA }, 1, 1);
    const red = [...out].filter((_, i) => i % 3 === 0);
    expect(red).toEqual([...red].sort((a, b) => a - b));
    expect([red[0], red.at(-1)]).toEqual([0, 255]);
    expect(Math.abs(red[8192]! - 128)).toBeLessThan(6);
  });
  test("one value everywhere stays", () => {
    const flat = { ...image, data: new Uint8ClampedArray(data.length).fill(77) };
    for (const name of ["autoContrast", "equalize"]) expect([...OPERATIONS[name]!(flat, 1, 1)]).toEqual([...flat.data]);
  });
});

describe("an input", () => {
  const way = PRESETS["torchvision-v1"];
  const input = Float32Array.from({ length: 32 * 32 * 3 }, (_, i) => Math.sin(i / 7));
  const varied = (strength: number, seed: number): Float32Array => {
    const out = input.slice();
    randAugment(out, 32, way, strength, uniform(seed));
    return out;
  };
  test("of strength 0 stays to the bit; otherwise the seed decides", () => {
    expect(varied(0, 1)).toEqual(input);
    const several = Array.from({ length: 20 }, (_, seed) => varied(9, seed));
    expect(varied(9, 5)).toEqual(several[5]);
    expect(new Set(several.map((each) => each.join())).size).toBeGreaterThan(15);
    expect(several.flatMap((each) => [...each]).every(Number.isFinite)).toBe(true);
  });
  test("is within a byte's step where no operation changes it", () => {
    // Both draws are the first operation, identity.
    const out = input.slice();
    randAugment(out, 32, way, 9, () => 0);
    out.forEach((value, i) => {
      expect(Math.abs(value - input[i]!)).toBeLessThan(0.5 / 255 / way.std[i % 3]! + 1e-5);
    });
  });
});

describe("erasing", () => {
  const erased = (probability: number, seed: number): Float32Array => {
    const out = new Float32Array(40 * 30 * 3).fill(1);
    erase(out, 40, 3, probability, uniform(seed));
    return out;
  };
  test("one rectangle of 2 to 33 %, all channels", () => {
    for (let seed = 0; seed < 60; ++seed) {
      const gone = [...erased(1, seed).entries()].flatMap(([i, value]) => (value === 0 ? [i] : []));
      const [xs, ys] = [gone.map((i) => Math.floor(i / 3) % 40), gone.map((i) => Math.floor(i / 120))];
      const [w, h] = [xs, ys].map((all) => Math.max(...all) - Math.min(...all) + 1);
      expect(gone.length).toBe(3 * w! * h!);
      expect(gone.length / 3600).toBeGreaterThan(0.015);
      expect(gone.length / 3600).toBeLessThan(0.36);
    }
  });
  test("as often as it is asked for", () => {
    const share = (p: number): number =>
      Array.from({ length: 400 }, (_, seed) => Number(erased(p, seed).includes(0))).reduce((a, b) => a + b) / 400;
    expect(share(0)).toBe(0);
    expect(Math.abs(share(0.3) - 0.3)).toBeLessThan(0.1);
  });
});
