/** Teaching photo by photo: what comes out does not depend on the order or the device, and is an ordinary model. */
import { beforeAll, describe, expect, test } from "vitest";
import { convertModel } from "../../src/convert.ts";
import { ModelError, OptionError, StateError } from "../../src/errors.ts";
import { closable } from "../../src/model.ts";
import { uniform } from "../../src/models/random.ts";
import { type ResNetSpec, resnet, resnetSpec } from "../../src/models/resnet.ts";
import { PRESETS, type Preprocess } from "../../src/preprocess.ts";
import { convert, createTeacher, finetune, load, mergeSums, quantize, Teacher } from "../../src/runtimes/node.ts";
import { ImageSet } from "../../src/train/dataset.ts";
import { initialise } from "../../src/train/initialise.ts";

const SPEC: ResNetSpec = { ...resnetSpec("resnet18"), depths: [1, 1, 1, 1], width: 8, classes: 5 };
/** Features of the network above. */
const CHANNELS = 64;

async function bytesOf(pieces: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  const all: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of pieces) all.push(piece);
  return new Uint8Array(await new Blob(all).arrayBuffer());
}

function network(seed: number): Promise<Uint8Array> {
  const graph = resnet("small", SPEC, [32, 32, 3]);
  const preprocess: Preprocess = { ...PRESETS["torchvision-v1"], resize: [36, 36], crop: [32, 32] };
  const model = closable({
    ...{ source: "small", arch: "small", spec: SPEC, graph, preprocess, labels: [], guesses: [] },
    checkpoint: initialise(graph, seed),
  });
  return bytesOf(convertModel(model));
}

/** Squares of one colour or the other, in noise. */
function photo(label: string, seed: number) {
  const next = uniform(seed);
  const data = new Uint8Array(40 * 40 * 4);
  const channel = ["red", "green", "blue"].indexOf(label);
  for (let i = 0; i < data.length; ++i) data[i] = (i % 4 === channel ? 150 : 40) + 100 * next();
  return { width: 40, height: 40, data };
}

/** Features around a centre of their class, never below zero. */
function drawn(label: string, seed: number): Float32Array {
  const [centre, next] = [uniform(label.length), uniform(seed)];
  return Float32Array.from({ length: CHANNELS }, () => centre() + 0.8 * next());
}

const LABELS = ["red", "green", "yellow"];
const KNOWN = Array.from({ length: 21 }, (_, i) => ({
  label: LABELS[i % 3]!,
  features: drawn(LABELS[i % 3]!, 100 + i),
}));

let base: Uint8Array;
let int8: Uint8Array;

beforeAll(async () => {
  base = await network(7);
  int8 = (await quantize(base, [photo("red", 1), photo("green", 2), photo("blue", 3)])).bytes;
});

async function taught(order: readonly number[], head?: "ridge" | "prototype", source = base): Promise<Teacher> {
  const teacher = await createTeacher(source, head === undefined ? {} : { head });
  for (const i of order) await teacher.addFeatures(KNOWN[i]!.features, KNOWN[i]!.label, `photo ${i}`);
  return teacher;
}

const ALL = KNOWN.map((_, i) => i);
const shuffledOrder = [...ALL].sort((a, b) => ((a * 8) % 21) - ((b * 8) % 21));

describe.each(["ridge", "prototype"] as const)("%s", (head) => {
  test("the order of photos changes no byte, in either form", async () => {
    await using a = await taught(ALL, head);
    await using b = await taught(shuffledOrder, head);
    expect(await b.save()).toEqual(await a.save());
    expect(b.sums()).toEqual(a.sums());
    // More images than features: the other form.
    for (const teacher of [a, b]) {
      const more = Array.from({ length: 60 }, (_, i) => i);
      for (const i of teacher === a ? more : more.toReversed()) {
        await teacher.addFeatures(drawn(LABELS[i % 3]!, 500 + i), LABELS[i % 3]!);
      }
    }
    expect(await b.save()).toEqual(await a.save());
  });
  test("a photo that is taken away was never there", async () => {
    await using a = await taught(ALL.slice(0, 18), head);
    await using b = await taught(ALL, head);
    a.sums();
    await b.save();
    for (const i of [20, 18, 19]) b.remove(`photo ${i}`);
    expect(await b.save()).toEqual(await a.save());
    expect(b.sums()).toEqual(a.sums());
  });
  test("another class and another name are as if they had been so from the beginning", async () => {
    await using a = await taught(ALL, head);
    await using b = await createTeacher(base, { head });
    for (const i of ALL) {
      const { label, features } = KNOWN[i]!;
      await b.addFeatures(features, i === 4 ? "red" : label === "yellow" ? "orange" : label);
    }
    a.sums();
    a.relabel("photo 4", "red");
    a.rename("yellow", "orange");
    expect(a.labels).toEqual(["green", "orange", "red"]);
    expect(await a.save()).toEqual(await b.save());
    expect(a.sums()).toEqual(b.sums());
    a.removeClass("orange");
    expect(a.labels).toEqual(["green", "red"]);
    expect(a.photos).toHaveLength(14);
  });
  test("two halves together are the whole, with the photos and without", async () => {
    await using whole = await taught(ALL, head);
    await using a = await taught(ALL.slice(0, 10), head);
    await using b = await taught(ALL.slice(10), head);
    await using merged = await Teacher.merge(b, a);
    expect(merged.photos).toHaveLength(21);
    expect(await merged.save()).toEqual(await whole.save());
    expect(merged.sums()).toEqual(whole.sums());
    const sums = await mergeSums(a.sums(), b.sums());
    expect(sums).toEqual(whole.sums());
    expect(await mergeSums(b.sums(), a.sums())).toEqual(sums);
    // Sums here and photos there: which of them were here makes no difference.
    await a.addSums(b.sums());
    await b.addSums((await taught(ALL.slice(0, 10), head)).sums());
    expect(a.count()).toBe(21);
    expect(a.count("red")).toBe(7);
    expect(await a.save()).toEqual(await b.save());
    expect(a.sums()).toEqual(whole.sums());
    expect(() => a.evaluate()).toThrow(StateError);
    expect(() => a.removeClass("red")).toThrow(StateError);
    await using again = await Teacher.merge(a, await taught([0], head));
    expect(again.count()).toBe(22);
  });
  test("each photo's answer is that of a teacher without it", async () => {
    await using teacher = await taught(ALL, head);
    const { accuracy, perClass, photos } = teacher.evaluate();
    expect(photos.map(({ id }) => id)).toEqual(ALL.map((i) => `photo ${i}`));
    let right = 0;
    for (const { id, label, predicted, probability } of photos) {
      right += Number(predicted === label);
      expect(probability).toBeGreaterThan(1 / 3);
      // One of each class.
      if (!/ (0|4|8)$/.test(id)) continue;
      // λ may be another without one photo, so the class is compared, not the number.
      const others = await taught(
        ALL.filter((i) => `photo ${i}` !== id),
        head,
      );
      const weights = await headOf(await others.save());
      const features = teacher.features(id);
      const scores = weights.map((row) => row.reduce((sum, value, i) => sum + value * features[i]!, 0));
      expect(others.labels[scores.indexOf(Math.max(...scores))]).toBe(predicted);
      await others.dispose();
    }
    expect(accuracy).toBeCloseTo(right / 21, 12);
    expect(perClass.red!.count).toBe(7);
  });
});

/** Rows of a saved head. */
async function headOf(bytes: Uint8Array): Promise<readonly Float32Array[]> {
  const { openSafetensors } = await import("../../src/formats/safetensors.ts");
  const { fromBytes } = await import("../../src/bytes.ts");
  const { readValues } = await import("../../src/checkpoint.ts");
  const checkpoint = await openSafetensors(fromBytes("saved", bytes));
  const values = await readValues(checkpoint, "fc.weight");
  return Array.from({ length: values.length / CHANNELS }, (_, c) => values.subarray(c * CHANNELS, (c + 1) * CHANNELS));
}

describe("photos", () => {
  async function ofPhotos(source: Uint8Array): Promise<Teacher> {
    const teacher = await createTeacher(source);
    for (let i = 0; i < 4; ++i) {
      for (const label of ["red", "green"]) await teacher.add(photo(label, 10 * i + label.length), label);
    }
    return teacher;
  }
  test("are told apart, and the saved model says the same", async () => {
    await using teacher = await ofPhotos(base);
    expect(teacher.head).toBe("ridge");
    for (let i = 0; i < 4; ++i) {
      for (const label of ["red", "green"]) {
        const [mine] = await teacher.classify(photo(label, 900 + i), { top: 1 });
        expect(mine!.label).toBe(label);
      }
    }
    const bytes = await teacher.save();
    await using model = await load(bytes);
    expect(model.labels).toEqual(["green", "red"]);
    const [mine, theirs] = [await teacher.classify(photo("red", 77)), await model.classify(photo("red", 77))];
    expect(theirs.map(({ label }) => label)).toEqual(mine.map(({ label }) => label));
    theirs.forEach(({ probability }, i) => {
      expect(probability).toBeCloseTo(mine[i]!.probability, 4);
    });
    // Features that were kept restore the same model.
    await using restored = await createTeacher(base);
    for (const { id, label } of teacher.photos) await restored.addFeatures(teacher.features(id), label, id);
    expect(await restored.save()).toEqual(bytes);
    // What takes models takes it.
    const small = (await quantize(bytes, [photo("red", 1), photo("green", 2)])).bytes;
    await using eight = await load(small, { replicas: 1 });
    expect((await eight.classify(photo("green", 5)))[0]!.label).toBe("green");
    await using half = await load(await bytesOf(convert(bytes, { dtype: "f16" })));
    expect((await half.classify(photo("green", 5)))[0]!.label).toBe("green");
  });
  test("an int8 network is taught too, and saved as one", async () => {
    await using teacher = await ofPhotos(int8);
    const bytes = await teacher.save();
    await using model = await load(bytes);
    expect(model.model.graph.nodes[0]!.int8).toBeDefined();
    expect(model.labels).toEqual(["green", "red"]);
    for (let i = 0; i < 4; ++i) {
      const [mine] = await teacher.classify(photo("red", 800 + i));
      const [theirs] = await model.classify(photo("red", 800 + i));
      expect(theirs!.label).toBe(mine!.label);
      expect(theirs!.probability).toBeCloseTo(mine!.probability, 1);
    }
  });
});

describe("bad input", () => {
  test("one class is refused when it is asked for, not when it is taught", async () => {
    await using teacher = await createTeacher(base);
    await expect(teacher.save()).rejects.toThrow(/two classes.*\n.*second/);
    await teacher.addFeatures(KNOWN[0]!.features, "red");
    await expect(teacher.classify(photo("red", 1))).rejects.toThrow(StateError);
    expect(() => teacher.evaluate()).toThrow(StateError);
    await teacher.addFeatures(KNOWN[1]!.features, "green");
    expect(teacher.head).toBe("prototype");
    expect((await teacher.classify(photo("red", 1))).length).toBe(2);
    // Each is the only one of its class.
    expect(teacher.evaluate().accuracy).toBe(0);
  });
  test("photos that are there twice, and all alike", async () => {
    for (const head of ["ridge", "prototype"] as const) {
      await using teacher = await createTeacher(base, { head });
      for (let i = 0; i < 3; ++i) for (const label of ["a", "b"]) await teacher.addFeatures(KNOWN[0]!.features, label);
      const answers = await teacher.classify(photo("red", 1));
      expect(answers[0]!.probability).toBeCloseTo(0.5, 5);
    }
  });
  test("features that are none", async () => {
    await using teacher = await createTeacher(base);
    const wrong = new Float32Array(CHANNELS).fill(Number.NaN);
    await expect(teacher.addFeatures(wrong, "a")).rejects.toThrow(OptionError);
    wrong.fill(Number.POSITIVE_INFINITY);
    await expect(teacher.addFeatures(wrong, "a")).rejects.toThrow(OptionError);
    await expect(teacher.addFeatures(new Float32Array(3), "a")).rejects.toThrow(/64 numbers/);
    expect(teacher.labels).toEqual([]);
    await teacher.addFeatures(new Float32Array(CHANNELS), "a");
    await teacher.addFeatures(new Float32Array(CHANNELS), "b");
    expect((await teacher.classify(photo("red", 1)))[0]!.probability).toBeCloseTo(0.5, 6);
  });
  test("labels and ids that are none", async () => {
    await using teacher = await taught([0, 1]);
    await expect(teacher.add(photo("red", 1), "")).rejects.toThrow(/label/);
    await expect(teacher.addFeatures(KNOWN[0]!.features, "a", "photo 0")).rejects.toThrow(/already/);
    for (const id of ["", "photo 9"]) {
      expect(() => teacher.remove(id)).toThrow(OptionError);
      expect(() => teacher.relabel(id, "a")).toThrow(OptionError);
      expect(() => teacher.features(id)).toThrow(OptionError);
    }
    expect(() => teacher.rename("blue", "a")).toThrow(OptionError);
    expect(() => teacher.removeClass("blue")).toThrow(OptionError);
    await expect(createTeacher(base, { head: "logistic" as "ridge" })).rejects.toThrow(OptionError);
  });
  test("sums of another network, and bytes that are none", async () => {
    await using teacher = await taught([0, 1]);
    await using other = await taught([0, 1], undefined, await network(8));
    await expect(teacher.addSums(other.sums())).rejects.toThrow(/network/);
    await expect(Teacher.merge(teacher, other)).rejects.toThrow(ModelError);
    await expect(mergeSums(teacher.sums(), other.sums())).rejects.toThrow(ModelError);
    await expect(teacher.addSums(base)).rejects.toThrow(ModelError);
    await expect(mergeSums()).rejects.toThrow(OptionError);
    const cut = teacher.sums().slice(0, -8);
    await expect(teacher.addSums(cut)).rejects.toThrow(ModelError);
    const spoilt = teacher.sums();
    new DataView(spoilt.buffer).setFloat64(spoilt.length - 8, Number.NaN, true);
    await expect(teacher.addSums(spoilt)).rejects.toThrow(/finite/);
    expect(teacher.count()).toBe(2);
  });
  test("after dispose", async () => {
    const teacher = await taught([0, 1]);
    const merged = await Teacher.merge(teacher);
    await teacher.dispose();
    await teacher.dispose();
    await expect(teacher.add(photo("red", 1), "a")).rejects.toThrow(StateError);
    // The network is the merged one's still.
    expect((await merged.classify(photo("red", 1))).length).toBe(2);
    await merged.dispose();
    expect(() => merged.sums()).toThrow(StateError);
  });
  test("thousands of classes", async () => {
    await using teacher = await createTeacher(base);
    for (let i = 0; i < 2000; ++i) await teacher.addFeatures(drawn("x", i), `class ${i}`);
    const answers = await teacher.classify(photo("red", 1), { top: 3 });
    expect(answers).toHaveLength(3);
    expect(answers[0]!.probability).toBeGreaterThanOrEqual(1 / 2000);
  });
});

describe("finetune", () => {
  test("finds its head without epochs when nobody says how, the same as a teacher's", async () => {
    const set = new ImageSet();
    await using teacher = await createTeacher(base, { head: "ridge" });
    for (let i = 0; i < 8; ++i) {
      for (const label of ["green", "red"]) {
        set.add(photo(label, 10 * i + label.length), label);
        await teacher.add(photo(label, 10 * i + label.length), label);
      }
    }
    const result = await finetune(base, set);
    expect(result.head).toBe("ridge");
    expect(result.leaveOneOut).toBeCloseTo(teacher.evaluate().accuracy, 5);
    await using mine = await load(await teacher.save());
    await using theirs = await load(result.bytes);
    for (let i = 0; i < 4; ++i) {
      const [a] = await mine.classify(photo("red", 600 + i));
      const [b] = await theirs.classify(photo("red", 600 + i));
      expect(b!.label).toBe(a!.label);
      expect(b!.probability).toBeCloseTo(a!.probability, 3);
    }
    expect((await finetune(base, set, { head: "prototype" })).head).toBe("prototype");
    expect((await finetune(base, set, { epochs: 1 })).head).toBe("logistic");
    await expect(finetune(base, set, { head: "ridge", train: "layer4" })).rejects.toThrow(/logistic/);
  });
});
