/**
 * What a model says about itself beside its weights: the network, the preprocessing, the class names. This project's
 * safetensors files hold it in `__metadata__`, so that the file alone is enough.
 *
 * Keys, all of them strings: `architecture` a name; `spec` a `ResNetSpec` as JSON, or `graph` a `Graph` as JSON where
 * the network is no ResNet of the table; `size` of the input; `norm_epsilon`; `preprocess` a `Preprocess` as JSON; `labels` a
 * JSON array; `output_kind` an `OutputKind`. A file has them all or is another program's: what that means by such keys is not known.
 */

import { expectedGot, ModelError } from "../errors.ts";
import { type Graph, inputShape } from "../graph.ts";
import { OUTPUT_KINDS, type OutputKind } from "../output.ts";
import { checkPreprocess, type Preprocess, type Sides } from "../preprocess.ts";
import type { ResNetSpec } from "./resnet.ts";

/** What is said about a model, by its file or by those beside it. */
export interface ModelHints {
  /** A name of `RESNETS`, or another that its maker gave it. */
  readonly arch?: string;
  readonly spec?: Partial<ResNetSpec>;
  readonly graph?: Graph;
  /** Of the input. */
  readonly size?: number | Sides;
  /** Of every batch norm. */
  readonly epsilon?: number;
  readonly preprocess?: Preprocess;
  readonly labels?: readonly string[];
  /** What the network's last numbers mean. */
  readonly output?: OutputKind;
  /** Where each hint comes from: "preprocessing from preprocessor_config.json". */
  readonly said: readonly string[];
}

/** The parts of a model that its metadata holds. */
export interface Described {
  readonly arch: string;
  readonly spec: ResNetSpec | undefined;
  readonly graph: Graph;
  readonly preprocess: Preprocess;
  readonly labels: readonly string[];
}

/** A model's metadata, for `writeSafetensors`. */
export function writeMetadata({ arch, spec, graph, preprocess, labels }: Described): Record<string, string> {
  const norm = graph.nodes.find((node) => node.op === "norm");
  const [h, w] = inputShape(graph);
  return {
    format: "pt",
    architecture: arch,
    ...(spec === undefined ? { graph: graphToJson(graph) } : { spec: JSON.stringify(spec) }),
    size: h === w ? `${h}` : `${h}x${w}`,
    ...(norm === undefined ? {} : { norm_epsilon: `${norm.epsilon}` }),
    preprocess: JSON.stringify(preprocess),
    ...(labels.length === 0 ? {} : { labels: JSON.stringify(labels) }),
    ...(graph.output === undefined ? {} : { output_kind: graph.output }),
  };
}

/** Infinities, which clamps are made of and JSON has none of, as text. */
export function graphToJson(graph: Graph): string {
  return JSON.stringify(graph, (_, value) => (Math.abs(value) === Number.POSITIVE_INFINITY ? `${value}` : value));
}

/** Whether the metadata is this project's own, whose keys must hold what they should. */
export function isOwn(metadata: Readonly<Record<string, string>>): boolean {
  return metadata.architecture !== undefined && (metadata.spec !== undefined || metadata.graph !== undefined);
}

/**
 * Reads what `writeMetadata` wrote. Of other files only `norm_epsilon` and `stride_in_1x1` are read, which this project's readers
 * of other formats set, and what is labels or preprocessing without doubt.
 *
 * @throws ModelError when a key does not hold what it should
 */
export async function readMetadata(where: string, metadata: Readonly<Record<string, string>>): Promise<ModelHints> {
  if (isOwn(metadata)) return readOwn(where, metadata);
  const isMeant: Readonly<Record<string, (text: string) => boolean>> = {
    norm_epsilon: (text) => Number(text) > 0,
    stride_in_1x1: (text) => text === "true" || text === "false",
    preprocess: (text) => isObject(parsed(text)),
    labels: (text) => isTexts(parsed(text)),
    output_kind: (text) => OUTPUT_KINDS.some((kind) => kind === text),
  };
  const entries = Object.entries(metadata).filter(([key, text]) => Object.hasOwn(isMeant, key) && isMeant[key]!(text));
  return readOwn(where, Object.fromEntries(entries));
}

/** The value of a JSON text; undefined for another text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

async function readOwn(where: string, metadata: Readonly<Record<string, string>>): Promise<ModelHints> {
  const json = (key: string): unknown => {
    const text = metadata[key];
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new ModelError(
        "metadata",
        expectedGot(`${where}: __metadata__`, `JSON as "${key}"`, (error as Error).message),
        { subject: key },
      );
    }
  };
  const fail = (key: string, expected: string): never => {
    throw new ModelError(
      "metadata",
      expectedGot(`${where}: __metadata__`, `${expected} as "${key}"`, metadata[key]!.slice(0, 80)),
      { subject: key },
    );
  };
  const spec = json("spec");
  if (spec !== undefined && !isSpec(spec)) fail("spec", "a ResNet's description");
  const described = json("preprocess");
  const preprocess =
    described === undefined
      ? undefined
      : checkPreprocess(described, (field, expected) =>
          fail("preprocess", field === "" ? expected : `${field}: ${expected}`),
        );
  const labels = json("labels");
  if (labels !== undefined && !isTexts(labels)) fail("labels", "an array of names");
  const graph = json("graph");
  const output = metadata.output_kind;
  if (output !== undefined && !OUTPUT_KINDS.some((kind) => kind === output))
    fail("output_kind", OUTPUT_KINDS.join(", "));
  const number = (key: string): number | undefined => {
    const text = metadata[key];
    if (text === undefined) return undefined;
    const value = Number(text);
    return value > 0 && value < 1e9 ? value : fail(key, "a number above 0");
  };
  const epsilon = number("norm_epsilon");
  const sides = metadata.size?.match(/^(\d+)x(\d+)$/);
  const size = sides ? ([Number(sides[1]), Number(sides[2])] as const) : number("size");
  const stride = metadata.stride_in_1x1 === undefined ? {} : { stride: strideOf(metadata.stride_in_1x1) };
  return {
    ...(metadata.architecture === undefined || spec === undefined ? {} : { arch: metadata.architecture }),
    ...(spec === undefined ? { spec: stride } : { spec: spec as ResNetSpec }),
    ...(graph === undefined ? {} : { graph: await readGraph(where, graph) }),
    ...(size === undefined ? {} : { size }),
    ...(epsilon === undefined ? {} : { epsilon }),
    ...(preprocess === undefined ? {} : { preprocess }),
    ...(labels === undefined ? {} : { labels: labels as string[] }),
    ...(output === undefined ? {} : { output: output as OutputKind }),
    said: [],
  };
}

async function readGraph(where: string, value: unknown): Promise<Graph> {
  const { graphFromJson } = await import("./stored-graph.ts");
  return graphFromJson(where, value);
}

function strideOf(text: string): ResNetSpec["stride"] {
  return text === "true" ? "1x1" : "3x3";
}

function isSpec(value: unknown): value is ResNetSpec {
  const spec = value as ResNetSpec;
  return (
    typeof value === "object" &&
    value !== null &&
    ["basic", "bottleneck"].includes(spec.block) &&
    Array.isArray(spec.depths) &&
    spec.depths.length <= 8 &&
    spec.depths.every((depth) => Number.isInteger(depth) && depth > 0 && depth < 1000) &&
    ["imagenet", "deep", "cifar"].includes(spec.stem) &&
    ["A", "B", "C", "D", "none"].includes(spec.shortcut) &&
    ["3x3", "1x1"].includes(spec.stride) &&
    [spec.width, spec.groups, spec.groupWidth, spec.classes].every((count) => Number.isFinite(count) && count > 0) &&
    typeof spec.squeeze === "boolean" &&
    typeof spec.preact === "boolean"
  );
}
