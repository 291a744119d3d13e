/** What of an image a network sees, told to the decoder beforehand: it may then decode less, and keep no picture. */
import { expectedGot, OptionError } from "../errors.ts";
import type { Pixels, View } from "../image.ts";
import type { Filter } from "../preprocess.ts";
import type { Scale } from "./jpeg-geometry.ts";

/**
 * How a JPEG is decoded. `exact`: every pixel, as Pillow and libjpeg-turbo give it. `fast`: at 1/2, 1/4 or 1/8 of its size, as
 * Pillow's `draft`, where that leaves at least twice the pixels that the resize gives, to each side.
 */
export type DecodeMode = "exact" | "fast";

export const DECODE_MODES: readonly DecodeMode[] = ["exact", "fast"];

/** Throws `OptionError` for anything else. */
export function checkDecode(decode: DecodeMode | undefined): void {
  if (decode === undefined || DECODE_MODES.includes(decode)) return;
  throw new OptionError("decode", expectedGot("decode", DECODE_MODES.join(" or "), JSON.stringify(decode)));
}

export type Size = Pick<Pixels, "width" | "height">;

export interface Wanted {
  /** The part that is seen of an upright image of this size. */
  readonly view: (size: Size) => View;
  readonly filter: Filter;
  /** Whether luma is wanted in place of each colour. */
  readonly gray: boolean;
  readonly decode: DecodeMode;
}

/** A decoded image: the pixels of a view where that was made by the decoder, else all of them. */
export interface Picture {
  /** Of the upright image, whole. */
  readonly size: Size;
  readonly pixels: Pixels;
  readonly view: View | undefined;
}

/** The view of pixels that are one already. */
export function wholeView({ width, height }: Size): View {
  return { resized: [width, height], left: 0, top: 0, width, height, mirrored: false };
}

/** Least that a scaled picture has of the pixels of its resize, to each side: a triangle filter then weighs four of them. */
const LEAST_RATIO = 2;

/** Size of an image at a scale, as libjpeg rounds it. */
export function scaled({ width, height }: Size, scale: Scale): Size {
  return { width: Math.ceil((width * scale) / 8), height: Math.ceil((height * scale) / 8) };
}

/** At which scale an upright image of this size is decoded. */
export function scaleFor(full: Size, { view, decode }: Wanted): Scale {
  if (decode === "exact") return 8;
  const fits = (scale: Scale): boolean => {
    const size = scaled(full, scale);
    const [width, height] = view(size).resized;
    return size.width >= LEAST_RATIO * width && size.height >= LEAST_RATIO * height;
  };
  return ([1, 2, 4] as const).find(fits) ?? 8;
}

/** Whether a resize makes an image smaller, to both sides: then few of its rows are under way at once. */
export function isReduced({ width, height }: Size, { resized }: View): boolean {
  return resized[0] <= width && resized[1] <= height;
}
