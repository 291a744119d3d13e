/**
 * What the files beside the weights say of a model: `config.json`, as Hugging Face's transformers and timm write it, and
 * `preprocessor_config.json`. Sources: transformers' `ResNetConfig`, `ConvNextImageProcessor` and its likes; timm's
 * `load_model_config_from_hf` and `transforms_imagenet_eval`.
 */
import type { Folder } from "../bytes.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "../formats/sniff.ts";
import type { OutputKind } from "../output.ts";
import { FILTERS, type Filter, type Preprocess, type Sides } from "../preprocess.ts";
import type { ModelHints } from "./metadata.ts";
import type { ResNetSpec } from "./resnet.ts";

const CONFIG = "config.json";
const PREPROCESSOR = "preprocessor_config.json";
const MAX_BYTES = 1 << 24;
const PREPROCESS_HINT = "choose the preprocessing with the option preprocess";
/** ConvNext's processor crops below this size only; from it on images are squashed. */
const CONVNEXT_CROPS_BELOW = 384;
/** Pillow's numbers for its filters. */
const PILLOW: readonly string[] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

type Json = Readonly<Record<string, unknown>>;

/** A file of the folder: its name for errors, and what is in it. */
interface Described {
  readonly where: string;
  readonly json: Json;
}

/**
 * Reads what the files beside the weights say. Files that are absent, or that describe no model, say nothing.
 *
 * @param folder the folder of the weights
 * @param wanted `preprocess: false` when the caller has preprocessing of its own: unsupported preprocessing in a file is then no error
 * @throws ModelError when a file describes a model of another kind, or preprocessing that is not supported
 */
export async function readConfig(folder: Folder, wanted: { readonly preprocess?: boolean } = {}): Promise<ModelHints> {
  const config = await readJson(folder, CONFIG);
  const processor = wanted.preprocess === false ? undefined : await readJson(folder, PREPROCESSOR);
  if (config !== undefined && typeof config.json.architecture === "string") {
    return readTimm(config, wanted.preprocess !== false);
  }
  const hints = config === undefined ? { said: [] } : readTransformers(config);
  const preprocess = processor === undefined ? undefined : readProcessor(processor);
  if (preprocess === undefined) return hints;
  return { ...hints, size: preprocess.crop, preprocess, said: [...hints.said, `preprocessing from ${PREPROCESSOR}`] };
}

/** A JSON object beside the weights; anything else under that name, such as a server's error page, counts as absent. */
async function readJson(folder: Folder, path: string): Promise<Described | undefined> {
  let bytes: Uint8Array;
  let where: string;
  try {
    const file = await folder.open(path);
    where = file.name;
    try {
      if (sniff(await file.read(0, Math.min(SNIFF_BYTES, file.size))) !== "json") return undefined;
      if (file.size > MAX_BYTES)
        throw new ModelError("metadata", expectedGot(where, `at most ${MAX_BYTES} bytes`, `${file.size}`));
      bytes = await file.read(0, file.size);
    } finally {
      await file.close();
    }
  } catch (error) {
    // A file that could not be fetched is not an absent one: without it answers may be others.
    if (error instanceof ModelError && !["metadata", "network", "integrity", "cache"].includes(error.code))
      return undefined;
    throw error;
  }
  try {
    return { where, json: JSON.parse(new TextDecoder().decode(bytes)) };
  } catch (error) {
    throw new ModelError("metadata", expectedGot(where, KIND_LABELS.json, (error as Error).message));
  }
}

/** transformers' description of a network. */
function readTransformers({ where, json }: Described): ModelHints {
  const { model_type: type } = json;
  if (typeof type !== "string") return { said: [] };
  if (type !== "resnet")
    throw new ModelError("architecture", expectedGot(where, 'model_type "resnet"', JSON.stringify(type)), {
      subject: "model_type",
    });
  const must = (key: string, expected: unknown): void => {
    const value = json[key] ?? expected;
    if (value !== expected)
      throw new ModelError("metadata", expectedGot(where, `${key} ${expected}`, show(value)), { subject: key });
  };
  must("hidden_act", "relu");
  const channels = json.num_channels ?? 3;
  if (channels !== 1 && channels !== 3) {
    throw new ModelError("metadata", expectedGot(where, "num_channels 1 or 3", show(channels)), {
      subject: "num_channels",
    });
  }
  must("downsample_in_first_stage", false);
  const block = json.layer_type ?? "bottleneck";
  if (block !== "basic" && block !== "bottleneck") {
    throw new ModelError("metadata", expectedGot(where, "layer_type basic or bottleneck", show(block)));
  }
  const depths = counts(where, "depths", json.depths ?? [3, 4, 6, 3]);
  const sizes = counts(where, "hidden_sizes", json.hidden_sizes ?? [256, 512, 1024, 2048]);
  const [width] = counts(where, "embedding_size", [json.embedding_size ?? 64]) as [number];
  const expansion = block === "bottleneck" ? 4 : 1;
  const expected = depths.map((_, stage) => width * expansion * 2 ** stage);
  if (show(sizes) !== show(expected)) {
    throw new ModelError(
      "metadata",
      expectedGot(where, `hidden_sizes ${show(expected)}, doubling from stage to stage`, show(sizes)),
    );
  }
  const labels = labelsOf(where, "id2label", json.id2label);
  const spec: Partial<ResNetSpec> = {
    block,
    depths,
    stem: "imagenet",
    width,
    shortcut: "B",
    groups: 1,
    groupWidth: 64,
    stride: json.downsample_in_bottleneck === true ? "1x1" : "3x3",
    squeeze: false,
    preact: false,
    ...(labels === undefined ? {} : { classes: labels.length }),
  };
  const said = [`network from ${CONFIG}`, ...(labels === undefined ? [] : [`labels from ${CONFIG}`])];
  const output = outputOf(where, json.problem_type);
  return { spec, ...(labels === undefined ? {} : { labels }), ...(output === undefined ? {} : { output }), said };
}

/** What `problem_type` says of the output (transformers, `PretrainedConfig`). */
function outputOf(where: string, problem: unknown): OutputKind | undefined {
  if (problem === undefined || problem === null) return undefined;
  const kind = typeof problem === "string" && Object.hasOwn(PROBLEMS, problem) ? PROBLEMS[problem] : undefined;
  if (kind !== undefined) return kind;
  const known = Object.keys(PROBLEMS).join(", ");
  throw new ModelError("metadata", expectedGot(where, `a problem_type of ${known}`, show(problem)));
}

const PROBLEMS: Readonly<Record<string, OutputKind>> = {
  single_label_classification: "softmax",
  multi_label_classification: "sigmoid",
  regression: "none",
};

/** Arguments of timm's models that change nothing in inference, or that the tensors say. */
const HARMLESS_ARGS =
  /^(?:num_classes|in_chans|pretrained|drop\w*|zero_init_last|img_size|scriptable|exportable|cache_dir)$/;

/**
 * Checks what timm's configuration says of layers without weights.
 *
 * @throws ModelError for a pooling, an activation or another argument that makes a network other than the table's
 */
function checkTimmArgs(where: string, json: Json): void {
  const args = json.model_args ?? {};
  if (!isObject(args)) throw new ModelError("metadata", expectedGot(where, "an object as model_args", show(args)));
  for (const [key, value] of [...Object.entries(args), ["global_pool", json.global_pool] as const]) {
    if (value === undefined || value === null || HARMLESS_ARGS.test(key)) continue;
    if (key === "global_pool" && value === "avg") continue;
    if (key === "act_layer" && /^(?:nn\.)?relu$/i.test(String(value))) continue;
    const expected = key === "global_pool" ? `"avg"` : key === "act_layer" ? `"relu"` : "the architecture's own";
    throw new ModelError("metadata", expectedGot(where, `${key} ${expected}`, show(value)), { subject: key });
  }
}

/** timm's description of a network and its preprocessing; old ones have both in one object. */
function readTimm({ where, json }: Described, wantsPreprocess: boolean): ModelHints {
  const pretrained = isObject(json.pretrained_cfg) ? json.pretrained_cfg : json;
  checkTimmArgs(where, json);
  // What follows the dot, or went before the name, says how it was trained.
  const arch = String(json.architecture).replace(/^(?:tv|ssl|swsl)_|\..*$/g, "");
  const classes = json.num_classes ?? pretrained.num_classes;
  const names = json.label_names ?? pretrained.label_names ?? json.labels ?? undefined;
  const descriptions = json.label_descriptions ?? pretrained.label_descriptions;
  const labels = labelsOf(where, "label_names", names)?.map((name) => {
    // Names may be ImageNet's synsets; descriptions are for people.
    const description = isObject(descriptions) && Object.hasOwn(descriptions, name) ? descriptions[name] : undefined;
    return typeof description === "string" ? description : name;
  });
  const preprocess = wantsPreprocess ? timmPreprocess(where, pretrained) : undefined;
  // No classes: a backbone that was saved without its head.
  const isHeadless = classes === 0;
  const spec = classes === undefined || isHeadless ? {} : { classes: counts(where, "num_classes", [classes])[0]! };
  return {
    arch,
    spec,
    ...(isHeadless ? { output: "none" as const } : {}),
    ...(preprocess === undefined ? {} : { size: preprocess.crop, preprocess }),
    ...(labels === undefined ? {} : { labels }),
    said: [
      `network from ${CONFIG}`,
      ...(preprocess === undefined ? [] : [`preprocessing from ${CONFIG}`]),
      ...(labels === undefined ? [] : [`labels from ${CONFIG}`]),
    ],
  };
}

function timmPreprocess(where: string, json: Json): Preprocess | undefined {
  if (json.input_size === undefined || json.mean === undefined) return undefined;
  const [channels, height, width] = counts(where, "input_size", json.input_size);
  if ((channels !== 1 && channels !== 3) || height === undefined || width === undefined) {
    throw new ModelError("metadata", expectedGot(where, "input_size [3 or 1, height, width]", show(json.input_size)));
  }
  const mode = json.crop_mode ?? "center";
  if (mode !== "center" && mode !== "squash") {
    throw new ModelError("metadata", expectedGot(where, 'crop_mode "center" or "squash"', show(mode), PREPROCESS_HINT));
  }
  const share = shareOf(where, json.crop_pct ?? 0.875);
  return {
    resize: [Math.floor(height / share), Math.floor(width / share)],
    squash: mode === "squash",
    crop: [height, width],
    filter: filterOf(where, "interpolation", json.interpolation ?? "bicubic"),
    mean: perChannel(where, "mean", json.mean, channels),
    std: deviations(where, "std", json.std, channels),
    order: channels === 1 ? "gray" : "rgb",
  };
}

/** transformers' description of preprocessing. */
function readProcessor({ where, json }: Described): Preprocess | undefined {
  const type = String(
    json.image_processor_type ?? json.feature_extractor_type ?? (json.crop_size === undefined ? "ConvNext" : ""),
  );
  // timm's own is in config.json.
  if (type.startsWith("TimmWrapper")) return undefined;
  if (json.do_resize === false)
    throw new ModelError("metadata", expectedGot(where, "do_resize true", "false", PREPROCESS_HINT));
  // Pixels of 0…255 are multiplied by this; ours are of 0…1.
  const factor = json.do_rescale === false ? 1 : (json.rescale_factor ?? 1 / 255);
  if (typeof factor !== "number" || !(factor > 0)) {
    throw new ModelError("metadata", expectedGot(where, "a rescale_factor above 0", show(factor)));
  }
  const scale = Math.abs(factor * 255 - 1) < 1e-6 ? 1 : factor * 255;
  const normalizes = json.do_normalize !== false;
  const mean = normalizes ? perChannel(where, "image_mean", json.image_mean ?? 0.5, 3) : [0, 0, 0];
  const std = normalizes ? deviations(where, "image_std", json.image_std ?? 0.5, 3) : [1, 1, 1];
  return {
    ...windowOf(where, type, json),
    filter: filterOf(where, "resample", json.resample ?? (type.startsWith("ViT") ? 2 : 3)),
    mean: mean.map((value) => value / scale),
    std: std.map((value) => value / scale),
    order: json.do_flip_channel_order === true ? "bgr" : "rgb",
  };
}

/** The sides before and after the crop. */
function windowOf(where: string, type: string, json: Json): Pick<Preprocess, "resize" | "squash" | "crop"> {
  const { size, crop_size: cropSize } = json;
  const both = (side: number): Sides => [side, side];
  const squashed = (sides: Sides) => ({ resize: sides, squash: true, crop: sides });
  if (type.startsWith("ConvNext")) {
    const shorter = isObject(size) ? size.shortest_edge : size;
    const [edge] = counts(where, "size", [shorter]) as [number];
    if (edge >= CONVNEXT_CROPS_BELOW) return squashed(both(edge));
    return { resize: both(Math.floor(edge / shareOf(where, json.crop_pct ?? 0.875))), squash: false, crop: both(edge) };
  }
  const sidesOf = (key: string, value: unknown): Sides => {
    const list = isObject(value) ? [value.height, value.width] : [value, value];
    return counts(where, key, list) as unknown as Sides;
  };
  const isShorter = isObject(size) ? size.shortest_edge !== undefined : size !== undefined && cropSize !== undefined;
  const resize = isShorter
    ? both(counts(where, "size", [isObject(size) ? size.shortest_edge : size])[0]!)
    : sidesOf("size", size);
  // Processors without a crop size, ViT's, resize to the input itself.
  const crops = json.do_center_crop !== false && cropSize !== undefined;
  if (!crops && isShorter) {
    const got = "a shorter side only, which leaves the other open";
    throw new ModelError(
      "metadata",
      expectedGot(where, "a crop_size, or a size with height and width", got, PREPROCESS_HINT),
    );
  }
  const crop = crops ? sidesOf("crop_size", cropSize) : resize;
  if (crop.some((side, i) => side > resize[i]!)) {
    const expected = `a crop_size of at most ${show(resize)}`;
    throw new ModelError("metadata", expectedGot(where, expected, show(crop), PREPROCESS_HINT));
  }
  return { resize, squash: !isShorter, crop };
}

function filterOf(where: string, key: string, value: unknown): Filter {
  const name = typeof value === "number" ? PILLOW[value] : value;
  const filter = FILTERS.find((each) => each === name);
  if (filter !== undefined) return filter;
  throw new ModelError(
    "metadata",
    expectedGot(where, `${key}: one of ${FILTERS.join(", ")}`, show(name ?? value), PREPROCESS_HINT),
    { subject: key },
  );
}

function shareOf(where: string, value: unknown): number {
  if (typeof value === "number" && value > 0.1 && value <= 1) return value;
  throw new ModelError("metadata", expectedGot(where, "a crop_pct above 0.1, to 1", show(value), PREPROCESS_HINT));
}

/** Class names from an array, or from an object by index. */
function labelsOf(where: string, key: string, value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  const items = Array.isArray(value) ? value.map((label, i) => [`${i}`, label]) : Object.entries(value);
  const byIndex = new Map(items as [string, unknown][]);
  const labels = Array.from({ length: byIndex.size }, (_, i) => byIndex.get(`${i}`));
  if (typeof value === "object" && labels.length > 0 && labels.every((label) => typeof label === "string")) {
    return labels;
  }
  throw new ModelError("metadata", expectedGot(where, `${key} with a name for each class, from 0`, show(value)), {
    subject: key,
  });
}

/** Whole numbers above 0, of a size that networks have. */
function counts(where: string, key: string, value: unknown): readonly number[] {
  const isGood = Array.isArray(value) && value.length > 0 && value.length <= 16;
  if (isGood && value.every((count) => Number.isInteger(count) && count > 0 && count <= 1e6)) return value;
  throw new ModelError("metadata", expectedGot(where, `${key} of whole numbers above 0`, show(value)), {
    subject: key,
  });
}

/** One number a channel, or one for all. */
function perChannel(where: string, key: string, value: unknown, channels: 1 | 3): readonly number[] {
  const numbers = typeof value === "number" ? new Array<number>(channels).fill(value) : value;
  if (Array.isArray(numbers) && numbers.length === channels && numbers.every(Number.isFinite)) return numbers;
  throw new ModelError("metadata", expectedGot(where, `${key} of ${channels} numbers`, show(value)), { subject: key });
}

function deviations(where: string, key: string, value: unknown, channels: 1 | 3): readonly number[] {
  const numbers = perChannel(where, key, value, channels);
  if (numbers.every((number) => number > 0)) return numbers;
  throw new ModelError("metadata", expectedGot(where, `${key} of ${channels} numbers above 0`, show(value)), {
    subject: key,
  });
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as an error shows it, never longer than a line. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
