/**
 * TensorFlow.js layers models: a `model.json` (Keras's description of the network, and a manifest of its weights) with
 * the weights' bytes in shards beside it. Only ResNets, whose layers have Keras's well-known names, can be read.
 * Kernels are HWIO; they are described with strides, never transposed.
 */
import { type ByteSource, concat, type Folder } from "../bytes.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { expectedGot, ModelError } from "../errors.ts";
import { DTYPE_BYTES, type Dtype, type TensorInfo } from "../tensor.ts";
import { type KerasHead, type KerasLayer, kerasHead } from "./keras-head.ts";
import { fromKeras, fromKerasLayer } from "./names.ts";
import { KIND_LABELS, SNIFF_BYTES, sniff } from "./sniff.ts";

/** Keras's default when a batch norm does not say. */
const DEFAULT_EPSILON = 1e-3;
const RE_EXPORT = "export it again with tensorflowjs_converter --output_format tfjs_layers_model";

type Json = Readonly<Record<string, unknown>>;

/** A weight in the manifest, and where its bytes are in its group. */
interface Weight {
  readonly name: string;
  readonly info: TensorInfo;
  readonly offset: number;
  readonly bytes: number;
}

interface Group {
  readonly paths: readonly string[];
  readonly weights: readonly Weight[];
  readonly bytes: number;
}

/**
 * Opens the TensorFlow.js layers model `entry` of `folder` and checks its manifest against its shards.
 *
 * Metadata: `format` "tfjs"; `output_kind`, where probabilities come last: the network then ends before them; `norm_epsilon`, the batch norms' epsilon; `stride_in_1x1`, "true" when bottlenecks
 * have their stride on the first 1×1 (v1), "false" when on the 3×3 (v1.5), absent when the network has neither.
 *
 * Throws `ModelError` naming the file, layer, weight or shard at fault.
 */
export async function openTfjs(folder: Folder, entry: string): Promise<Checkpoint> {
  const { where, json } = await readJson(folder, entry);
  const layers = readLayers(where, json);
  const head = kerasHead(where, layers);
  const groups = readManifest(where, json, head);
  const parts = new Map<string, { weight: Weight; group: ByteSource }>();
  const opened: ByteSource[] = [];
  const close = async () => {
    await Promise.all(opened.map((source) => source.close()));
  };
  try {
    const directory = entry.slice(0, entry.lastIndexOf("/") + 1);
    for (const group of groups) {
      const source = await openShards(folder, directory, where, group, opened);
      for (const weight of group.weights) {
        if (parts.has(weight.name)) {
          throw new ModelError("malformed", expectedGot(where, `one weight for "${weight.name}"`, "two"), {
            subject: weight.name,
          });
        }
        parts.set(weight.name, { weight, group: source });
      }
    }
    const metadata = {
      format: "tfjs",
      ...normEpsilon(where, layers),
      ...strideIn1x1(where, layers),
      ...(head.output === undefined ? {} : { output_kind: head.output }),
    };
    checkPadding(where, layers);
    return {
      tensors: new Map([...parts].map(([name, { weight }]) => [name, weight.info])),
      metadata,
      async read(name) {
        const part = parts.get(name);
        if (part === undefined)
          throw new ModelError("tensor-missing", expectedGot(where, `a weight "${name}"`, "none of that name"), {
            subject: name,
          });
        return part.group.read(part.weight.offset, part.weight.bytes);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readJson(folder: Folder, entry: string): Promise<{ where: string; json: Json }> {
  const source = await folder.open(entry);
  const where = source.name;
  try {
    const bytes = await source.read(0, source.size);
    const kind = sniff(bytes.subarray(0, SNIFF_BYTES));
    if (kind !== "json")
      throw new ModelError("not-a-model", expectedGot(where, "the JSON of a TensorFlow.js model", KIND_LABELS[kind]));
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!isObject(json)) throw new ModelError("malformed", expectedGot(where, "a JSON object", "another value"));
    return { where, json };
  } catch (error) {
    if (error instanceof SyntaxError) throw new ModelError("malformed", expectedGot(where, "JSON", error.message));
    throw error;
  } finally {
    await source.close();
  }
}

function readLayers(where: string, json: Json): KerasLayer[] {
  const { format, modelTopology: topology } = json;
  if (format === "graph-model" || (isObject(topology) && Array.isArray(topology.node))) {
    throw new ModelError("unsupported", expectedGot(where, "a TensorFlow.js layers model", "a graph model", RE_EXPORT));
  }
  if (!isObject(topology)) throw new ModelError("malformed", expectedGot(where, "a modelTopology", "none", RE_EXPORT));
  const layers = layersOf(topology.model_config ?? topology);
  if (layers.length === 0) throw new ModelError("malformed", expectedGot(where, "layers in modelTopology", "none"));
  return layers;
}

/** Every layer of a model, those of models inside it included. */
function layersOf(model: unknown): KerasLayer[] {
  if (!isObject(model)) return [];
  const { config } = model;
  const items = isObject(config) ? config.layers : config;
  if (!Array.isArray(items)) return [];
  return items.flatMap((item): KerasLayer[] => {
    if (!isObject(item) || !isObject(item.config)) return [];
    const inner = layersOf(item);
    if (inner.length > 0) return inner;
    return [{ kind: String(item.class_name), name: String(item.name ?? item.config.name ?? ""), config: item.config }];
  });
}

function readManifest(where: string, json: Json, head: KerasHead): Group[] {
  const { weightsManifest: manifest } = json;
  if (!Array.isArray(manifest) || manifest.length === 0) {
    throw new ModelError("malformed", expectedGot(where, "a weightsManifest with at least one group", "none"));
  }
  return manifest.map((group: unknown, i): Group => {
    const paths = isObject(group) ? group.paths : undefined;
    const items = isObject(group) ? group.weights : undefined;
    if (!Array.isArray(paths) || !paths.every((path) => typeof path === "string") || !Array.isArray(items)) {
      throw new ModelError(
        "malformed",
        expectedGot(where, `paths and weights in weightsManifest[${i}]`, "something else"),
      );
    }
    const weights: Weight[] = [];
    let offset = 0;
    for (const item of items) {
      const weight = readWeight(where, item, offset, head);
      offset += weight.bytes;
      weights.push(weight);
    }
    return { paths, weights, bytes: offset };
  });
}

function readWeight(file: string, item: unknown, offset: number, head: KerasHead): Weight {
  if (!isObject(item) || typeof item.name !== "string") {
    throw new ModelError("malformed", expectedGot(file, "a named weight in weightsManifest", "one without a name"));
  }
  const where = `${file}: "${item.name}"`;
  const name = fromKeras(item.name, head.modules);
  if (name === undefined) {
    const expected = "a weight of a Keras ResNet (res2a_branch2a/kernel, conv2_block1_1_conv/kernel …)";
    throw new ModelError("unsupported", expectedGot(where, expected, "a name that no ResNet of Keras has"), {
      subject: item.name,
    });
  }
  const dtype = readDtype(where, item);
  const { shape } = item;
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new ModelError(
      "malformed",
      expectedGot(where, "a shape of whole numbers", JSON.stringify(shape) ?? "nothing"),
      { subject: item.name },
    );
  }
  const bytes = shape.reduce((product: number, size: number) => product * size, DTYPE_BYTES[dtype]);
  if (!Number.isSafeInteger(bytes))
    throw new ModelError("malformed", expectedGot(where, "a shape that fits", `[${shape}]`), { subject: item.name });
  return { name, info: { dtype, ...torchLayout(where, item.name, shape) }, offset, bytes };
}

/** float32, or float32 stored as float16; TensorFlow.js scales its integer quantisations, which nothing here undoes. */
function readDtype(where: string, { dtype, quantization }: Json): Dtype {
  if (dtype !== "float32") throw new ModelError("unsupported", expectedGot(where, "float32", String(dtype)));
  if (quantization === undefined) return "F32";
  const stored = isObject(quantization) ? quantization.dtype : quantization;
  if (stored === "float16") return "F16";
  const hint = "export it again without quantisation, or with --quantize_float16";
  throw new ModelError(
    "unsupported",
    expectedGot(where, "float32 or float16 in the file", `${stored} quantisation`, hint),
  );
}

/** Keras's conv `[h, w, i, o]` as `[o, i, h, w]` and dense `[in, out]` as `[out, in]`, in place. */
function torchLayout(
  where: string,
  name: string,
  shape: readonly number[],
): { shape: readonly number[]; strides?: readonly number[] } {
  const isKernel = /\/kernel(?::\d+)?$/.test(name);
  if (isKernel && shape.length === 4) {
    const [h, w, i, o] = shape as [number, number, number, number];
    return { shape: [o, i, h, w], strides: [1, o, w * i * o, i * o] };
  }
  if (isKernel && shape.length === 2) {
    const [inputs, outputs] = shape as [number, number];
    return { shape: [outputs, inputs], strides: [1, outputs] };
  }
  if (!isKernel && shape.length === 1) return { shape };
  throw new ModelError(
    "malformed",
    expectedGot(where, isKernel ? "2 or 4 dimensions" : "1 dimension", `[${shape.join(", ")}]`),
    { subject: name },
  );
}

async function openShards(
  folder: Folder,
  directory: string,
  where: string,
  group: Group,
  opened: ByteSource[],
): Promise<ByteSource> {
  const shards: ByteSource[] = [];
  for (const path of group.paths) {
    const shard = await folder.open(directory + path);
    opened.push(shard);
    shards.push(shard);
  }
  const whole = concat(where, shards);
  if (whole.size === group.bytes) return whole;
  const culprit = await damagedShard(shards, whole.size < group.bytes);
  if (culprit === undefined) {
    throw new ModelError("malformed", expectedGot(where, `shards for ${group.bytes} bytes of weights`, "no shard"));
  }
  const kind = sniff(await culprit.read(0, Math.min(SNIFF_BYTES, culprit.size)));
  const bytes = `${culprit.size} bytes`;
  const got = kind === "html" || kind === "lfs" ? `${KIND_LABELS[kind]} of ${bytes}` : bytes;
  const expected = `${culprit.size + group.bytes - whole.size} bytes`;
  throw new ModelError(
    "truncated",
    expectedGot(culprit.name, expected, got, "the shard is damaged; fetch the model again"),
    { subject: culprit.name },
  );
}

/** The shard to blame: one that is a web page, else the first not as long as the longest, else the last. */
async function damagedShard(shards: readonly ByteSource[], isShort: boolean): Promise<ByteSource | undefined> {
  for (const shard of shards) {
    const kind = sniff(await shard.read(0, Math.min(SNIFF_BYTES, shard.size)));
    if (kind === "html" || kind === "lfs" || kind === "empty") return shard;
  }
  const last = shards.at(-1);
  const sizes = shards.slice(0, -1).map((shard) => shard.size);
  // All shards but the last are of one size, which a damaged one is below or above.
  const regular = isShort ? Math.max(...sizes) : Math.min(...sizes);
  return shards.slice(0, -1).find((shard) => shard.size !== regular) ?? last;
}

function normEpsilon(where: string, layers: readonly KerasLayer[]): { norm_epsilon?: string } {
  const norms = layers.filter(({ kind }) => /BatchNormalization/.test(kind));
  const values = new Set(norms.map(({ config }) => Number(config.epsilon ?? DEFAULT_EPSILON)));
  if (values.size > 1) {
    throw new ModelError(
      "unsupported",
      expectedGot(where, "one epsilon in all batch norms", [...values].join(" and ")),
    );
  }
  const [epsilon] = values;
  return epsilon === undefined ? {} : { norm_epsilon: String(epsilon) };
}

function strideIn1x1(where: string, layers: readonly KerasLayer[]): { stride_in_1x1?: "true" | "false" } {
  const found = new Set<"true" | "false">();
  for (const { name, config } of layers) {
    const conv = /^layer\d+\.\d+\.(conv[12])$/.exec(fromKerasLayer(name) ?? "")?.[1];
    if (conv === undefined || largest(config.strides) < 2) continue;
    if (conv === "conv2") found.add("false");
    else if (largest(config.kernel_size) === 1) found.add("true");
  }
  if (found.size > 1)
    throw new ModelError("unsupported", expectedGot(where, "one place for the strides", "1×1 and 3×3 both"));
  const [value] = found;
  return value === undefined ? {} : { stride_in_1x1: value };
}

/** TensorFlow's "same" pads a strided window on its far side only, which is another network than torchvision's. */
function checkPadding(where: string, layers: readonly KerasLayer[]): void {
  for (const { kind, name, config } of layers) {
    const window = kind === "MaxPooling2D" ? config.pool_size : config.kernel_size;
    if (config.padding !== "same" || largest(window) < 2 || largest(config.strides) < 2) continue;
    throw new ModelError(
      "unsupported",
      expectedGot(`${where}: "${name}"`, 'padding "valid" after a ZeroPadding2D', '"same" with a stride'),
      { subject: name },
    );
  }
}

function largest(sizes: unknown): number {
  return Array.isArray(sizes) ? Math.max(...sizes.map(Number)) : Number(sizes ?? 1);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
