/** What was taught: photos with their classes, kept as they come, and the classifier that follows from their features. */
import { type Classifier, createTeacher, type Model, type Prediction, search, type Teacher } from "resnet-wasm";
import type { Keep } from "./keep.ts";
import { jpegOf, square } from "./pictures.ts";
import type { Lesson as LessonView, Photo, Picture } from "./protocol.ts";

/** Classes that are given of a photo. */
const TOP = 10;

/** The network that looks, and what teaches one like it. */
interface Network {
  readonly classifier: Classifier;
  readonly model: Model;
  readonly threads: number;
  /** Under which features of photos are kept. */
  readonly key: string;
}

export class Lesson {
  readonly #keep: Keep;
  readonly #photos = new Map<string, Photo>();
  readonly #features = new Map<string, Float32Array>();
  /** Taken away, and not yet for good. */
  readonly #removed = new Map<string, Photo>();
  #classes: string[] = [];
  #network: Network | undefined;
  /** Made when there is something to teach: it holds the weights once more. */
  #teacher: Promise<Teacher> | undefined;
  /** The last that was brought up to date. */
  #last: Promise<Teacher | undefined> = Promise.resolve(undefined);
  #waiting = 0;
  readonly #changed: () => void;

  private constructor(keep: Keep, changed: () => void) {
    this.#keep = keep;
    this.#changed = changed;
  }

  static async open(keep: Keep, changed: () => void): Promise<Lesson> {
    const lesson = new Lesson(keep, changed);
    for (const photo of await keep.all("photos")) lesson.#photos.set(photo.id, photo);
    lesson.#classes = [...((await keep.get("values", "classes")) ?? [])];
    return lesson;
  }

  /** Photos by time; the newest last. */
  get photos(): readonly Photo[] {
    return [...this.#photos.values()].sort((a, b) => a.at - b.at);
  }

  /** Leaves the model that it followed. */
  async leave(): Promise<void> {
    this.#network = undefined;
    const teacher = await this.#teacher?.catch(() => undefined);
    this.#teacher = undefined;
    this.#features.clear();
    await teacher?.dispose();
  }

  /** Follows another model: its features are read, or computed where there are none. */
  async follow(network: Network): Promise<void> {
    await this.leave();
    this.#network = network;
    const missing: Photo[] = [];
    for (const photo of this.#photos.values()) {
      const features = await this.#keep.get("features", [photo.id, network.key]);
      if (features === undefined) missing.push(photo);
      else this.#features.set(photo.id, features);
    }
    this.#waiting = missing.length;
    this.#changed();
    for (const { id } of missing) {
      if (this.#network !== network) return;
      const picture = await this.#keep.get("pictures", id);
      if (picture !== undefined) await this.#learn(id, (await network.classifier.features(picture)).data.slice());
      --this.#waiting;
      this.#changed();
    }
  }

  async #learn(id: string, features: Float32Array): Promise<void> {
    this.#features.set(id, features);
    await this.#keep.put("features", [id, this.#network!.key], features);
  }

  /** A teacher of the photos as they are now; `undefined` while there are fewer than two classes to choose from. */
  #taught(): Promise<Teacher | undefined> {
    // One at a time: two at once would add the same photo twice.
    this.#last = this.#last.catch(() => undefined).then(() => this.#brought());
    return this.#last;
  }

  async #brought(): Promise<Teacher | undefined> {
    const wanted = new Map([...this.#photos].filter(([id]) => this.#features.has(id)));
    if (this.#network === undefined || new Set([...wanted.values()].map(({ label }) => label)).size < 2)
      return undefined;
    const { model, threads } = this.#network;
    this.#teacher ??= createTeacher(model, { threads });
    const teacher = await this.#teacher;
    const known = new Set<string>();
    for (const { id, label } of teacher.photos) {
      const photo = wanted.get(id);
      known.add(id);
      if (photo === undefined) teacher.remove(id);
      else if (photo.label !== label) teacher.relabel(id, photo.label);
    }
    for (const [id, { label }] of wanted) {
      if (!known.has(id)) await teacher.addFeatures(this.#features.get(id)!, label, id);
    }
    return teacher;
  }

  async add(picture: Picture, label: string): Promise<Photo> {
    const canvas = await square(picture);
    const [jpeg, features] = await Promise.all([jpegOf(canvas), this.#network!.classifier.features(canvas)]);
    const photo = { id: crypto.randomUUID(), label, at: Date.now() };
    await this.#keep.put("pictures", photo.id, jpeg);
    await this.#keep.put("photos", photo.id, photo);
    await this.#learn(photo.id, features.data.slice());
    this.#photos.set(photo.id, photo);
    if (!this.#classes.includes(label)) await this.#setClasses([...this.#classes, label]);
    return photo;
  }

  async #setClasses(classes: readonly string[]): Promise<void> {
    this.#classes = [...classes];
    await this.#keep.put("values", "classes", this.#classes);
  }

  async addClass(name: string): Promise<void> {
    if (!this.#classes.includes(name)) await this.#setClasses([...this.#classes, name]);
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const photo = this.#photos.get(id);
      if (photo === undefined) continue;
      this.#photos.delete(id);
      this.#removed.set(id, photo);
      // Its picture and features stay until the next visit finds them without a photo.
      await this.#keep.delete("photos", id);
    }
  }

  async restore(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const photo = this.#removed.get(id);
      if (photo === undefined) continue;
      this.#removed.delete(id);
      this.#photos.set(id, photo);
      await this.addClass(photo.label);
      await this.#keep.put("photos", id, photo);
    }
  }

  /** Frees what belongs to no photo any more. */
  async sweep(): Promise<void> {
    for (const id of await this.#keep.keys("pictures")) {
      if (!this.#photos.has(id) && !this.#removed.has(id)) await this.#keep.delete("pictures", id);
    }
    for (const key of await this.#keep.keys("features")) {
      if (!this.#photos.has(key[0]) && !this.#removed.has(key[0])) await this.#keep.delete("features", key);
    }
  }

  async relabel(ids: readonly string[], label: string): Promise<void> {
    for (const id of ids) {
      const photo = this.#photos.get(id);
      if (photo === undefined) continue;
      const changed = { ...photo, label };
      this.#photos.set(id, changed);
      await this.#keep.put("photos", id, changed);
    }
    await this.addClass(label);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.relabel(
      this.photos.filter(({ label }) => label === from).map(({ id }) => id),
      to,
    );
    const at = this.#classes.indexOf(from);
    const others = this.#classes.filter((name) => name !== to || from === to);
    await this.#setClasses(at < 0 ? others : [...new Set(this.#classes.map((name) => (name === from ? to : name)))]);
  }

  async removeClass(name: string): Promise<void> {
    await this.remove(this.photos.filter(({ label }) => label === name).map(({ id }) => id));
    await this.#setClasses(this.#classes.filter((each) => each !== name));
  }

  picture(id: string): Promise<Blob | undefined> {
    return this.#keep.get("pictures", id);
  }

  async forget(): Promise<void> {
    await this.#keep.clear();
    this.#photos.clear();
    this.#features.clear();
    this.#removed.clear();
    this.#classes = [];
  }

  similar(features: Float32Array, topK = 12): readonly { readonly photo: Photo; readonly score: number }[] {
    const photos = [...this.#photos.values()].filter(({ id }) => this.#features.has(id));
    if (photos.length === 0) return [];
    const data = new Float32Array(photos.length * features.length);
    for (const [i, { id }] of photos.entries()) data.set(this.#features.get(id)!, i * features.length);
    const found = search(features, { data, shape: [photos.length, features.length] }, { topK });
    return found.map(({ index, score }) => ({ photo: photos[index]!, score }));
  }

  /** The most probable of the taught classes. */
  async classify(image: Blob | OffscreenCanvas): Promise<readonly Prediction[]> {
    const teacher = await this.#taught();
    if (teacher !== undefined) return teacher.classify(image, { top: TOP });
    // One class is no choice: nothing can be said of it.
    return [...new Set(this.photos.map(({ label }) => label))].map((label, index) => ({
      label,
      index,
      probability: 0,
    }));
  }

  /**
   * The model with the taught classes, as a file.
   *
   * @throws Error with the code `few` when there are fewer than two classes
   */
  async save(): Promise<Blob> {
    const teacher = await this.#taught();
    if (teacher === undefined) throw Object.assign(new Error("fewer than two classes"), { code: "few" });
    return new Blob([await teacher.save()]);
  }

  async view(): Promise<LessonView> {
    const evaluation = (await this.#taught())?.evaluate();
    return {
      classes: this.#classes,
      photos: this.photos,
      waiting: this.#waiting,
      kept: this.#keep.lasts,
      ...(evaluation && { judged: evaluation.photos, accuracy: evaluation.accuracy }),
    };
  }
}
