/** Files whose weights lie as kernels read them: the same answers as ordinary ones, on machines that want them otherwise too. */
import { describe, expect, it } from "vitest";
import { fromBytes } from "../src/bytes.ts";
import type { Layout } from "../src/checkpoint.ts";
import { chooseHere } from "../src/choice.ts";
import type { LoadOptions } from "../src/classifier.ts";
import type { ConvertOptions } from "../src/convert.ts";
import { fold } from "../src/fold.ts";
import { type NamedTensor, openSafetensors, writeSafetensors } from "../src/formats/safetensors.ts";
import type { ModelOptions } from "../src/model.ts";
import { type ResNetSpec, resnetSpec } from "../src/models/resnet.ts";
import { convert, inspect, load, nodeRuntime, openModel } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInt8 } from "./golden/int8.ts";
import { goldenInput } from "./golden/weights.ts";
import { RUNNABLE } from "./wasm.ts";

const SHAPE = [1, 40, 40, 3] as const;
const BUILD = RUNNABLE.at(-1)!;

async function converted(source: Uint8Array, options: ConvertOptions & ModelOptions): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of convert(source, options)) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** The logits, as bytes, and what was assumed of the weights' layout. */
async function answers(
  source: Uint8Array | ReadableStream<Uint8Array>,
  options: LoadOptions = {},
): Promise<{ readonly logits: Buffer; readonly said: readonly string[] }> {
  const model = await load(source, options);
  const { data } = await model.logits({ data: goldenInput(SHAPE), shape: SHAPE });
  expect(new Set(data).size).toBeGreaterThan(5);
  const said = model.model.guesses.filter(({ key }) => key === "layout").map(({ message }) => message);
  await model.dispose();
  return { logits: Buffer.from(data.buffer, data.byteOffset, data.byteLength), said };
}

/** The file with another layout, or other tensors. */
async function changed(
  bytes: Uint8Array,
  layout: (old: Layout) => unknown,
  tensor: (each: NamedTensor) => NamedTensor | undefined = (each) => each,
): Promise<Uint8Array<ArrayBuffer>> {
  const { tensors, metadata, read } = await openSafetensors(fromBytes("test", bytes));
  const entries: NamedTensor[] = [];
  for (const [name, { dtype, shape }] of tensors) {
    const entry = tensor({ name, dtype, shape, bytes: (await read(name)).slice() });
    if (entry !== undefined) entries.push(entry);
  }
  const said = layout(JSON.parse(metadata.layout!));
  return writeSafetensors(entries, { ...metadata, layout: typeof said === "string" ? said : JSON.stringify(said) });
}

const INT8: readonly (readonly [string, Partial<ResNetSpec>])[] = [
  ["resnet20", {}],
  ["resnet18", { classes: 10 }],
  ["resnet50d", { classes: 10, depths: [1, 1, 1, 1] }],
  ["resnext50_32x4d", { classes: 10, depths: [1, 1, 1, 1] }],
];

describe.each(INT8)("int8 %s %j", (name, changes) => {
  const plain = goldenInt8(name, { ...resnetSpec(name), ...changes });

  it.each([true, false])("gives the same logits, and holds every tensor (Winograd %s)", async (winograd) => {
    const packed = await converted(plain, { layout: "packed", build: BUILD, winograd });
    const { logits, said } = await answers(packed, { build: BUILD });
    expect(logits.equals((await answers(plain, { build: BUILD })).logits)).toBe(true);
    expect(said).toEqual([]);
    const [before, after] = [await openModel(plain), await openModel(packed)];
    expect(new Set(after.checkpoint.tensors.keys())).toEqual(new Set(before.checkpoint.tensors.keys()));
    for (const [tensor, info] of before.checkpoint.tensors) {
      expect(after.checkpoint.tensors.get(tensor)).toEqual(info);
      const bytes = Buffer.from(await before.checkpoint.read(tensor));
      expect(bytes.equals(Buffer.from(await after.checkpoint.read(tensor)))).toBe(true);
    }
  });
  it("is read as a stream", async () => {
    const packed = await converted(plain, { layout: "packed", build: BUILD });
    const { logits } = await answers(new Blob([packed]).stream(), { build: BUILD });
    expect(logits.equals((await answers(plain)).logits)).toBe(true);
  });
  it.runIf(RUNNABLE.length > 1)("is repacked for another build, which is said", async () => {
    const packed = await converted(plain, { layout: "packed", build: "relaxed", winograd: false });
    for (const source of [packed, new Blob([packed]).stream()]) {
      const { logits, said } = await answers(source, { build: "baseline" });
      expect(logits.equals((await answers(plain)).logits)).toBe(true);
      expect(said).toEqual([
        expect.stringMatching(/^\d+ layers repacked: .* for the relaxed build, and this is baseline$/),
      ]);
    }
    const { guesses } = await inspect(packed, { build: "baseline" });
    expect(guesses.map(({ key }) => key)).toContain("layout");
  });
  it("is repacked where panels had other columns", async () => {
    const packed = await converted(plain, { layout: "packed", build: BUILD, winograd: false });
    const { layers } = JSON.parse((await openSafetensors(fromBytes("test", packed))).metadata.layout!) as Layout;
    const original = await openSafetensors(fromBytes("test", plain));
    const weights = new Map<string, Uint8Array>();
    for (const node of Object.keys(layers)) weights.set(node, await original.read(`${node}.weight`));
    const narrow = await changed(
      packed,
      (layout) => ({ ...layout, columns: 4 }),
      (tensor) => {
        if (!tensor.name.endsWith(".packed")) return tensor;
        const node = tensor.name.slice(0, -".packed".length);
        const bytes = packedInFours(layers[node]!, weights.get(node)!);
        return { ...tensor, shape: [bytes.length], bytes };
      },
    );
    const { logits, said } = await answers(narrow, { build: BUILD });
    expect(logits.equals((await answers(plain)).logits)).toBe(true);
    expect(said).toEqual([expect.stringMatching(/^\d+ layers repacked/)]);
  });
});

/** Panels of four outputs, by the drawing in product.ts; nobody reads their biases and scales. */
function packedInFours({ form, shape, groups }: Layout["layers"][string], weights: Uint8Array): Uint8Array {
  const [outputs, c, kh = 1, kw = 1] = shape as [number, number, number?, number?];
  const [cell, taps, n] = [form === "dot8" ? 4 : 2, kh * kw, outputs / groups!];
  const across = Math.ceil(n / 4);
  const panel = 32 + 4 * cell * Math.ceil((c * taps) / cell);
  const packed = new Uint8Array(groups! * across * panel);
  for (let o = 0; o < outputs; ++o) {
    const [group, column] = [Math.floor(o / n), o % n];
    const at = (group * across + Math.floor(column / 4)) * panel + 32;
    for (let i = 0; i < c; ++i) {
      for (let tap = 0; tap < taps; ++tap) {
        const k = tap * c + i;
        packed[at + Math.floor(k / cell) * 4 * cell + (column % 4) * cell + (k % cell)] =
          weights[(o * c + i) * taps + tap]!;
      }
    }
  }
  return packed;
}

const F32: readonly (readonly [string, Partial<ResNetSpec>])[] = [
  ["resnet20", {}],
  ["resnet26d", { classes: 10, depths: [1, 1, 1, 1] }],
  ["seresnet18", { classes: 10 }],
  ["resnetv2_18", { classes: 10 }],
  ["resnext50_32x4d", { classes: 10, depths: [1, 1, 1, 1] }],
];

describe.each(F32)("f32 %s %j", (name, changes) => {
  const spec = { ...resnetSpec(name), ...changes };
  const options: ModelOptions = changes.depths === undefined ? { arch: name } : {};
  const plain = goldenCheckpoint(spec);

  it.each([true, false])("gives the same logits (Winograd %s)", async (winograd) => {
    const packed = await converted(plain, { ...options, layout: "packed", build: BUILD, winograd });
    const { logits, said } = await answers(packed, { build: BUILD });
    expect(logits.equals((await answers(plain, { ...options, build: BUILD, winograd })).logits)).toBe(true);
    expect(said).toEqual([]);
    const model = await openModel(packed);
    expect(model.spec).toEqual(spec);
  });
  it("becomes an ordinary file again", async () => {
    const packed = await converted(plain, { ...options, layout: "packed", build: BUILD, winograd: false });
    const again = await converted(packed, {});
    expect((await openModel(again)).checkpoint.packed).toBeUndefined();
    const { logits } = await answers(again, { build: BUILD, winograd: false });
    expect(logits.equals((await answers(plain, { ...options, build: BUILD, winograd: false })).logits)).toBe(true);
  });
});

describe("a packed file", async () => {
  const spec = resnetSpec("resnet20");
  const plain = goldenInt8("resnet20", spec);
  const packed = await converted(plain, { layout: "packed", build: BUILD, winograd: false });

  it("brings a choice with it, for which nothing is measured", async () => {
    const { graph, checkpoint } = await openModel(packed);
    const module = async (): Promise<never> => Promise.reject(new Error("a module was asked for"));
    const runtime = { ...nodeRuntime(), module };
    const choice = await chooseHere(runtime, fold(graph), { build: BUILD, vectors: 128 }, checkpoint.packed);
    const chosen = [...choice.weights.variants].map(([name, { algorithm }]) => [name, algorithm]);
    const { layers } = checkpoint.packed!.layout;
    expect(chosen).toEqual(Object.entries(layers).map(([name, { algorithm }]) => [name, algorithm]));
    expect(choice.repacked).toEqual([]);
  });
  it("is computed otherwise where the caller asks for it", async () => {
    const tuning = { build: BUILD, ms: {} };
    const { logits } = await answers(packed, { build: BUILD, tuning });
    expect(logits.equals((await answers(plain)).logits)).toBe(true);
    const whole = await converted(plain, { layout: "packed", build: BUILD });
    const direct = await inspect(whole, { build: BUILD, winograd: false });
    expect(direct.layers.map(({ algorithm }) => algorithm)).not.toContain("winograd4");
  });
  it("is told by inspect", async () => {
    const { layout, dtypes, parameters } = await inspect(packed, { build: BUILD });
    expect(layout).toMatchObject({ version: 1, build: BUILD, columns: 8 });
    const ordinary = await inspect(plain, { build: BUILD });
    expect(ordinary.layout).toBeUndefined();
    expect([new Set(dtypes), parameters]).toEqual([new Set(ordinary.dtypes), ordinary.parameters]);
  });
  it("keeps what its maker said of it, and what the caller says", async () => {
    const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`);
    const named = await openModel(await converted(packed, { layout: "packed", labels }));
    expect(named.labels).toEqual(labels);
    const { arch, preprocess } = await openModel(plain);
    expect([named.arch, named.preprocess]).toEqual([arch, preprocess]);
  });

  const first = "layer1.0.conv1";
  const layer = (edit: object) => (old: Layout) => {
    return { ...old, layers: { ...old.layers, [first]: { ...old.layers[first], ...edit } } };
  };
  it.each<readonly [string, (old: Layout) => unknown, string, RegExp]>([
    ["no JSON", () => "{", "metadata", /"layout": expected an object as JSON.*\n {2}hint: convert the original again/],
    ["null", () => null, "metadata", /expected an object/],
    ["another version", (old) => ({ ...old, version: 2 }), "metadata", /expected version 1, got 2\n {2}hint: .*update/],
    [
      "another build",
      (old) => ({ ...old, build: "avx" }),
      "metadata",
      /expected a build, baseline or relaxed, got avx/,
    ],
    ["other products", (old) => ({ ...old, dots: "dot32" }), "metadata", /expected dot8 or dot16 or both, got dot32/],
    ["no columns", (old) => ({ ...old, columns: 0 }), "metadata", /expected columns of a panel, got 0/],
    ["no layers", (old) => ({ ...old, layers: [] }), "metadata", /expected layers/],
    ["a form of no kernel", layer({ form: "dot32" }), "metadata", /expected "layer1\.0\.conv1" as a layer/],
    ["a shape that is none", layer({ shape: [16, -1] }), "metadata", /expected "layer1\.0\.conv1" as a layer/],
    ["groups that do not divide", layer({ groups: 3 }), "metadata", /expected "layer1\.0\.conv1" as a layer/],
    [
      "another shape",
      layer({ shape: [16, 16, 5, 5] }),
      "malformed",
      /layer1\.0\.conv1\.packed": expected I8 \[6528\], got/,
    ],
    ["another element", layer({ form: "f32" }), "malformed", /expected F32/],
    ["a shape of as many elements", layer({ shape: [16, 9, 4, 4] }), "tensor-shape", /layer1\.0\.conv1\.weight/],
    [
      "a layer that is not said",
      ({ layers: { [first]: _, ...layers }, ...old }) => ({ ...old, layers }),
      "malformed",
      /as a packed layer/,
    ],
    [
      "a layer that is not there",
      (old) => ({ ...old, layers: { ...old.layers, x: old.layers[first] } }),
      "tensor-missing",
      /"x\.packed"/,
    ],
  ])("is refused with a layout of %s", async (_, layout, code, message) => {
    const refused = openModel(await changed(packed, layout));
    await expect(refused).rejects.toMatchObject({ name: "ModelError", code, message: expect.stringMatching(message) });
  });
  it("is refused when panels are short, or hold no scales", async () => {
    const short = await changed(
      packed,
      (old) => old,
      (each) =>
        each.name === `${first}.packed`
          ? { ...each, shape: [each.bytes.length - 64], bytes: each.bytes.subarray(64) }
          : each,
    );
    await expect(load(short)).rejects.toMatchObject({ code: "malformed", subject: `${first}.packed` });
    const spoilt = await changed(
      packed,
      (old) => old,
      (each) =>
        each.name === `${first}.packed` ? { ...each, bytes: new Uint8Array(each.bytes.length).fill(255) } : each,
    );
    await expect(load(spoilt, { build: BUILD })).rejects.toMatchObject({
      code: "malformed",
      subject: `${first}.packed`,
    });
  });
  it("of f32 is refused when a weight is no number", async () => {
    const float = await converted(goldenCheckpoint(spec), { arch: "resnet20", layout: "packed", winograd: false });
    const spoilt = await changed(
      float,
      (old) => old,
      (each) => (each.name === `${first}.packed` ? { ...each, bytes: each.bytes.fill(255, 400, 404) } : each),
    );
    await expect(load(spoilt)).rejects.toMatchObject({ code: "not-finite" });
  });
  it("is not written of weights that kernels do not read, or in a way that is not known", () => {
    expect(() => convert(plain, { layout: "dense" as never })).toThrow('layout: expected plain, packed, got "dense"');
    expect(() => convert(plain, { layout: "packed", dtype: "f16" })).toThrow(
      /layout: expected plain for weights in f16/,
    );
    expect(() => convert(plain, { layout: "packed", build: "avx" as never })).toThrow(/build: expected/);
  });
});
