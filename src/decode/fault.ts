import type { ImageErrorCode } from "../errors.ts";

/** What a decoder finds wrong; `decodeImage` makes an ImageError of it, which names the image. */
export class Fault extends Error {
  override name = "Fault";
  readonly code: ImageErrorCode;

  /** @param got what the file is instead of one that can be decoded: "one of 12 bits" */
  constructor(code: ImageErrorCode, got: string) {
    super(got);
    this.code = code;
  }
}
