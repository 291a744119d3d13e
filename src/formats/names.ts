/**
 * One name for each tensor, torchvision's (`layer1.0.conv1.weight`), whatever the framework that wrote the file.
 */

const KERAS_WEIGHTS: Readonly<Record<string, string>> = {
  kernel: "weight",
  bias: "bias",
  gamma: "weight",
  beta: "bias",
  moving_mean: "running_mean",
  moving_variance: "running_var",
};

/**
 * The torchvision module of a Keras layer, or `undefined` for a layer of no ResNet. Reads the names of Keras 2.2
 * (`res4b22_branch2a`, `bn4b22_branch2a`), where branch 1 is the shortcut, and of keras-applications
 * (`conv4_block23_1_conv`, `conv4_block23_1_bn`), where 0 is.
 */
export function fromKerasLayer(layer: string): string | undefined {
  if (layer === "conv1" || layer === "conv1_conv") return "conv1";
  if (layer === "bn_conv1" || layer === "conv1_bn") return "bn1";
  const old = /^(res|bn)([2-5])([a-z])(\d*)_branch(1|2[a-c])$/.exec(layer);
  if (old !== null) {
    const [, kind, stage, letter, digits, branch] = old as unknown as [string, string, string, string, string, string];
    // Blocks are a, b, c … or, in the deep networks, a, b1, b2, b3 …
    const block = digits === "" ? letter.charCodeAt(0) - 97 : Number(digits);
    return inBlock(Number(stage) - 1, block, kind === "bn", branch === "1" ? 0 : branch.charCodeAt(1) - 96);
  }
  const recent = /^conv([2-5])_block(\d+)_([0-3])_(conv|bn)$/.exec(layer);
  if (recent !== null) {
    const [, stage, block, index, kind] = recent;
    return inBlock(Number(stage) - 1, Number(block) - 1, kind === "bn", Number(index));
  }
  return undefined;
}

/**
 * The torchvision name of a Keras weight (`res2a_branch2a/kernel`, also `model/res2a_branch2a/kernel:0`).
 *
 * @param head modules of the layers behind the pooling, whose names may be any
 */
export function fromKeras(weight: string, head: ReadonlyMap<string, string> = new Map()): string | undefined {
  const [layer, kind] = weight.replace(/:\d+$/, "").split("/").slice(-2);
  const module = head.get(layer ?? "") ?? fromKerasLayer(layer ?? "");
  const leaf = Object.hasOwn(KERAS_WEIGHTS, kind ?? "") ? KERAS_WEIGHTS[kind!] : undefined;
  return module === undefined || leaf === undefined ? undefined : `${module}.${leaf}`;
}

function inBlock(stage: number, block: number, isNorm: boolean, index: number): string {
  const leaf = index === 0 ? `downsample.${isNorm ? 1 : 0}` : `${isNorm ? "bn" : "conv"}${index}`;
  return `layer${stage}.${block}.${leaf}`;
}

const V2_BLOCK = /^stages\.(\d+)\.blocks\.(\d+)\.(?:(norm|conv)([123])|downsample\.conv)\./;

/** Most names of most files: they stay as they are, and nothing else needs to be looked for. */
const TORCHVISION =
  /^(?:conv1|bn1|layer\d+\.\d+\.(?:conv\d|bn\d|downsample\.\d))\.(?:weight|bias|running_mean|running_var|weight_scale)$/;

const HF_BLOCK =
  /^(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.(\d+)|shortcut)\.(convolution|normalization)\./;

/**
 * The torchvision name of a tensor in a PyTorch network, without what stands before the network: torchvision's and timm's own,
 * Hugging Face's, those of the CIFAR networks (`layer2.0.shortcut.0.weight`), and those of `nn.Sequential(*resnet.children())`.
 * A name that it does not know stays as it is; `undefined` for one to leave out (`num_batches_tracked` only counts training
 * steps, profilers add `total_ops` and `total_params`).
 *
 * @param isSequential whether children have numbers instead of names
 */
export function canonical(name: string, isSequential = false): string | undefined {
  if (!isSequential && TORCHVISION.test(name)) return name;
  if (/(?:^|\.)(?:num_batches_tracked|total_ops|total_params)$/.test(name)) return undefined;
  if (isSequential) {
    const [, child, rest] = /^(\d)\.(.+)$/.exec(name) ?? [];
    const module = { 0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4" }[child ?? ""];
    return module === undefined ? name : `${module}.${rest}`;
  }
  const block = HF_BLOCK.exec(name);
  if (block !== null) {
    const [prefix, stage, layer, index, kind] = block;
    const position = index === undefined ? 0 : Number(index) + 1;
    const module = inBlock(Number(stage) + 1, Number(layer), kind === "normalization", position);
    return `${module}.${name.slice(prefix.length)}`;
  }
  const v2 = V2_BLOCK.exec(name);
  if (v2 !== null) {
    const [prefix, stage, layer, kind, index] = v2;
    const module = inBlock(Number(stage) + 1, Number(layer), kind === "norm", Number(index ?? 0));
    return `${module}.${name.slice(prefix.length)}`;
  }
  return name
    .replace(/^stem\.conv\./, "conv1.")
    .replace(/^(layer\d+\.\d+)\.se_module\./, "$1.se.")
    .replace(/^(?:resnet\.)?embedder\.embedder\.convolution\./, "conv1.")
    .replace(/^(?:resnet\.)?embedder\.embedder\.normalization\./, "bn1.")
    .replace(/^(layer\d+\.\d+)\.shortcut\.([01])\./, "$1.downsample.$2.");
}
