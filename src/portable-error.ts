/** Errors that pass from a worker to its owner: structured cloning keeps neither their class nor their code. */
import {
  ArgumentTypeError,
  DatasetError,
  type DatasetErrorCode,
  DivergedError,
  ImageError,
  type ImageErrorCode,
  ModelError,
  type ModelErrorCode,
  OptionError,
  StateError,
} from "./errors.ts";

export interface PortableError {
  readonly kind:
    | "image"
    | "model"
    | "dataset"
    | "option"
    | "type"
    | "state"
    | "diverged"
    | "range"
    | "platform"
    | "other";
  readonly message: string;
  /** The code, the option's name, or the name of an error of the platform (`TimeoutError`). */
  readonly code: string;
  /** The tensor at fault, of a model. */
  readonly subject: string | undefined;
  readonly stack: string | undefined;
}

export function toPortable(error: unknown): PortableError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const rest = { message, stack, subject: error instanceof ModelError ? error.subject : undefined };
  if (error instanceof ImageError) return { kind: "image", code: error.code, ...rest };
  if (error instanceof ModelError) return { kind: "model", code: error.code, ...rest };
  if (error instanceof OptionError) return { kind: "option", code: error.option, ...rest };
  if (error instanceof ArgumentTypeError) return { kind: "type", code: error.option, ...rest };
  if (error instanceof DatasetError) return { kind: "dataset", code: error.code, ...rest };
  if (error instanceof StateError) return { kind: "state", code: "", ...rest };
  if (error instanceof DivergedError) return { kind: "diverged", code: "", ...rest };
  if (typeof DOMException !== "undefined" && error instanceof DOMException) {
    return { kind: "platform", code: error.name, ...rest };
  }
  return { kind: error instanceof RangeError ? "range" : "other", code: "", ...rest };
}

export function fromPortable(portable: PortableError): Error {
  const error = made(portable);
  if (portable.stack !== undefined)
    Object.defineProperty(error, "stack", { value: portable.stack, configurable: true });
  return error;
}

function made({ kind, message, code, subject }: PortableError): Error {
  switch (kind) {
    case "image":
      return new ImageError(code as ImageErrorCode, message);
    case "model":
      return new ModelError(code as ModelErrorCode, message, subject === undefined ? {} : { subject });
    case "dataset":
      return new DatasetError(code as DatasetErrorCode, message);
    case "state":
      return new StateError(message);
    case "diverged":
      return new DivergedError(message);
    case "platform":
      return new DOMException(message, code);
    case "option":
      return new OptionError(code, message);
    case "type":
      return new ArgumentTypeError(code, message);
    case "range":
      return new RangeError(message);
    case "other":
      return new Error(message);
  }
}
