/** How a request is refused: a status, a code for programs, a sentence for people. */
import { ImageError, type ImageErrorCode } from "../errors.ts";

/** A refusal. Its code is part of the service's interface, its message is not. */
export class HttpError extends Error {
  override name = "HttpError";
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** 503: the same request may be answered later. */
export function unavailable(code: string, message: string): HttpError {
  return new HttpError(503, code, message, { "Retry-After": "1" });
}

/** Status and code of the answer to an image that cannot be classified. */
const REFUSALS: Readonly<Record<ImageErrorCode, readonly [status: number, code: string]>> = {
  "not-found": [422, "photo"],
  "not-an-image": [415, "type"],
  unsupported: [415, "type"],
  malformed: [422, "photo"],
  truncated: [422, "photo"],
  "too-large": [413, "pixels"],
  memory: [413, "pixels"],
};

/** The refusal of an image; any other error as it is. */
export function refusalOf(error: unknown): unknown {
  if (!(error instanceof ImageError)) return error;
  const [status, code] = REFUSALS[error.code];
  return new HttpError(status, code, firstLine(error));
}

/** A message without its hint, which is for the operator of the service. */
export function firstLine({ message }: Error): string {
  return message.split("\n")[0]!;
}
