/** Images become inputs as Pillow and torchvision make them, bit for bit; and the laws of the three image kernels. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Filter, type Pixels, PRESETS, type Preprocess, planImage, sized } from "../src/image.ts";
import type { Kernels } from "../src/kernels.ts";
import { STATIC_BYTES } from "../src/plan.ts";
import { runStep, type Step } from "../src/tape.ts";
import { ensureMemory } from "../src/weights.ts";
import { goldenPixels } from "./golden/weights.ts";
import { kernelsOf, RUNNABLE } from "./wasm.ts";

interface Sizes {
  readonly width: number;
  readonly height: number;
  readonly resize: number;
  readonly crop: number;
}
interface Resized extends Sizes {
  readonly filter: Filter;
  readonly sha256: string;
  readonly samples: readonly number[];
}
interface Golden {
  readonly normalised: Sizes & { readonly values: readonly number[] };
  readonly cases: readonly Resized[];
}

const golden = JSON.parse(readFileSync(new URL("golden/resize.json", import.meta.url), "utf8")) as Golden;

/** The input is then 0…255, whole numbers. */
const BYTES = { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255], order: "rgb" } as const;

const made = new Map<string, Uint8Array>();

function pixelsOf({ width, height }: { readonly width: number; readonly height: number }): Pixels {
  const key = `${width}×${height}`;
  const data = made.get(key) ?? goldenPixels(width, height);
  made.set(key, data);
  return { width, height, data };
}

/** Lays one image out over canaries; returns its steps, where its input lies, and where its staging area ends. */
function lay(kernels: Kernels, pixels: Pixels, preprocess: Preprocess) {
  const recipe = planImage(pixels, preprocess);
  const staging = STATIC_BYTES + 1024;
  const out = staging + recipe.bytes + 1024;
  ensureMemory(kernels.memory, out + preprocess.crop ** 2 * 12 + 1024);
  const bytes = new Uint8Array(kernels.memory.buffer);
  for (let i = STATIC_BYTES; i < bytes.length; ++i) bytes[i] = (i * 37 + 11) & 255;
  const { tables, steps } = recipe.place(staging, out);
  for (const { address, bytes: table } of tables) bytes.set(table, address);
  return { steps, tables, out, end: staging + recipe.bytes };
}

function prepare(kernels: Kernels, pixels: Pixels, preprocess: Preprocess): Float32Array {
  const { steps, out } = lay(kernels, pixels, preprocess);
  for (const each of steps) runStep(kernels.exports, each);
  return new Float32Array(kernels.memory.buffer, out, preprocess.crop ** 2 * 3).slice();
}

function plain({ resize, crop }: Sizes, filter: Filter = "bilinear"): Preprocess {
  return { resize, crop, filter, ...BYTES };
}

describe.each(RUNNABLE)("%s", (build) => {
  it.each(golden.cases)(
    "resizes $width×$height to $resize, crops $crop, $filter, as Pillow does",
    async ({ filter, sha256, samples, ...sizes }) => {
      const values = prepare(await kernelsOf(build, 1), pixelsOf(sizes), plain(sizes, filter));
      const every = Math.max(1, Math.floor(values.length / 16));
      expect([...values].filter((_, i) => i % every === 0).slice(0, 16)).toEqual(samples);
      const bytes = Uint8Array.from(values);
      expect(values.every((value, i) => value === bytes[i])).toBe(true);
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
    },
  );

  it("normalises as torchvision does", async () => {
    const { values, ...sizes } = golden.normalised;
    const way = { ...PRESETS["torchvision-v1"], resize: sizes.resize, crop: sizes.crop };
    const got = prepare(await kernelsOf(build, 1), pixelsOf(sizes), way);
    values.forEach((value, i) => {
      expect(Math.abs(got[13 * i]! - value)).toBeLessThan(1e-6);
    });
  });

  it.each(Object.entries(PRESETS))("normalises by preset %s as plain arithmetic does", async (_name, preset) => {
    const way: Preprocess = { ...preset, resize: 9, crop: 9 };
    const pixels = pixelsOf({ width: 9, height: 9 });
    const got = prepare(await kernelsOf(build, 1), pixels, way);
    const channels = way.order === "rgb" ? [0, 1, 2] : [2, 1, 0];
    got.forEach((value, i) => {
      const channel = channels[i % 3]!;
      const want = (pixels.data[4 * Math.floor(i / 3) + channel]! / 255 - way.mean[channel]!) / way.std[channel]!;
      expect(Math.abs(value - want)).toBeLessThan(2e-7 * 1024 * (way.std[0] < 0.01 ? 1 : 0.01));
    });
  });

  it("normalises caffe's way: BGR, 0…255, minus He's mean", async () => {
    const pixels: Pixels = { width: 1, height: 1, data: Uint8Array.of(10, 20, 30, 0) };
    const got = prepare(await kernelsOf(build, 1), pixels, { ...PRESETS.caffe, resize: 1, crop: 1 });
    [30 - 103.939, 20 - 116.779, 10 - 123.68].forEach((want, i) => {
      expect(got[i]).toBeCloseTo(want, 4);
    });
  });

  it("keeps the kernel laws: any split, nothing outside", async () => {
    for (const order of ["rgb", "bgr"] as const) {
      for (const sizes of [
        { width: 61, height: 47, resize: 24, crop: 19 },
        { width: 7, height: 5, resize: 16, crop: 13 },
        { width: 1, height: 1, resize: 1, crop: 1 },
      ]) {
        const kernels = await kernelsOf(build, 1);
        const way: Preprocess = { ...PRESETS.timm, ...sizes, order };
        const { steps, out, end } = lay(kernels, pixelsOf(sizes), way);
        const memory = new Uint8Array(kernels.memory.buffer);
        const [across, down, normalise] = steps as readonly [Step, Step, Step];
        const bytes = 4 * sizes.crop;
        const outputs = [
          [across, across.args.at(-1)!, across.units * bytes],
          [down, down.args.at(-1)!, sizes.crop * bytes],
          [normalise, out, sizes.crop * 3 * bytes],
        ] as const;
        for (const [step, address, length] of outputs) {
          const before = memory.slice();
          const call = kernels.exports[step.kernel] as (...args: number[]) => void;
          call(0, step.units, ...step.args);
          const whole = memory.slice(address, address + length);
          expect(address + length).toBeLessThanOrEqual(step === normalise ? memory.length - 1024 : end);
          memory.set(before.subarray(address, address + length), address);
          expect(Buffer.compare(memory, before), `${step.kernel} wrote outside its output`).toBe(0);
          for (const cut of [0, 1, step.units >> 1, step.units - 1, step.units]) {
            memory.set(before);
            call(cut, step.units, ...step.args);
            call(0, cut, ...step.args);
            expect(Buffer.compare(memory.subarray(address, address + length), whole), `cut at ${cut}`).toBe(0);
          }
        }
      }
    }
  });
});

describe("planImage", () => {
  it("reads only the rows that the crop needs", () => {
    const pixels = pixelsOf({ width: 20, height: 1500 });
    const { tables } = planImage(pixels, plain({ width: 20, height: 1500, resize: 64, crop: 56 })).place(0, 0);
    expect(tables[0]!.bytes.length).toBeLessThan(25 * 20 * 4);
  });
  it("lays its tables out one after the other, aligned and inside what it asked for", () => {
    const recipe = planImage(pixelsOf({ width: 13, height: 17 }), plain({ width: 13, height: 17, resize: 9, crop: 7 }));
    const { tables, steps } = recipe.place(160, 16);
    let free = 160;
    for (const { address, bytes } of tables) {
      expect(address % 16).toBe(0);
      expect(address).toBeGreaterThanOrEqual(free);
      free = address + bytes.length;
    }
    expect(free).toBeLessThan(160 + recipe.bytes);
    expect(steps.map(({ kernel }) => kernel)).toEqual(["resize_u8_horizontal", "resize_u8_vertical", "normalize_f32"]);
  });
  it("does not care where the pixels lie in their buffer, nor whether they are clamped", async () => {
    const kernels = await kernelsOf("baseline", 1);
    const pixels = pixelsOf({ width: 11, height: 7 });
    const way = plain({ width: 11, height: 7, resize: 6, crop: 5 });
    const buffer = new ArrayBuffer(pixels.data.length + 3);
    const data = new Uint8ClampedArray(buffer, 3);
    data.set(pixels.data);
    expect(prepare(kernels, { ...pixels, data }, way)).toEqual(prepare(kernels, pixels, way));
  });
  it("refuses what is no image", () => {
    const way = PRESETS.cifar;
    const data = new Uint8Array(16);
    expect(() => planImage({ width: 2, height: 2, data: [] as unknown as Uint8Array }, way)).toThrow(TypeError);
    expect(() => planImage(null as unknown as Pixels, way)).toThrow(TypeError);
    expect(() => planImage({ width: 2, height: 3, data }, way)).toThrow(
      /width · height · 4 bytes.*got 2×3 and 16 bytes/,
    );
    expect(() => planImage({ width: 0, height: 0, data: new Uint8Array(0) }, way)).toThrow(RangeError);
    expect(() => planImage({ width: 1.5, height: 2, data }, way)).toThrow(RangeError);
    expect(() => planImage({ width: -2, height: -2, data }, way)).toThrow(RangeError);
  });
  it("refuses a crop that is larger than the resized image", () => {
    const sizes = { width: 2, height: 2, resize: 200, crop: 224 };
    expect(() => planImage(pixelsOf(sizes), plain(sizes))).toThrow(/crop of at most 200, got 224/);
  });
});

describe("sized", () => {
  it("keeps the crop's share of the resized image", () => {
    expect(sized(PRESETS["torchvision-v1"], 224)).toBe(PRESETS["torchvision-v1"]);
    expect(sized(PRESETS["torchvision-v1"], 160)).toMatchObject({ resize: 183, crop: 160 });
    expect(sized(PRESETS["torchvision-v2"], 448)).toMatchObject({ resize: 464, crop: 448 });
    expect(sized(PRESETS.cifar, 64)).toMatchObject({ resize: 64, crop: 64 });
  });
  it("never crops more than there is", () => {
    for (const preset of Object.values(PRESETS)) {
      for (let size = 1; size < 600; ++size) {
        expect(sized(preset, size).resize).toBeGreaterThanOrEqual(size);
      }
    }
  });
});
