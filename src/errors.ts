/**
 * The errors that this library throws. Each carries a `code`, and the name of what is at fault where there is one.
 * Programs decide by class and code; messages are for people, and their wording may change in any version.
 */

/** What is wrong with a weight file, with what is said about it, or with the way to it. */
export type ModelErrorCode =
  /** No such file, folder, package, repository or revision. */
  | "not-found"
  /** The bytes are of another kind: a web page, a photo, an archive without a model. */
  | "not-a-model"
  /** The file contradicts itself or its format's rules. */
  | "malformed"
  /** The file, or a download, is shorter than it must be. */
  | "truncated"
  /** Valid, but not something that this project runs. */
  | "unsupported"
  /** The network is not recognised, or is not the one that was named. */
  | "architecture"
  /** A tensor that the network needs is absent. */
  | "tensor-missing"
  /** A tensor has another shape or element type than the network needs. */
  | "tensor-shape"
  /** A tensor that the network would leave out. */
  | "tensor-unused"
  /** A weight, or a result computed from weights, is not a finite number. */
  | "not-finite"
  /** Metadata or a configuration beside the weights that cannot be used. */
  | "metadata"
  /** The bytes are not those that a checksum promises. */
  | "integrity"
  /** A server did not answer, or answered with an error. */
  | "network"
  /** The network is needed but was forbidden. */
  | "offline"
  /** A server or the file system refused access. */
  | "denied"
  /** The cache folder cannot be read or written. */
  | "cache"
  /** More memory is needed than there is, or than is allowed. */
  | "memory"
  /** The model has no classifier, or another kind of output than the call needs. */
  | "no-classes"
  /** This runtime has no such thing: files, threads, names of models. */
  | "runtime";

/** What is wrong with an image. */
export type ImageErrorCode =
  /** No such file or address, or a response without an image. */
  | "not-found"
  /** The bytes are no image. */
  | "not-an-image"
  /** An image of a format, or a variety of one, that is not decoded here. */
  | "unsupported"
  /** The image is damaged. */
  | "malformed"
  /** The image is cut short. */
  | "truncated"
  /** More pixels, bytes or decoding work than the limit. */
  | "too-large"
  /** There is no memory for its pixels. */
  | "memory";

/** What is wrong with a set of labelled images. */
export type DatasetErrorCode =
  /** No such file or folder. */
  | "not-found"
  /** A list of labels that cannot be read. */
  | "malformed"
  /** Classes that are not those of the model, or of the other part of the set; fewer than two; one without images. */
  | "classes"
  /** No images, or none that can be read. */
  | "empty";

/** A weight file, a network or a source of either that cannot be used. */
export class ModelError extends Error {
  override name = "ModelError";
  readonly code: ModelErrorCode;
  /** The tensor, file or field at fault, where one is. */
  readonly subject: string | undefined;

  constructor(
    code: ModelErrorCode,
    message: string,
    details: { readonly subject?: string; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.subject = details.subject;
  }
}

/** An image that cannot be used. */
export class ImageError extends Error {
  override name = "ImageError";
  readonly code: ImageErrorCode;
  /** Where several images were given: which of them. */
  readonly index?: number;

  constructor(code: ImageErrorCode, message: string, details: { readonly cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
  }
}

/** A set of labelled images that cannot be used. */
export class DatasetError extends Error {
  override name = "DatasetError";
  readonly code: DatasetErrorCode;

  constructor(code: DatasetErrorCode, message: string, details: { readonly cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
  }
}

/** An option or argument that is out of range. */
export class OptionError extends RangeError {
  override name = "OptionError";
  readonly code = "option";
  /** The option's or argument's name. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}

/** An option or argument of the wrong type. */
export class ArgumentTypeError extends TypeError {
  override name = "ArgumentTypeError";
  readonly code = "argument-type";
  /** The option's or argument's name. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}

/** A call on something that was disposed, or is in no state to take it. */
export class StateError extends Error {
  override name = "StateError";
  readonly code = "state";
}

/** A loss or gradient that is not finite. The weights are those of the step before. */
export class DivergedError extends Error {
  override name = "DivergedError";
}

/** `<where>: expected <what>, got <what>` and, when there is something to do, a `hint:` line. */
export function expectedGot(where: string, expected: string, got: string, hint?: string): string {
  return `${where}: expected ${expected}, got ${got}${hint === undefined ? "" : `\n  hint: ${hint}`}`;
}
