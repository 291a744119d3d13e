/**
 * Which residual network a checkpoint holds, read off the names and shapes of its tensors.
 */
import type { Checkpoint, Guess } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { RESNETS, type ResNetSpec } from "./resnet.ts";

/** What the tensors say, and what they cannot say. */
export interface Recognised {
  /** The table's name when it has one, else a description such as `bottleneck-3-4-6-3`. */
  readonly name: string;
  /** `classes` are the features: the head is not looked at. */
  readonly spec: ResNetSpec;
  /** Things assumed because tensors do not tell: reported, never silent. */
  readonly guesses: readonly Guess[];
}

/**
 * Recognises a residual network under torchvision's names.
 *
 * @throws ModelError when the tensors are not those of one
 */
export function recognise(where: string, checkpoint: Checkpoint): Recognised {
  const shapeOf = (name: string): readonly number[] => {
    const info = checkpoint.tensors.get(name);
    if (info === undefined) throw notOne(where, name, checkpoint);
    if (info.shape.length === 4 && info.shape.every((size) => size > 0)) return info.shape;
    const got = `[${info.shape.join(", ")}]`;
    throw new ModelError("tensor-shape", expectedGot(where, `"${name}" [out, in, h, w]`, got), { subject: name });
  };
  const has = (name: string): boolean => checkpoint.tensors.has(name);
  const guesses: Guess[] = [];

  const deep = has("conv1.0.weight");
  const stemConv = deep ? "conv1.6" : "conv1";
  const [width, , kernel] = shapeOf(`${stemConv}.weight`);
  if (!deep && kernel !== 7 && kernel !== 3) {
    const got = `${kernel}×${kernel}`;
    throw new ModelError("architecture", expectedGot(where, "a first convolution of 7×7 or 3×3", got), {
      subject: "conv1.weight",
    });
  }
  const depths: number[] = [];
  while (has(`layer${depths.length + 1}.0.conv1.weight`)) {
    const stage = depths.length + 1;
    let blocks = 1;
    while (has(`layer${stage}.${blocks}.conv1.weight`)) ++blocks;
    depths.push(blocks);
  }
  const bottleneck = has("layer1.0.conv3.weight");
  const inner = shapeOf("layer1.0.conv2.weight");
  const groups = bottleneck ? inner[0]! / inner[1]! : 1;
  const groupWidth = bottleneck ? (inner[0]! / groups / width!) * 64 : 64;
  const projected = (stage: number): boolean => has(`layer${stage}.0.downsample.0.weight`);
  const pooledFirst = [1, 2].some((stage) => has(`layer${stage}.0.downsample.2.weight`));
  let shortcut: ResNetSpec["shortcut"] = "A";
  if (pooledFirst) shortcut = "D";
  else if (projected(1) && (!bottleneck || has("layer1.1.downsample.0.weight"))) shortcut = "C";
  else if (projected(2) || (projected(1) && depths.length === 1)) shortcut = "B";
  else {
    const message = "shortcuts without weights (option A; a plain network has the same tensors)";
    guesses.push({ key: "shortcut", message });
  }
  if (bottleneck) guesses.push({ key: "stride", message: "stride on the 3×3 of each bottleneck (v1.5)" });
  const stem = deep ? "deep" : kernel === 7 ? "imagenet" : "cifar";
  if (stem === "cifar") {
    guesses.push({ key: "stem", message: "stride 1 and no max pool behind the first convolution, which is 3×3" });
  }
  guesses.push({ key: "layers", message: "ReLU, strides and the batch norms' epsilon (1e-5) as torchvision has them" });
  const spec: ResNetSpec = {
    block: bottleneck ? "bottleneck" : "basic",
    depths,
    stem,
    width: width!,
    shortcut,
    groups,
    groupWidth,
    stride: "3x3",
    squeeze: has("layer1.0.se.fc1.weight"),
    // The first norm sees the block's input, not what its first convolution makes. A packed file has some norms in weights.
    preact: !has("bn1.weight") && has("layer1.0.bn1.weight") && (has("norm.weight") || !has(`${stemConv}.bias`)),
    classes: featuresOf({ block: bottleneck ? "bottleneck" : "basic", depths, width: width! }),
  };
  return { name: nameOf(spec), spec, guesses };
}

/** Channels behind the pooling. */
export function featuresOf({ block, depths, width }: Pick<ResNetSpec, "block" | "depths" | "width">): number {
  return width * 2 ** (depths.length - 1) * (block === "bottleneck" ? 4 : 1);
}

function notOne(where: string, name: string, { tensors, foreign }: Checkpoint): ModelError {
  const what = foreign?.get(name);
  if (what !== undefined) {
    const expected = `"${name}" as F32, F16, BF16 or F64`;
    return new ModelError("unsupported", expectedGot(where, expected, what), { subject: name });
  }
  const names = [...tensors.keys()].slice(0, 4).map((each) => `"${each}"`);
  const hint = "torchvision's, timm's, Hugging Face's and Keras's names are known, under any prefix";
  const got = names.join(", ") || "no tensors";
  return new ModelError("architecture", expectedGot(where, `a residual network with "${name}"`, got, hint), {
    subject: name,
  });
}

/** The table's name of a network, else a description. */
export function nameOf(spec: ResNetSpec): string {
  const known = Object.entries(RESNETS).find(([, other]) => sameNetwork(spec, other));
  return known?.[0] ?? `${spec.block}-${spec.depths.join("-")}`;
}

/** Whether two are the same but for classes and the place of the stride. */
function sameNetwork(a: ResNetSpec, b: ResNetSpec): boolean {
  const keys = Object.keys({ ...a, ...b }) as readonly (keyof ResNetSpec)[];
  return keys.every((key) => key === "classes" || key === "stride" || `${a[key]}` === `${b[key]}`);
}
