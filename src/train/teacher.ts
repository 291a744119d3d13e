/**
 * Teaching without epochs: photos are added and taken away one by one, and the head follows from them at once. What is kept of a photo
 * is its features; their sums are exact (heads/sums.ts), so that the head is the same to the bit whatever the order and the device.
 */

import { rereadable } from "../checkpoint.ts";
import { checkBuildOptions } from "../choice.ts";
import { type Classifier, type LoadOptions, loadModel, type PhotoOptions, type Prediction } from "../classifier.ts";
import type { ImageInput } from "../decode/input.ts";
import { ArgumentTypeError, expectedGot, ModelError, OptionError, StateError } from "../errors.ts";
import { featuresNode, inputShape } from "../graph.ts";
import { type Model, openModelWith, type Source } from "../model.ts";
import { uniform } from "../models/random.ts";
import { softmax } from "../output.ts";
import type { Runtime } from "../runtime.ts";
import { allFinite } from "../tensor.ts";
import { canonical, lengthOf, SOLVED, type SolvedFit, type SolvedHead, solvedHead, unit } from "./heads/head.ts";
import { createSolver, type Solver } from "./heads/solve.ts";
import { type Row, Sums } from "./heads/sums.ts";
import { checkSame, readSums, writeSums } from "./heads/sums-file.ts";
import { writeHeaded } from "./heads/write.ts";

export interface TeacherOptions extends LoadOptions {
  /**
   * How the head follows from the photos. `prototype`: class means; `ridge`: ridge regression. `auto`, the default, is `prototype`
   * while no class has more than one photo, then `ridge`.
   */
  readonly head?: SolvedHead | "auto";
}

/** How the head does on each photo when it is taught with all others. */
export interface TeacherEvaluation {
  /** Share of photos that are taken for their class, 0…1. The only photo of a class never is. */
  readonly accuracy: number;
  readonly perClass: Readonly<Record<string, { readonly accuracy: number; readonly count: number }>>;
  readonly photos: readonly {
    readonly id: string;
    readonly label: string;
    readonly predicted: string;
    /** Of the class that is predicted. */
    readonly probability: number;
  }[];
}

/** What teachers of one network share. */
interface Network {
  readonly classifier: Classifier;
  readonly model: Model;
  readonly solver: Solver;
  readonly channels: number;
  readonly signature: string;
  /** Teachers that are not disposed. */
  users: number;
}

/** A photo as it is kept. */
interface Photo {
  /** As the network gave them. */
  readonly features: Float32Array<ArrayBuffer>;
  label: string;
}

/** A head, and what it was made from. */
interface Solved {
  readonly labels: readonly string[];
  readonly fit: SolvedFit;
  /** Ids of the photos, in the order of the head's rows. */
  readonly ids: readonly string[];
}

/** Highest features that decide whether two networks are the same. */
const SIGNATURE = 8;

/**
 * Loads a model to teach.
 *
 * @param source as `load` takes it; int8 models too
 * @throws as `load`; OptionError for an unknown head
 */
export async function createTeacherWith(
  runtime: Runtime,
  source: Source,
  { head = "auto", ...options }: TeacherOptions = {},
): Promise<Teacher> {
  if (head !== "auto" && !SOLVED.includes(head)) {
    throw new OptionError("head", expectedGot("head", `auto, ${SOLVED.join(", ")}`, JSON.stringify(head)));
  }
  checkBuildOptions(options);
  const solver = createSolver(runtime);
  solver.catch(() => {});
  const opened = await openModelWith(runtime, source, options);
  try {
    // Its weights are read twice: to run, and to be saved.
    const model = { ...opened, checkpoint: await rereadable(opened.checkpoint, options.signal) };
    const classifier = await loadModel(runtime, model, options);
    try {
      const seen = await drawnFeatures(classifier);
      const [, , channels] = featuresNode(model.graph).shape;
      const owned = source === opened ? { ...model, close: async () => {} } : model;
      return new Teacher(
        { classifier, model: owned, solver: await solver, channels, signature: signatureOf(seen), users: 0 },
        head,
      );
    } catch (error) {
      await classifier.dispose();
      throw error;
    }
  } catch (error) {
    if (opened !== source) await opened.close();
    throw error;
  }
}

/** The features of an image of noise. */
async function drawnFeatures(classifier: Classifier): Promise<Float32Array> {
  const [h, w, c] = inputShape(classifier.model.graph);
  const next = uniform(1);
  const int8 = classifier.model.graph.nodes[0]!.int8 !== undefined;
  const data = Float32Array.from({ length: h * w * c }, () => (int8 ? Math.floor(128 * next()) : 4 * next() - 2));
  return (await classifier.features({ data, shape: [1, h, w, c] })).data;
}

/** The places of the highest features of noise: networks that differ have others. */
function signatureOf(features: Float32Array): string {
  const order = [...features.keys()].sort((a, b) => features[b]! - features[a]! || a - b);
  return order.slice(0, SIGNATURE).join();
}

function rowOf({ features }: Pick<Photo, "features">): Row {
  return { row: unit(features), length: lengthOf(features) };
}

/**
 * A network that is taught: its head follows from photos in milliseconds, whatever their order.
 *
 *     await using teacher = await createTeacher("resnet50");
 *     await teacher.add("mug.jpg", "mug");
 *     await teacher.add("cup.jpg", "cup");
 *     const [{ label, probability }] = await teacher.classify("photo.jpg");
 *     await writeFile("cups.safetensors", await teacher.save());              // load("cups.safetensors") classifies
 */
export class Teacher {
  readonly #network: Network;
  readonly #head: SolvedHead | "auto";
  readonly #photos = new Map<string, Photo>();
  readonly #sums: Sums;
  /** Photos that came in sums. */
  #others = 0;
  #solved: Solved | undefined;
  #isDisposed = false;

  /** For `createTeacher`: everything is loaded already. */
  constructor(network: Network, head: SolvedHead | "auto") {
    this.#network = network;
    this.#head = head;
    this.#sums = new Sums(network.channels);
    network.users += 1;
  }

  /**
   * A teacher that has been taught what several have been taught, to the bit. It shares the network of the first; the others stay as
   * they are. Photos keep their ids, but for those that another has too.
   *
   *     await using both = await Teacher.merge(mine, yours);
   *
   * @throws ModelError for teachers of different networks; OptionError for none
   */
  static async merge(...teachers: readonly Teacher[]): Promise<Teacher> {
    const [first] = teachers;
    if (first === undefined) throw new OptionError("teachers", expectedGot("merge", "teachers", "none"));
    for (const teacher of teachers) {
      teacher.#check();
      checkSame(
        { ...first.#network, sums: first.#sums },
        { ...teacher.#network, sums: teacher.#sums, gram: NO_PRODUCTS },
      );
    }
    const merged = new Teacher(first.#network, first.#head);
    try {
      for (const teacher of teachers) {
        if (teacher.#others > 0) {
          // What came in sums is what is left without the photos.
          const rest = await readSums(teacher.sums());
          for (const photo of teacher.#photos.values()) rest.sums.remove(rowOf(photo), photo.label);
          merged.#addAll(rest.sums, rest.sums.gram(first.#network.solver, []));
        }
        for (const [id, { features, label }] of teacher.#photos) {
          merged.#place(features, label, merged.#photos.has(id) ? newId() : id);
        }
      }
    } catch (error) {
      await merged.dispose();
      throw error;
    }
    return merged;
  }

  /** The network that is taught. */
  get model(): Model {
    return this.#network.model;
  }

  /** Names of the classes, in the order of their characters' codes. */
  get labels(): readonly string[] {
    return this.#sums.labels;
  }

  /** The photos, in the order in which they were added. Those that came in sums are not among them. */
  get photos(): readonly { readonly id: string; readonly label: string }[] {
    return [...this.#photos].map(([id, { label }]) => ({ id, label }));
  }

  /** Photos of a class, or of all: those that came in sums too. */
  count(label?: string): number {
    return label === undefined ? this.#sums.images : this.#sums.count(label);
  }

  /** The head that the photos have now. */
  get head(): SolvedHead {
    return this.#solve().fit.head;
  }

  /**
   * Teaches a photo.
   *
   * @param image as `classify` of `Classifier` takes it
   * @param label of its class, which need not be there yet
   * @returns its id
   * @throws as `classify`; ArgumentTypeError for a label that is no text or an empty one; ModelError with the code `not-finite`
   */
  async add(image: ImageInput, label: string, options: PhotoOptions = {}): Promise<string> {
    this.#check();
    checkLabel(label);
    const { data } = await this.#network.classifier.features(image, options);
    this.#check();
    if (!allFinite(data)) throw new ModelError("not-finite", expectedGot("features", "finite numbers", "others"));
    return this.#place(data.slice(), label, newId());
  }

  /**
   * Teaches a photo by features that were kept of it: no network is run.
   *
   * @param features `[channels]`, as `features` gave them
   * @param id that it is to have; a new one when absent
   * @throws OptionError for features of another length or that are not finite, or an id that is there already
   */
  async addFeatures(features: ArrayLike<number>, label: string, id: string = newId()): Promise<string> {
    this.#check();
    checkLabel(label);
    const { channels } = this.#network;
    if (features?.length !== channels) {
      throw new OptionError("features", expectedGot("features", `${channels} numbers`, `${features?.length}`));
    }
    if (typeof id !== "string" || id === "") throw new ArgumentTypeError("id", expectedGot("id", "a text", typeof id));
    if (this.#photos.has(id))
      throw new OptionError("id", expectedGot("id", "a new one", `"${id}", which is there already`));
    return this.#place(Float32Array.from(features), label, id);
  }

  /** Adds what other devices have learnt: their `sums`, or several by `mergeSums`. Throws ModelError for sums of another network. */
  async addSums(bytes: Uint8Array): Promise<void> {
    this.#check();
    const other = await readSums(bytes);
    checkSame({ ...this.#network, sums: this.#sums }, other);
    this.#check();
    this.#addAll(other.sums, other.gram);
  }

  /** Forgets a photo: all is as if it had never been added. Throws OptionError for an unknown id. */
  remove(id: string): void {
    const photo = this.#photo(id);
    this.#sums.remove(rowOf(photo), photo.label);
    this.#photos.delete(id);
    this.#solved = undefined;
  }

  /** Gives a photo another class. Throws OptionError for an unknown id. */
  relabel(id: string, label: string): void {
    checkLabel(label);
    const photo = this.#photo(id);
    if (label !== photo.label) this.#sums.move(rowOf(photo), photo.label, label);
    photo.label = label;
    this.#solved = undefined;
  }

  /** Gives a class another name; where there is a class of that name, both become one. Throws OptionError for an unknown class. */
  rename(from: string, to: string): void {
    checkLabel(to);
    this.#class(from);
    this.#sums.rename(from, to);
    for (const photo of this.#photos.values()) if (photo.label === from) photo.label = to;
    this.#solved = undefined;
  }

  /**
   * Forgets a class and its photos.
   *
   * @throws OptionError for an unknown class; StateError for one that has photos that came in sums: their products are in one sum with
   * those of other classes
   */
  removeClass(label: string): void {
    this.#class(label);
    const ids = [...this.#photos].filter(([, photo]) => photo.label === label).map(([id]) => id);
    if (this.#sums.count(label) > ids.length) {
      const got = `${this.#sums.count(label) - ids.length} that came in sums`;
      throw new StateError(expectedGot(`class "${label}"`, "photos that were added here", got));
    }
    for (const id of ids) this.remove(id);
  }

  /**
   * The most probable classes of an image, best first. Probabilities are calibrated on the photos, each with a head of all others.
   *
   * @throws as `classify` of `Classifier`; StateError with fewer than two classes
   */
  async classify(
    image: ImageInput,
    { top = 5, ...options }: PhotoOptions & { readonly top?: number } = {},
  ): Promise<readonly Prediction[]> {
    if (!Number.isInteger(top) || top < 1) {
      throw new OptionError("top", expectedGot("top", "a whole number from 1", `${top}`));
    }
    this.#solve();
    const { data } = await this.#network.classifier.features(image, options);
    const { fit, labels } = this.#solve();
    const logits = Float32Array.from(labels, (_, c) => {
      let sum = 0;
      for (let i = 0; i < data.length; ++i) sum += fit.weights[c * data.length + i]! * data[i]!;
      return sum;
    });
    const probabilities = softmax(logits);
    return [...probabilities.keys()]
      .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
      .slice(0, top)
      .map((index) => ({ index, label: labels[index]!, probability: probabilities[index]! }));
  }

  /**
   * How the head does on each photo when it is taught with all others: for a table of confusions, and for photos that look wrong.
   *
   * @throws StateError with fewer than two classes, or with photos that came in sums, of which no features are here
   */
  evaluate(): TeacherEvaluation {
    const { fit, labels, ids } = this.#solve();
    if (fit.left === undefined) {
      const got = `${this.#others} photos that came in sums`;
      throw new StateError(expectedGot("evaluate", "features of every photo", got, "evaluate before sums are added"));
    }
    const classes = labels.length;
    const answers = new Map(
      ids.map((id, i) => {
        const probabilities = softmax(fit.left!.subarray(i * classes, (i + 1) * classes));
        const best = probabilities.reduce((most, value, c) => (value > probabilities[most]! ? c : most), 0);
        return [id, { predicted: labels[best]!, probability: probabilities[best]! }];
      }),
    );
    const photos = this.photos.map(({ id, label }) => ({ id, label, ...answers.get(id)! }));
    const right = new Map(labels.map((label) => [label, 0]));
    for (const { label, predicted } of photos) if (label === predicted) right.set(label, right.get(label)! + 1);
    const sum = [...right.values()].reduce((a, b) => a + b, 0);
    return {
      accuracy: sum / photos.length,
      perClass: Object.fromEntries(
        labels.map((label) => [label, { accuracy: right.get(label)! / this.count(label), count: this.count(label) }]),
      ),
      photos,
    };
  }

  /** The features of a photo, as `addFeatures` takes them. Throws OptionError for an unknown id. */
  features(id: string): Float32Array<ArrayBuffer> {
    return this.#photo(id).features.slice();
  }

  /**
   * The model as a file: an ordinary safetensors with the whole network and a linear head, which `load`, `quantize`, `convert` and a
   * Worker take. An int8 network stays one, its head rounded to 8 bits.
   *
   * @throws StateError with fewer than two classes
   */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    const { fit, labels } = this.#solve();
    const { channels, model } = this.#network;
    // Of features of one length: how they lie to each other is what matters to rounding.
    const mean = new Float64Array(channels);
    for (const label of labels) {
      const share = this.#sums.lengths(label) / (Math.sqrt(channels) * this.#sums.count(label) * this.#sums.images);
      this.#sums.of(label).forEach((value, i) => {
        mean[i]! += value * share;
      });
    }
    return writeHeaded(model, { labels, weights: fit.weights, mean });
  }

  /**
   * What can be shared instead of photos: their number and the sums of their features for each class, and the sums of products of
   * features over all. They add exactly: `mergeSums`, `addSums`.
   *
   * They are not secret. The sums of a class with one photo are its features, from which a rough likeness can be computed; sums of few
   * photos tell much about them, and whoever knows all photos but one has its features.
   */
  sums(): Uint8Array<ArrayBuffer> {
    this.#check();
    const { signature } = this.#network;
    return writeSums({ sums: this.#sums, gram: this.#gram(), signature });
  }

  /** Gives back the network, unless a merged teacher needs it. Calls after it fail. */
  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#network.users -= 1;
    if (this.#network.users > 0) return;
    await this.#network.classifier.dispose();
    await this.#network.model.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #check(): void {
    if (this.#isDisposed) throw new StateError(expectedGot("teacher", "one that is open", "one after dispose"));
  }

  #photo(id: string): Photo {
    this.#check();
    const photo = this.#photos.get(id);
    if (photo === undefined) throw new OptionError("id", expectedGot("id", "one of a photo", `"${id}"`));
    return photo;
  }

  #class(label: string): void {
    this.#check();
    if (this.#sums.count(label) > 0) return;
    const known = this.labels.slice(0, 10).join(", ") || "none yet";
    throw new OptionError("label", expectedGot("label", `a class that has photos: ${known}`, `"${label}"`));
  }

  #place(features: Float32Array<ArrayBuffer>, label: string, id: string): string {
    this.#sums.add(rowOf({ features }), label);
    this.#photos.set(id, { features, label });
    this.#solved = undefined;
    return id;
  }

  #addAll(sums: Sums, gram: Float64Array): void {
    this.#sums.addAll(sums, gram, this.#gram());
    this.#others += sums.images;
    this.#solved = undefined;
  }

  #gram(): Float64Array {
    return this.#sums.gram(
      this.#network.solver,
      [...this.#photos.values()].map((photo) => rowOf(photo).row),
    );
  }

  /** The head of all photos. Throws StateError with fewer than two classes. */
  #solve(): Solved {
    this.#check();
    if (this.#solved !== undefined) return this.#solved;
    const { labels } = this;
    if (labels.length < 2) {
      const hint = "a classifier chooses between classes: add photos of a second one";
      throw new StateError(expectedGot("teacher", "at least two classes", `${labels.length}`, hint));
    }
    const { channels, solver } = this.#network;
    const photos = canonical([...this.#photos].map(([id, photo]) => ({ id, ...photo })));
    const index = new Map(labels.map((label, c) => [label, c]));
    const sums = new Float64Array(labels.length * channels);
    for (const [c, label] of labels.entries()) sums.set(this.#sums.of(label), c * channels);
    const lengths = labels.reduce((sum, label) => sum + this.#sums.lengths(label), 0);
    const fit = solvedHead(
      solver,
      {
        ...{ channels, classes: labels.length, sums },
        labels: Int32Array.from(photos, ({ label }) => index.get(label)!),
        row: (i) => unit(photos[i]!.features),
        counts: Float64Array.from(labels, (label) => this.#sums.count(label)),
        gram: () => this.#gram(),
        meanLength: lengths / this.#sums.images,
        lengthOf: (i) => lengthOf(photos[i]!.features),
      },
      this.#head,
    );
    this.#solved = { labels, fit, ids: photos.map(({ id }) => id) };
    return this.#solved;
  }
}

/** Where products are not compared. */
const NO_PRODUCTS = new Float64Array();

/** An id that no other photo has, on this device or another. */
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function checkLabel(label: unknown): void {
  if (typeof label === "string" && label !== "") return;
  const got = label === "" ? "an empty one" : typeof label;
  throw new ArgumentTypeError("label", expectedGot("label", "a text", got));
}
