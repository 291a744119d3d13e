/** Errors that pass from a worker to its owner: structured cloning keeps neither their class nor their code. */
import { ImageError, type ImageErrorCode, ModelError, type ModelErrorCode, OptionError } from "../errors.ts";

export interface PortableError {
  readonly kind: "image" | "model" | "option" | "other";
  readonly message: string;
  /** The code, or the option's name. */
  readonly code: string;
  readonly stack: string | undefined;
}

export function toPortable(error: unknown): PortableError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof ImageError) return { kind: "image", message, code: error.code, stack };
  if (error instanceof ModelError) return { kind: "model", message, code: error.code, stack };
  if (error instanceof OptionError) return { kind: "option", message, code: error.option, stack };
  return { kind: "other", message, code: "", stack };
}

export function fromPortable({ kind, message, code, stack }: PortableError): Error {
  const error =
    kind === "image"
      ? new ImageError(code as ImageErrorCode, message)
      : kind === "model"
        ? new ModelError(code as ModelErrorCode, message)
        : kind === "option"
          ? new OptionError(code, message)
          : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
