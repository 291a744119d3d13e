/**
 * Several views of one image, whose scores are averaged: He et al. 2015, section 4.1. Ten crops are Krizhevsky et al. 2012's:
 * four corners and the centre, and their mirror images; like them, softmax probabilities are averaged. At several scales
 * the network sees the whole image, "fully convolutional": its global average pool takes any size.
 */

import { expectedGot, OptionError } from "./errors.ts";
import { centreView, type Pixels, shorterTo, type View } from "./image.ts";
import type { Preprocess } from "./preprocess.ts";

export interface Views {
  /** 1; 2, with the mirror image of it; or 10. With scales, 2 or 10 adds the mirror image of each. */
  readonly crops?: 1 | 2 | 10;
  /** Lengths of the shorter side at which the whole image is seen; none means crops. */
  readonly scales?: readonly number[];
}

function mirrored(view: View): View {
  return { ...view, mirrored: true };
}

/**
 * The views of one image.
 *
 * @throws RangeError for other numbers of crops, or a scale that is no whole number above 0
 */
export function viewsOf(pixels: Pixels, preprocess: Preprocess, { crops = 1, scales = [] }: Views): readonly View[] {
  if (![1, 2, 10].includes(crops)) throw new OptionError("crops", expectedGot("crops", "1, 2 or 10", `${crops}`));
  const odd = scales.find((scale) => !Number.isInteger(scale) || scale < 1);
  if (odd !== undefined) throw new OptionError("scales", expectedGot("scales", "whole numbers of pixels", `${odd}`));
  if (scales.length > 0) {
    const whole = scales.map((scale): View => {
      const resized = shorterTo(pixels, scale);
      return { resized, left: 0, top: 0, width: resized[0], height: resized[1], mirrored: false };
    });
    return crops > 1 ? whole.flatMap((view) => [view, mirrored(view)]) : whole;
  }
  const centre = centreView(pixels, preprocess);
  if (crops === 1) return [centre];
  if (crops === 2) return [centre, mirrored(centre)];
  const [right, bottom] = [centre.resized[0] - centre.width, centre.resized[1] - centre.height];
  const corners = [0, bottom].flatMap((top) => [0, right].map((left): View => ({ ...centre, left, top })));
  return [...corners, centre].flatMap((view) => [view, mirrored(view)]);
}
