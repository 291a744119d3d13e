/**
 * How pixels become the input of a network: sizes, filter, normalisation. Whoever describes it (an option, a file's metadata,
 * a configuration), `checkPreprocess` checks it once.
 */
import { expectedGot, OptionError } from "./errors.ts";

/** Of an image or of a network's input. */
export type Sides = readonly [height: number, width: number];
export type Triple = readonly [number, number, number];

/** Pillow's filters, antialiased when they shrink; `nearest` is not. */
export const FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] as const;
export type Filter = (typeof FILTERS)[number];

/** The network's input channels, in their order. `gray` is one, luma as Pillow's `convert("L")` computes it. */
export const ORDERS = ["rgb", "bgr", "gray"] as const;
export type ChannelOrder = (typeof ORDERS)[number];

/** How pixels become the input of a network. */
export interface Preprocess {
  /** Size before the crop. The image keeps its proportions and covers it, so that for equal sides the shorter one fits. */
  readonly resize: Sides;
  /** `true` resizes to exactly `resize`: proportions are lost. */
  readonly squash: boolean;
  /** Size of the centre crop: the network's input. */
  readonly crop: Sides;
  readonly filter: Filter;
  /** Of pixels scaled to 0…1: in the order R, G, B, whatever `order` says, or one number for gray. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly order: ChannelOrder;
}

/** A `Preprocess` as a caller may write it: one number for equal sides, `squash` false when absent. */
export type PreprocessOptions = Omit<Preprocess, "resize" | "crop" | "squash"> & {
  readonly resize: number | Sides;
  readonly crop: number | Sides;
  readonly squash?: boolean;
};

const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: "rgb" } as const;
const TO_224 = { resize: [256, 256], squash: false, crop: [224, 224] } as const;

/**
 * Known preprocessing, by name. `caffe` is He et al.'s own, which Keras's `resnet50` … `resnet152` use: BGR, 0…255, minus a
 * mean, not divided. `keras-v2` is that of Keras's `resnet50v2` …: −1…1. `gray` has the average of ImageNet's three means and
 * deviations. The other sources are torchvision's `ResNet*_Weights`, timm's `default_cfg` and Hugging Face's `microsoft/resnet-50`.
 */
export const PRESETS = {
  "torchvision-v1": { ...TO_224, filter: "bilinear", ...IMAGENET },
  "torchvision-v2": { ...TO_224, resize: [232, 232], filter: "bilinear", ...IMAGENET },
  timm: { ...TO_224, filter: "bicubic", ...IMAGENET },
  huggingface: { ...TO_224, filter: "bicubic", ...IMAGENET },
  caffe: {
    ...TO_224,
    filter: "bilinear",
    mean: [123.68 / 255, 116.779 / 255, 103.939 / 255],
    std: [1 / 255, 1 / 255, 1 / 255],
    order: "bgr",
  },
  "keras-v2": { ...TO_224, filter: "bilinear", mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: "rgb" },
  gray: { ...TO_224, filter: "bilinear", mean: [0.449], std: [0.226], order: "gray" },
  cifar: { resize: [32, 32], squash: false, crop: [32, 32], filter: "bilinear", ...IMAGENET },
} as const satisfies Record<string, Preprocess>;

export type PresetName = keyof typeof PRESETS;

/** The same preprocessing for another input size: the crop keeps its share of the resized image. */
export function sized(preprocess: Preprocess, size: number | Sides): Preprocess {
  const crop = sidesOf(size);
  if (crop.every((side, i) => side === preprocess.crop[i])) return preprocess;
  const scaled = (i: 0 | 1): number => {
    return Math.max(crop[i], Math.round((preprocess.resize[i] * crop[i]) / preprocess.crop[i]));
  };
  return { ...preprocess, crop, resize: [scaled(0), scaled(1)] };
}

/** Channels of the network's input. */
export function channelsOf({ order }: Pick<Preprocess, "order">): 1 | 3 {
  return order === "gray" ? 1 : 3;
}

/** Longest side of an input. A sanity limit: that a network's memory suffices is computed elsewhere. */
const LONGEST_SIDE = 65_535;

/**
 * A description of preprocessing, checked and complete.
 *
 * @param refuse throws, in the words of whoever was asked: the field, what is expected of it and what it is
 */
export function checkPreprocess(
  value: unknown,
  refuse: (field: string, expected: string, got: string) => never,
): Preprocess {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse("", "an object with resize, crop, filter, mean, std and order", show(value));
  }
  const given = value as Readonly<Record<string, unknown>>;
  const field = (name: string, expected: string): never => refuse(name, expected, show(given[name]));
  const oneOf = <T extends string>(name: string, names: readonly T[]): T =>
    names.find((each) => each === given[name]) ?? field(name, `one of ${names.join(", ")}`);
  const sides = (name: "resize" | "crop"): Sides => {
    const both = typeof given[name] === "number" ? [given[name], given[name]] : given[name];
    const isGood = Array.isArray(both) && both.length === 2 && both.every(isSide);
    return isGood ? [both[0], both[1]] : field(name, `a whole number of pixels, 1…${LONGEST_SIDE}, or [height, width]`);
  };
  const order = oneOf("order", ORDERS);
  const channels = channelsOf({ order });
  const numbers = (name: "mean" | "std"): readonly number[] => {
    const list = given[name];
    if (Array.isArray(list) && list.length === channels && list.every(Number.isFinite)) return [...list];
    return field(name, channels === 3 ? "three numbers" : "one number in an array, for gray");
  };
  const [resize, crop, filter] = [sides("resize"), sides("crop"), oneOf("filter", FILTERS)];
  const { squash = false } = given;
  if (typeof squash !== "boolean") return field("squash", "true or false");
  if (crop.some((side, i) => side > resize[i]!))
    field("crop", `at most ${show(given.resize)}, the size before the crop`);
  const [mean, std] = [numbers("mean"), numbers("std")];
  // What the normalisation multiplies by and adds must exist as f32.
  const isUsable = (deviation: number, i: number): boolean => {
    return deviation > 0 && [1 / (255 * deviation), mean[i]! / deviation].every((x) => Number.isFinite(Math.fround(x)));
  };
  if (!std.every(isUsable)) field("std", "numbers above 0 by which the mean can be divided");
  return { resize, squash, crop, filter, mean, std, order };
}

function isSide(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= LONGEST_SIDE;
}

/** Both sides, where one number means equal ones. */
export function sidesOf(size: number | Sides): Sides {
  return typeof size === "number" ? [size, size] : size;
}

/** A value as an error shows it: at most a line. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** An input's size as height and width. Throws `OptionError` unless both are whole numbers of pixels. */
export function checkSize(size: number | Sides): Sides {
  const sides = sidesOf(size);
  if (sides.length === 2 && sides.every((side) => Number.isInteger(side) && side >= 1)) return sides;
  const expected = "a whole number of pixels, 1 or more, or [height, width]";
  throw new OptionError("size", expectedGot("size", expected, `${size}`));
}
