/**
 * Class activation maps (Zhou et al. 2016, arXiv 1512.04150). A global average pool and a linear layer exchange with each other: the
 * logit of a class is the mean, over all places, of the class's weights times the features there, and its bias.
 */
import { BIAS_BYTES, HEADER_BYTES, PANEL_COLUMNS } from "../wasm/tile.js";
import { expectedGot, ModelError, OptionError } from "./errors.ts";
import type { Packed } from "./forward.ts";
import { type Graph, type LinearNode, type Node, nodeOf, outputNode } from "./graph.ts";
import { centreView } from "./image.ts";
import { unknownName } from "./near.ts";
import { classCount } from "./output.ts";
import { allFinite } from "./tensor.ts";
import { formOf } from "./variants.ts";

export interface HeatmapOptions {
  /** The class's index or label; the most probable one when absent. */
  readonly class?: number | string;
  /** `true` gives a map of the photo's own size, bilinear between the places' centres, 0 outside `area`. */
  readonly upsample?: boolean;
}

/** How much each place of a photo adds to the logit of a class, or, below 0, takes from it. */
export interface Heatmap {
  /** In the order of `shape`. Not upsampled, their mean and `bias` are the logit. */
  readonly data: Float32Array;
  /** That of the last features, 7×7 for a ResNet of 224×224; upsampled, that of the photo. */
  readonly shape: readonly [h: number, w: number];
  /** Of the class. */
  readonly index: number;
  /** The class's name, or its index as text where the model has none. */
  readonly label: string;
  /**
   * The class's logit. In f32 it is the mean of the map and the bias up to rounding (1e-4). An int8 network rounds its pooled features
   * before the last layer, and the map does not: it differs by as much as that changes the logit.
   */
  readonly logit: number;
  readonly bias: number;
  /** What the map covers of the photo, in its pixels, which need not be whole: all that the network sees of it. */
  readonly area: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  /** The upright photo's. */
  readonly width: number;
  readonly height: number;
}

/** What is to be computed for a heatmap, and what is made of it. */
export interface HeatmapPlan {
  /** The nodes whose outputs are wanted. */
  readonly names: readonly string[];
  /** Takes their outputs, and the photo's width and height. */
  heatmapOf(outputs: readonly Float32Array[]): Heatmap;
}

/** @param memory that the packed weights are in */
export function planHeatmap(
  { source, graph, weights, preprocess }: Packed,
  labels: readonly string[],
  memory: WebAssembly.Memory,
  { class: wanted, upsample = false }: HeatmapOptions,
): HeatmapPlan {
  const { features, linear } = endOf(source, graph);
  const classes = classCount(linear.shape[2], labels);
  const asked = wanted === undefined ? undefined : classOf(wanted, labels, classes);
  const form = formOf(weights.variants.get(linear.name)!.algorithm)!;
  const address = weights.addresses.get(linear.name)!;
  return {
    names: [features.name, linear.name],
    heatmapOf([values, logits, size]) {
      if (!allFinite(logits!)) {
        const hint = "its weights are damaged, or too large for f32";
        const message = expectedGot(`${source}: "${linear.name}"`, "finite numbers", "others", hint);
        throw new ModelError("not-finite", message, { subject: linear.name });
      }
      // One logit of two classes is the second's; the first's is what is missing to it.
      const isPair = classes > logits!.length;
      const index = asked ?? (isPair ? Number(logits![0]! > 0) : logits!.indexOf(Math.max(...logits!)));
      const sign = isPair && index === 0 ? -1 : 1;
      const output = isPair ? 0 : index;
      const { row, bias } = rowOf(memory.buffer, address, linear, form, output);
      const [h, w, c] = features.shape;
      const map = new Float32Array(h * w);
      for (let place = 0; place < h * w; ++place) {
        let sum = 0;
        for (let i = 0; i < c; ++i) sum += row[i]! * values![place * c + i]!;
        map[place] = sign * sum;
      }
      const [width, height] = [size![0]!, size![1]!];
      const { resized, left, top, ...view } = centreView({ width, height }, preprocess);
      const [across, down] = [width / resized[0], height / resized[1]];
      const area = { left: left * across, top: top * down, width: view.width * across, height: view.height * down };
      return {
        ...(upsample ? upsampled(map, [h, w], area, [height, width]) : { data: map, shape: [h, w] as const }),
        index,
        label: labels[index] ?? `${index}`,
        logit: sign * logits![output]!,
        bias: sign * bias,
        ...{ area, width, height },
      };
    },
  };
}

/** The last features and the layer that classifies their mean. */
function endOf(source: string, graph: Graph): { readonly features: Node; readonly linear: LinearNode } {
  const linear = outputNode(graph);
  const pool = linear.op === "linear" ? nodeOf(graph, linear.inputs[0]!) : undefined;
  const features = pool === undefined ? undefined : nodeOf(graph, pool.inputs[0]!);
  const isGlobal =
    pool !== undefined && (pool.op === "globalpool" || (features !== undefined && isMean(pool, features)));
  if (linear.op === "linear" && isGlobal) return { features: features!, linear };
  const expected = "a network that ends in a global average pool and a linear layer";
  throw new ModelError("unsupported", expectedGot(`${source}: heatmap`, expected, `one that ends in ${linear.op}`));
}

/** Whether a pool has one window, which is all of its input. */
function isMean(pool: Node, { shape: [h, w] }: Node): boolean {
  return pool.op === "avgpool" && pool.kernel[0] === h && pool.kernel[1] === w && pool.pads.every((pad) => pad === 0);
}

function classOf(wanted: number | string, labels: readonly string[], classes: number): number {
  if (typeof wanted === "string") {
    const plain = wanted.toLowerCase();
    const exact = labels.indexOf(wanted);
    // "tench, Tinca tinca" is called by either name.
    const isNamed = (label: string): boolean => label.toLowerCase().split(/,\s*/).includes(plain);
    const index = exact >= 0 ? exact : labels.findIndex(isNamed);
    if (index >= 0) return index;
    throw unknownName("class", "a label of the model, or an index", wanted, labels);
  }
  if (Number.isInteger(wanted) && wanted >= 0 && wanted < classes) return wanted;
  throw new OptionError("class", expectedGot("class", `an index from 0 to ${classes - 1}`, `${wanted}`));
}

/** The weights of one output of a linear layer in real numbers, and its bias, out of its panels (drawn in `assembly/product.ts`). */
function rowOf(
  buffer: ArrayBufferLike,
  address: number,
  { channels, int8 }: LinearNode,
  form: "f32" | "dot8" | "dot16",
  output: number,
): { readonly row: Float64Array; readonly bias: number } {
  const inputs = { f32: 1, dot8: 4, dot16: 2 }[form];
  const elementBytes = form === "f32" ? 4 : 1;
  const headerBytes = form === "f32" ? BIAS_BYTES : HEADER_BYTES;
  const cellBytes = PANEL_COLUMNS * inputs * elementBytes;
  const panelBytes = headerBytes + cellBytes * Math.ceil(channels / inputs);
  const column = output % PANEL_COLUMNS;
  const view = new DataView(buffer, address + panelBytes * Math.floor(output / PANEL_COLUMNS), panelBytes);
  const weight = (i: number): number => {
    const element = Math.floor(i / inputs) * PANEL_COLUMNS * inputs + column * inputs + (i % inputs);
    const at = headerBytes + element * elementBytes;
    return form === "f32" ? view.getFloat32(at, true) : view.getInt8(at);
  };
  // In int8, the logit is the sum of the products of units and the bias, times the scale.
  const scale = form === "f32" ? 1 : view.getFloat32(headerBytes / 2 + 4 * column, true);
  const unit = scale / (form === "f32" ? 1 : int8!.inputs[0]!);
  const bias = form === "f32" ? view.getFloat32(4 * column, true) : scale * view.getInt32(4 * column, true);
  return { row: Float64Array.from({ length: channels }, (_, i) => unit * weight(i)), bias };
}

/** The map at the photo's size: bilinear between the centres of places, the outermost to the area's edge. */
function upsampled(
  map: Float32Array,
  [h, w]: readonly [number, number],
  area: Heatmap["area"],
  [height, width]: readonly [number, number],
): Pick<Heatmap, "data" | "shape"> {
  const data = new Float32Array(height * width);
  const across = tapsOf(width, area.left, area.width, w);
  for (const { at: y, low: top, high: bottom, part: down } of tapsOf(height, area.top, area.height, h)) {
    for (const { at: x, low: left, high: right, part } of across) {
      const upper = map[top * w + left]! * (1 - part) + map[top * w + right]! * part;
      const lower = map[bottom * w + left]! * (1 - part) + map[bottom * w + right]! * part;
      data[y * width + x] = upper * (1 - down) + lower * down;
    }
  }
  return { data, shape: [height, width] };
}

/** For each pixel whose centre is in the area: the places on both sides of it, and the share of the second. */
function tapsOf(
  pixels: number,
  from: number,
  length: number,
  places: number,
): readonly { readonly at: number; readonly low: number; readonly high: number; readonly part: number }[] {
  return Array.from({ length: pixels }, (_, at) => at)
    .filter((at) => at + 0.5 >= from && at + 0.5 < from + length)
    .map((at) => {
      const place = ((at + 0.5 - from) / length) * places - 0.5;
      const clamped = Math.min(Math.max(place, 0), places - 1);
      const low = Math.floor(clamped);
      return { at, low, high: Math.min(low + 1, places - 1), part: clamped - low };
    });
}
