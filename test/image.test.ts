/** Images become inputs as Pillow and torchvision make them, bit for bit; and the laws of the three image kernels. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { centreView, type Pass, type Pixels, planImage, planView, prepareImage } from "../src/image.ts";
import type { Kernels } from "../src/kernels.ts";
import { STATIC_BYTES } from "../src/plan.ts";
import { channelsOf, checkPreprocess, PRESETS, type Preprocess, sized } from "../src/preprocess.ts";
import { runStep, type Step } from "../src/tape.ts";
import { ensureMemory } from "../src/weights.ts";
import { goldenPixels } from "./golden/weights.ts";
import { kernelsOf, RUNNABLE } from "./wasm.ts";

interface Size {
  readonly width: number;
  readonly height: number;
}
interface Resized extends Size, Pick<Preprocess, "resize" | "squash" | "crop" | "filter"> {
  readonly order: "rgb" | "gray";
  readonly sha256: string;
  readonly samples: readonly number[];
}
interface Golden {
  readonly normalised: Size & { readonly resize: number; readonly crop: number; readonly values: readonly number[] };
  readonly cases: readonly Resized[];
}

const golden = JSON.parse(readFileSync(new URL("golden/resize.json", import.meta.url), "utf8")) as Golden;

/** A preset whose input is 0…255, whole numbers. */
function plain(resize: number, crop: number, more: Partial<Preprocess> = {}): Preprocess {
  const channels = more.order === "gray" ? 1 : 3;
  const normalisation = { mean: Array(channels).fill(0), std: Array(channels).fill(1 / 255) };
  return { ...square(PRESETS.cifar, resize, crop), ...normalisation, ...more };
}

function square(preset: Preprocess, resize: number, crop: number): Preprocess {
  return { ...preset, resize: [resize, resize], crop: [crop, crop] };
}

function inputLength(preprocess: Preprocess): number {
  return preprocess.crop[0] * preprocess.crop[1] * channelsOf(preprocess);
}

const made = new Map<string, Uint8Array>();

function pixelsOf({ width, height }: Size): Pixels {
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
  ensureMemory(kernels.memory, out + 4 * inputLength(preprocess) + 1024);
  const bytes = new Uint8Array(kernels.memory.buffer);
  for (let i = STATIC_BYTES; i < bytes.length; ++i) bytes[i] = (i * 37 + 11) & 255;
  const [{ tables, steps }] = recipe.place(staging, out) as readonly [Pass];
  for (const { address, bytes: table } of tables) bytes.set(table, address);
  return { steps, tables, out, end: staging + recipe.bytes };
}

function prepare(kernels: Kernels, pixels: Pixels, preprocess: Preprocess): Float32Array {
  const { steps, out } = lay(kernels, pixels, preprocess);
  for (const each of steps) runStep(kernels.exports, each);
  return new Float32Array(kernels.memory.buffer, out, inputLength(preprocess)).slice();
}

describe.each(RUNNABLE)("%s", (build) => {
  it.each(golden.cases)(
    "resizes $width×$height to $resize ($squash), crops $crop, $filter, $order, as Pillow does",
    async ({ sha256, samples, width, height, ...sizes }) => {
      const values = prepare(await kernelsOf(build, 1), pixelsOf({ width, height }), plain(1, 1, sizes));
      const every = Math.max(1, Math.floor(values.length / 16));
      expect([...values].filter((_, i) => i % every === 0).slice(0, 16)).toEqual(samples);
      const bytes = Uint8Array.from(values);
      expect(values.every((value, i) => value === bytes[i])).toBe(true);
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
    },
  );

  it("normalises as torchvision does", async () => {
    const { values, ...sizes } = golden.normalised;
    const preprocess = square(PRESETS["torchvision-v1"], sizes.resize, sizes.crop);
    const got = prepare(await kernelsOf(build, 1), pixelsOf(sizes), preprocess);
    values.forEach((value, i) => {
      expect(Math.abs(got[13 * i]! - value)).toBeLessThan(1e-6);
    });
  });

  it.each(Object.entries(PRESETS))("normalises by preset %s as plain arithmetic does", async (_name, preset) => {
    const { mean, std, order } = preset as Preprocess;
    const pixels = pixelsOf({ width: 9, height: 9 });
    const got = prepare(await kernelsOf(build, 1), pixels, square(preset, 9, 9));
    const channels = { rgb: [0, 1, 2], bgr: [2, 1, 0], gray: [0] }[order];
    const c = channels.length;
    expect(got.length).toBe(81 * c);
    got.forEach((value, i) => {
      const [p, channel] = [Math.floor(i / c), channels[i % c]!];
      const [r, g, b] = [...pixels.data.subarray(4 * p, 4 * p + 3)] as [number, number, number];
      const byte = c === 1 ? Math.floor((19595 * r + 38470 * g + 7471 * b + 32768) / 65536) : [r, g, b][channel]!;
      const want = (byte / 255 - mean[channel]!) / std[channel]!;
      expect(Math.abs(value - want)).toBeLessThan(2e-7 * 1024 * (std[0]! < 0.01 ? 1 : 0.01));
    });
  });

  it("normalises as caffe does: BGR, 0…255, minus He's mean", async () => {
    const pixels: Pixels = { width: 1, height: 1, data: Uint8Array.of(10, 20, 30, 0) };
    const got = prepare(await kernelsOf(build, 1), pixels, square(PRESETS.caffe, 1, 1));
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
        const preprocess = { ...square(PRESETS.timm, sizes.resize, sizes.crop), order };
        const { steps, out, end } = lay(kernels, pixelsOf(sizes), preprocess);
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
    const [{ tables }] = planImage(pixels, plain(64, 56)).place(0, 0) as readonly [Pass];
    expect(tables[0]!.bytes.length).toBeLessThan(25 * 20 * 4);
  });
  it("lays its tables out one after the other, aligned and inside what it asked for", () => {
    const recipe = planImage(pixelsOf({ width: 13, height: 17 }), plain(9, 7));
    const [{ tables, steps }] = recipe.place(160, 16) as readonly [Pass];
    let free = 160;
    for (const { address, bytes } of tables) {
      expect(address % 16).toBe(0);
      expect(address).toBeGreaterThanOrEqual(free);
      free = address + bytes.length;
    }
    expect(free).toBeLessThan(160 + recipe.bytes);
    expect(steps.map(({ kernel }) => kernel)).toEqual(["resize_u8_horizontal", "resize_u8_vertical", "normalize_f32"]);
  });
  it.each(["rgb", "gray"] as const)("gives the same input in bands of rows, of %s", async (order) => {
    const pixels = pixelsOf({ width: 40, height: 53 });
    const preprocess = plain(20, 16, { order });
    const inputs = [1, 40 * 4 * 7, 2 ** 20].map(async (bandBytes) => {
      const kernels = await kernelsOf("baseline", 1);
      const recipe = planView(pixels, centreView(pixels, preprocess), preprocess, false, bandBytes);
      const out = STATIC_BYTES + recipe.bytes;
      ensureMemory(kernels.memory, out + 4 * inputLength(preprocess));
      prepareImage(kernels, recipe, STATIC_BYTES, out);
      return new Float32Array(kernels.memory.buffer, out, inputLength(preprocess)).slice();
    });
    const [rows, bands, whole] = await Promise.all(inputs);
    expect(rows).toEqual(whole);
    expect(bands).toEqual(whole);
  });
  it("takes no more memory for the pixels of a larger picture, but for a row of results each", () => {
    const preprocess = plain(256, 224);
    const bytesOf = (side: number): number => {
      const pixels = { width: side, height: side, data: new Uint8Array(4 * side * side) };
      return planView(pixels, centreView(pixels, preprocess), preprocess).bytes;
    };
    expect(bytesOf(6000) - bytesOf(2000)).toBeLessThan(4000 * 224 * 4 + 1e5);
  });
  it("does not care where the pixels lie in their buffer, nor whether they are clamped", async () => {
    const kernels = await kernelsOf("baseline", 1);
    const pixels = pixelsOf({ width: 11, height: 7 });
    const preprocess = plain(6, 5);
    const buffer = new ArrayBuffer(pixels.data.length + 3);
    const data = new Uint8ClampedArray(buffer, 3);
    data.set(pixels.data);
    expect(prepare(kernels, { ...pixels, data }, preprocess)).toEqual(prepare(kernels, pixels, preprocess));
  });
  it("refuses what is no image", () => {
    const preprocess = PRESETS.cifar;
    const data = new Uint8Array(16);
    expect(() => planImage({ width: 2, height: 2, data: [] as unknown as Uint8Array }, preprocess)).toThrow(TypeError);
    expect(() => planImage(null as unknown as Pixels, preprocess)).toThrow(TypeError);
    expect(() => planImage({ width: 2, height: 3, data }, preprocess)).toThrow(
      /width · height · 4 bytes.*got 2×3 and 16 bytes/,
    );
    expect(() => planImage({ width: 0, height: 0, data: new Uint8Array(0) }, preprocess)).toThrow(RangeError);
    expect(() => planImage({ width: 1.5, height: 2, data }, preprocess)).toThrow(RangeError);
    expect(() => planImage({ width: -2, height: -2, data }, preprocess)).toThrow(RangeError);
  });
});

describe("sized", () => {
  it("keeps the crop's share of the resized image", () => {
    expect(sized(PRESETS["torchvision-v1"], 224)).toBe(PRESETS["torchvision-v1"]);
    expect(sized(PRESETS["torchvision-v1"], 160)).toMatchObject({ resize: [183, 183], crop: [160, 160] });
    expect(sized(PRESETS["torchvision-v2"], 448)).toMatchObject({ resize: [464, 464], crop: [448, 448] });
    expect(sized(PRESETS.cifar, 64)).toMatchObject({ resize: [64, 64], crop: [64, 64] });
  });
  it("takes two sides", () => {
    const tall = sized(PRESETS["torchvision-v1"], [320, 160]);
    expect(tall).toMatchObject({ resize: [366, 183], crop: [320, 160] });
    expect(sized(tall, [320, 160])).toBe(tall);
  });
  it("never crops more than there is", () => {
    for (const preset of Object.values(PRESETS)) {
      for (let size = 1; size < 600; ++size) {
        expect(sized(preset, size).resize[0]).toBeGreaterThanOrEqual(size);
      }
    }
  });
});

describe("checkPreprocess", () => {
  const refuse = (field: string, expected: string, got: string): never => {
    throw new Error(`${field}: expected ${expected}, got ${got}`);
  };
  it("completes what a caller or an older file leaves out", () => {
    const { squash: _, ...rest } = { ...PRESETS.timm, resize: 256, crop: 224 };
    expect(checkPreprocess(rest, refuse)).toEqual(PRESETS.timm);
    for (const preset of Object.values(PRESETS)) expect(checkPreprocess(preset, refuse)).toEqual(preset);
  });
  it.each([
    ["resize", 0],
    ["resize", [256]],
    ["resize", "256"],
    ["crop", [224, 224.5]],
    ["crop", 257],
    ["crop", 1e9],
    ["squash", 1],
    ["filter", "cubic"],
    ["order", "RGB"],
    ["order", "gray"],
    ["mean", [0, 0]],
    ["mean", [0, Number.NaN, 0]],
    ["mean", [1e308, 0, 0]],
    ["mean", "0.5"],
    ["std", [1, 1, 0]],
    ["std", [1e-320, 1, 1]],
    ["std", [-1, 1, 1]],
  ])("refuses %s %o", (field, value) => {
    const blamed =
      value === "gray" ? "mean" : value === 1e308 || (Array.isArray(value) && value[0] === 1e308) ? "std" : field;
    expect(() => checkPreprocess({ ...PRESETS.timm, [field]: value }, refuse)).toThrow(`${blamed}: expected `);
  });
  it.each([null, 5, "timm", [PRESETS.timm], undefined])("refuses %o", (value) => {
    expect(() => checkPreprocess(value, refuse)).toThrow(
      ": expected an object with resize, crop, filter, mean, std and order",
    );
  });
});
