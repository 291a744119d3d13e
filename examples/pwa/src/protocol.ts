/** What the page asks of the engine's worker, and what it is told meanwhile. */
import type { Prediction } from "resnet-wasm";

/** A model as the page knows it. */
export interface Opened {
  readonly labels: readonly string[] | undefined;
  readonly classes: number;
  readonly build: string;
  readonly vectors: number;
  readonly threads: number;
  readonly memoryBytes: number;
  /** Pixels that the network sees, on a side. */
  readonly side: number;
}

export interface Progress {
  readonly done: number;
  /** Absent where it is not known. */
  readonly total?: number;
}

/** A class activation map, and which part of the picture it covers. */
export interface Heat {
  readonly data: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** Shares of the picture, 0…1. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Which classes are asked for: the model's own, or those that were taught. */
export type Asked = "model" | "taught";

export interface Looked {
  readonly answers: readonly Prediction[];
  /** Milliseconds from the frame to the answer, in the worker. */
  readonly ms: number;
  readonly heat?: Heat;
}

export interface Photo {
  readonly id: string;
  readonly label: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** One photo, judged by what all others taught. */
export interface Judged {
  readonly id: string;
  readonly label: string;
  readonly predicted: string;
  readonly probability: number;
}

/** All that was taught. */
export interface Lesson {
  readonly classes: readonly string[];
  readonly photos: readonly Photo[];
  /** Leave-one-out; absent with fewer than two classes that have photos. */
  readonly judged?: readonly Judged[];
  readonly accuracy?: number;
  /** Photos that the model has still to look at, after another model was chosen. */
  readonly waiting: number;
  /** Whether photos outlive the page. */
  readonly kept: boolean;
}

export interface Measured {
  readonly images: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly firstMs: number;
  /** Median of the last fifth over that of the first: above 1 it grew slower. */
  readonly drift: number;
  readonly build: string;
  readonly vectors: number;
  readonly threads: number;
  /** Largest difference of a logit from the baseline kernels on one thread, over the largest logit. */
  readonly difference: number;
  /** Whether it is small enough, the best class is the same, and the first answer came again at the end. */
  readonly right: boolean;
  readonly seed: number;
}

/** A picture: a file, or a frame that is given away. */
export type Picture = Blob | ImageBitmap | VideoFrame;

interface Call<Given, Gives, Tells = never> {
  readonly given: Given;
  readonly gives: Gives;
  readonly tells: Tells;
}

/** By name: what a call is given, what it gives, and what it tells on the way. */
export interface Calls {
  open: Call<{ readonly source: string | Blob }, Opened, Progress>;
  /** Takes a file of the user's into what is kept on the device; gives its name. */
  keepModel: Call<{ readonly file: File }, string>;
  keptModels: Call<undefined, readonly { readonly name: string; readonly bytes: number }[]>;
  keptModel: Call<{ readonly name: string }, Blob>;
  /** What resnet-wasm keeps of models with a name. */
  stored: Call<undefined, readonly { readonly source: string; readonly bytes: number }[]>;
  /** Removes what it keeps of one. */
  forgetModel: Call<{ readonly name: string }, undefined>;
  removeModel: Call<{ readonly name: string }, undefined>;
  look: Call<{ readonly picture: Picture; readonly asked: Asked; readonly heat?: string }, Looked>;
  /** The photos that are most like a picture, best first. */
  similar: Call<{ readonly picture: Picture }, readonly { readonly photo: Photo; readonly score: number }[]>;
  lesson: Call<undefined, Lesson>;
  addClass: Call<{ readonly name: string }, Lesson>;
  add: Call<{ readonly picture: Picture; readonly label: string }, Photo>;
  /** Takes photos away, until `restore` brings them back or the page is closed. */
  remove: Call<{ readonly ids: readonly string[] }, Lesson>;
  restore: Call<{ readonly ids: readonly string[] }, Lesson>;
  relabel: Call<{ readonly ids: readonly string[]; readonly label: string }, Lesson>;
  rename: Call<{ readonly from: string; readonly to: string }, Lesson>;
  removeClass: Call<{ readonly name: string }, Lesson>;
  photo: Call<{ readonly id: string }, Blob>;
  /** A zip of the photos by class, and the taught model. */
  exportPhotos: Call<undefined, Blob, Progress>;
  /** A safetensors file that `load` takes. */
  exportModel: Call<undefined, Blob>;
  /** Takes such a zip, beside what is there. */
  importPhotos: Call<{ readonly file: Blob }, Lesson, Progress>;
  forgetAll: Call<undefined, undefined>;
  measure: Call<{ readonly seconds: number; readonly seed: number; readonly source: string | Blob }, Measured, number>;
}

export type CallName = keyof Calls;

/** From the page. */
export type Request =
  | { readonly id: number; readonly name: CallName; readonly given: unknown }
  | { readonly id: number; readonly name: "abort" };

/** From the worker. */
export type Reply =
  | { readonly id: number; readonly gives: unknown }
  | { readonly id: number; readonly tells: unknown }
  | { readonly id: number; readonly failed: Failure }
  | { readonly lesson: Lesson };

/** An error that went through a message. */
export interface Failure {
  readonly name: string;
  /** Of resnet-wasm's errors. */
  readonly code?: string;
  readonly message: string;
}
