/** Pixels as a caller has them → RGBA bytes. */
import { ArgumentTypeError, expectedGot, OptionError } from "../errors.ts";
import { areSides, type Pixels, SIDE_LIMIT } from "../image.ts";

/**
 * Pixels, row by row: RGBA, RGB or gray, as the length of `data` says. Bytes are 0…255 (an `ImageData` has them); 16-bit
 * numbers are 0…65535, of which the upper byte counts, as for a PNG of 16 bits. Alpha is ignored.
 */
export interface RawPixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray | Uint16Array;
}

/** Pixels as the library sharp gives them: `sharp(…).raw().toBuffer({ resolveWithObject: true })`. */
export interface SharpPixels {
  readonly data: Uint8Array;
  readonly info: {
    readonly width: number;
    readonly height: number;
    /** 4 RGBA, 3 RGB, 2 gray and alpha, 1 gray. */
    readonly channels: number;
  };
}

/** Whether an image is pixels already, so that nothing is decoded. */
export function isRaw(image: unknown): image is RawPixels | SharpPixels {
  if (typeof image !== "object" || image === null || !("data" in image)) return false;
  return ("width" in image && "height" in image) || ("info" in image && typeof image.info === "object");
}

/**
 * @throws ArgumentTypeError for data of another type, whose scale nothing tells; OptionError when size and length disagree
 */
export function rawPixels(image: RawPixels | SharpPixels): Pixels {
  const { data } = image;
  const { width, height } = "info" in image ? image.info : image;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray || data instanceof Uint16Array)) {
    const hint = "scale the values to 0…255 in a Uint8Array; inputs that are normalised already go to logits()";
    throw new ArgumentTypeError(
      "image",
      expectedGot("image.data", "a Uint8Array, Uint8ClampedArray or Uint16Array", typeName(data), hint),
    );
  }
  const sides = `${width}×${height}`;
  if (!areSides(width, height)) {
    throw new OptionError("image", expectedGot("image", `whole sides from 1 to ${SIDE_LIMIT} pixels`, sides));
  }
  const channels = data.length / (width * height);
  if ("info" in image) {
    const { channels: named } = image.info;
    if (channels !== named || ![1, 2, 3, 4].includes(named)) {
      const expected = `${named} bytes a pixel, as its info says`;
      const got = `${sides} pixels and ${data.length} bytes`;
      throw new OptionError("image", expectedGot("image", expected, got, 'give raw() no depth, or depth: "uchar"'));
    }
  } else if (channels !== 4 && channels !== 3 && channels !== 1) {
    const expected = "4, 3 or 1 numbers a pixel (RGBA, RGB or gray)";
    throw new OptionError("image", expectedGot("image", expected, `${sides} pixels and ${data.length} numbers`));
  }
  if (channels === 4 && !(data instanceof Uint16Array)) return { width, height, data };
  const bytes = data instanceof Uint16Array ? Uint8Array.from(data, (value) => value >> 8) : data;
  if (channels === 4) return { width, height, data: bytes };
  const out = new Uint8Array(4 * width * height).fill(255);
  for (let p = 0; p < width * height; ++p) {
    for (let i = 0; i < 3; ++i) out[4 * p + i] = bytes[channels * p + (channels === 3 ? i : 0)]!;
  }
  return { width, height, data: out };
}

/** What an error calls a value of a type that is not accepted. */
export function typeName(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  if (Array.isArray(value)) return "an array";
  const name = Object.prototype.toString.call(value).slice(8, -1);
  return name === "Object" ? "an object" : `${/^([AEIOU]|HTML|SVG)/.test(name) ? "an" : "a"} ${name}`;
}
