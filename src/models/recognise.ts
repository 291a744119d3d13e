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
    if (info === undefined) {
      const names = [...checkpoint.tensors.keys()].slice(0, 4).join(", ");
      throw new ModelError(
        "architecture",
        expectedGot(
          where,
          `a residual network with a tensor "${name}"`,
          names || "no tensors",
          "choose the network with --arch",
        ),
      );
    }
    return info.shape;
  };
  const has = (name: string): boolean => checkpoint.tensors.has(name);
  const guesses: Guess[] = [];

  const deep = has("conv1.0.weight");
  const [width, , kernel] = shapeOf(deep ? "conv1.6.weight" : "conv1.weight");
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
  else if (projected(2)) shortcut = "B";
  else
    guesses.push({
      key: "shortcut",
      message: "shortcuts without weights (option A; a plain network has the same tensors)",
    });
  if (bottleneck) guesses.push({ key: "stride", message: "stride on the 3×3 of each bottleneck (v1.5)" });
  const spec: ResNetSpec = {
    block: bottleneck ? "bottleneck" : "basic",
    depths,
    stem: deep ? "deep" : kernel === 7 ? "imagenet" : "cifar",
    width: width!,
    shortcut,
    groups,
    groupWidth,
    stride: "3x3",
    squeeze: has("layer1.0.se.fc1.weight"),
    // The first norm sees the block's input, not what its first convolution makes.
    preact: !has("bn1.weight") && has("layer1.0.bn1.weight"),
    classes: shapeOf("fc.weight")[0]!,
  };
  return { name: nameOf(spec), spec, guesses };
}

/** The table's name of a network, else a description. */
export function nameOf(spec: ResNetSpec): string {
  const known = Object.entries(RESNETS).find(([, other]) => sameNetwork(spec, other));
  return known?.[0] ?? `${spec.block}-${spec.depths.join("-")}`;
}

function sameNetwork(a: ResNetSpec, b: ResNetSpec): boolean {
  const essence = ({ classes: _classes, stride: _stride, ...rest }: ResNetSpec): string =>
    JSON.stringify(Object.entries(rest).sort());
  return essence(a) === essence(b);
}
