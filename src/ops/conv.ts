/** Convolution, with whatever batch norm, addition and clamp were folded into it. */
import { BIAS_BYTES, CELL_BYTES, PANEL_COLUMNS, TAIL_BYTES, WEIGHT_BYTES } from "../../wasm/tile.js";
import { type ConvNode, NO_CLAMP } from "../graph.ts";
import { type Step, step } from "../tape.ts";
import { panelsOf, type Variant } from "../variants.ts";
import { chunkRows, productUnits, wgradRows, wgradScratch } from "./gemm.ts";
import {
  bounds,
  normAffine,
  normParams,
  type Op,
  type Packer,
  type Param,
  type Place,
  type TrainOp,
  type TrainPlace,
} from "./op.ts";
import { winogradSteps, winogradWeightGradient } from "./winograd.ts";

async function pack(node: ConvNode, address: number, packer: Packer): Promise<void> {
  const { algorithm, weightBytes } = packer.variant(node.name);
  if (await packer.panels(node.name, address, weightBytes(node))) return;
  const [kh, kw] = node.kernel;
  const outputs = node.shape[2];
  const scale = new Float64Array(outputs).fill(1);
  const bias = new Float64Array(outputs);
  if (node.bias) bias.set(await packer.values(`${node.name}.bias`));
  if (node.norm !== undefined) {
    const norm = await normAffine(node.norm.name, node.norm.epsilon, packer);
    for (let i = 0; i < outputs; ++i) {
      scale[i] = norm.scale[i]!;
      bias[i] = norm.shift[i]! + bias[i]! * norm.scale[i]!;
    }
  }
  const weight = await packer.tensor(`${node.name}.weight`);
  const c = node.channels / node.groups;
  const [so, si, sv = 0, su = 0] = weight.info.strides ?? [c * kh * kw, kh * kw, kw, 1];
  const strides = { so: so!, si: si!, sv, su };
  const sources = {
    weights: weight.address,
    scale: packer.put(new Float32Array(scale)),
    bias: packer.put(new Float32Array(bias)),
  };
  if (algorithm === "winograd2" || algorithm === "winograd4") {
    const kernel = algorithm === "winograd4" ? "winograd4_transform_weights_f32" : "winograd2_transform_weights_f32";
    packer.run(
      step(node.name, kernel, outputs / PANEL_COLUMNS, {
        scratch: packer.scratch(WEIGHT_BYTES),
        n: outputs,
        c,
        ...strides,
        ...sources,
        out: address,
      }),
    );
    return;
  }
  const n = outputs / node.groups;
  packer.run(step(node.name, "pack_f32", panelsOf(node), { n, c, kh, kw, ...strides, ...sources, out: address }));
}

/** What the kernels of a convolution need to know of its shape, by their arguments' names. */
export interface Geometry {
  readonly batch: number;
  readonly h: number;
  readonly w: number;
  readonly c: number;
  readonly oh: number;
  readonly ow: number;
  readonly n: number;
  readonly kh: number;
  readonly kw: number;
  readonly sh: number;
  readonly sw: number;
  readonly dh: number;
  readonly dw: number;
  readonly top: number;
  readonly left: number;
  readonly groups: number;
}

/** The geometry of a convolution, in the order of the kernels' arguments. */
export function geometryOf(node: ConvNode, place: Place): Geometry {
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [top, left] = node.pads;
  return { batch: place.batch, h, w, c, oh, ow, n, ...slideOf(node), top, left, groups: node.groups };
}

function forward(node: ConvNode, place: Place): readonly Step[] {
  const { name } = node;
  const variant = place.variant(name);
  if (variant.algorithm === "winograd2") return winogradSteps(node, 2, variant.weightBytes(node), place);
  if (variant.algorithm === "winograd4") return winogradSteps(node, 4, variant.weightBytes(node), place);
  const geometry = geometryOf(node, place);
  const { groups, dh: _dh, dw: _dw, ...dense } = geometry;
  const { batch, c, oh, ow, n, kh, kw, sh, sw } = dense;
  const tile = place.tiles.f32;
  const m = batch * oh * ow;
  const input = place.address(node.inputs[0]!);
  const rest = {
    panels: place.weights(name),
    residual: node.residual ? place.address(node.inputs[1]!) : 0,
    out: place.address(name),
    ...bounds(node.clamp),
  };
  if (variant.algorithm === "gemm") {
    const mc = chunkRows(m, c, tile.mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc);
    const sizes = { m, n: n / groups, k: c / groups, groups, lda: c, ldo: n };
    const units = productUnits(m, mc, groups, n, tile);
    return [step(name, "gemm_f32", units, { scratch, ...tile, mc, ...sizes, a: input, ...rest })];
  }
  if (variant.algorithm === "im2col") {
    const k = kh * kw * c;
    const mc = chunkRows(m, k, tile.mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc * (1 + k));
    const units = productUnits(m, mc, 1, n, tile);
    return [step(name, "im2col_f32", units, { scratch, ...tile, mc, ...dense, input, pads: place.zeros, ...rest })];
  }
  const mc = chunkRows(m, c * sh * sw, tile.mr);
  const scratch = place.scratch(TAIL_BYTES + 4 * kh * kw * mc);
  const units = productUnits(m, mc, groups, n, tile);
  return [step(name, "conv_f32", units, { scratch, ...tile, mc, ...geometry, input, zeros: place.zeros, ...rest })];
}

/** Packs the weights as training holds them, then computes as ever. */
function train(node: ConvNode, place: TrainPlace): readonly Step[] {
  const [kh, kw] = node.kernel;
  const outputs = node.shape[2];
  const variant = place.variant(node.name);
  const panels = place.panels(variant.weightBytes(node));
  const weight = place.param(`${node.name}.weight`);
  const bias = node.bias ? place.param(`${node.name}.bias`) : 0;
  const [n, c] = [outputs / node.groups, node.channels / node.groups];
  const pack =
    variant.algorithm === "winograd4"
      ? step(node.name, "winograd4_transform_hwio_f32", Math.ceil(n / PANEL_COLUMNS), {
          n,
          c,
          turned: 0,
          weights: weight,
          bias,
          out: panels,
          scratch: place.scratch(PACK_BYTES),
        })
      : step(node.name, "pack_hwio_f32", node.groups * Math.ceil(n / PANEL_COLUMNS), {
          n,
          c,
          taps: kh * kw,
          groups: node.groups,
          weights: weight,
          bias,
          out: panels,
        });
  return [pack, ...forward(node, { ...place, weights: () => panels })];
}

/** Scratch of the kernels that transform Winograd's weights. */
const PACK_BYTES = 288;

/** A kernel's size, stride and dilation as arguments. */
function slideOf({ kernel: [kh, kw], stride: [sh, sw], dilation: [dh, dw] }: ConvNode): {
  readonly kh: number;
  readonly kw: number;
  readonly sh: number;
  readonly sw: number;
  readonly dh: number;
  readonly dw: number;
} {
  return { kh, kw, sh, sw, dh, dw };
}

/** The convolution of the output's gradient that gives the input's, for stride 1. */
function transposed(node: ConvNode, input: ConvNode["shape"], adds: boolean): ConvNode {
  const [kh, kw] = node.kernel;
  const [dh, dw] = node.dilation;
  const [top, left, bottom, right] = node.pads;
  return {
    ...node,
    inputs: ["dy", "dx"],
    shape: input,
    channels: node.shape[2],
    pads: [dh * (kh - 1) - top, dw * (kw - 1) - left, dh * (kh - 1) - bottom, dw * (kw - 1) - right],
    bias: false,
    clamp: NO_CLAMP,
    residual: adds,
  };
}

function inputGradient(node: ConvNode, place: TrainPlace): readonly Step[] {
  const dx = place.dx(node, 0);
  if (dx === undefined) return [];
  const { shape } = place.node(node.inputs[0]!);
  const [h, w, c] = shape;
  const [oh, ow, n] = node.shape;
  const { groups, name } = node;
  const [ng, cg] = [n / groups, c / groups];
  const slide = slideOf(node);
  const { kh, kw, sh, sw } = slide;
  const weight = place.param(`${name}.weight`);
  const dy = place.dy(name);
  if (sh === 1 && sw === 1) {
    const turned = transposed(node, shape, dx.adds);
    const variant: Variant = place.inputVariant(turned);
    const panels = place.panels(variant.weightBytes(turned));
    const pack =
      variant.algorithm === "winograd4"
        ? step(name, "winograd4_transform_hwio_f32", Math.ceil(c / PANEL_COLUMNS), {
            n,
            c,
            turned: 1,
            weights: weight,
            bias: 0,
            out: panels,
            scratch: place.scratch(PACK_BYTES),
          })
        : step(name, "pack_dgrad_f32", groups * Math.ceil(cg / PANEL_COLUMNS), {
            n: ng,
            c: cg,
            ...slide,
            groups,
            weights: weight,
            out: panels,
          });
    const steps = forward(turned, {
      ...place,
      node: () => node,
      variant: () => variant,
      weights: () => panels,
      address: (which) => (which === "dy" ? dy : dx.address),
    });
    return [pack, ...steps];
  }
  const panelCount = groups * Math.ceil(cg / PANEL_COLUMNS);
  const panels = place.panels(panelCount * (kh * kw * ng * CELL_BYTES + sh * sw * BIAS_BYTES));
  const scratch = place.scratch(TAIL_BYTES + 4 * kh * kw * Math.ceil(w / sw));
  const [top, left] = node.pads;
  return [
    step(name, "pack_dgrad_f32", sh * sw * panelCount, {
      n: ng,
      c: cg,
      ...slide,
      groups,
      weights: weight,
      out: panels,
    }),
    step(name, "conv_dgrad_f32", place.batch * h, {
      ...{ scratch, ...place.tiles.f32, h, w, c, oh, ow, n, ...slide, top, left, groups, adds: dx.adds ? 1 : 0 },
      ...{ dy, panels, zeros: place.zeros, dx: dx.address },
    }),
  ];
}

function weightGradient(node: ConvNode, place: TrainPlace): readonly Step[] {
  const { name, groups } = node;
  const dw = place.paramGradient(`${name}.weight`);
  const { algorithm } = place.variant(name);
  if (algorithm === "winograd4") return winogradWeightGradient(node, dw, place);
  const geometry = geometryOf(node, place);
  const { batch, c, oh, ow, n, kh, kw } = geometry;
  const input = place.address(node.inputs[0]!);
  const dy = place.dy(name);
  const m = batch * oh * ow;
  const { mr, nr } = place.tiles.f32;
  const across = Math.ceil(n / groups / nr);
  if (algorithm === "gemm" && groups === 1) {
    const mc = wgradRows(c, n);
    const scratch = place.scratch(wgradScratch({ mr, nr }, mc, c, n));
    const sizes = { mr, nr, mc, m, n, k: c, groups, lda: c, ldb: n, ldo: n, ogo: 0, adds: 1 };
    return [step(name, "gemm_wgrad_f32", Math.ceil(c / mr) * across, { scratch, ...sizes, input, dy, dw })];
  }
  const k = (kh * kw * c) / groups;
  const mc = Math.min(m, 96);
  const scratch = place.scratch(TAIL_BYTES + 4 * mc * k);
  const addresses = { input, dy, zeros: place.zeros, out: dw };
  const units = groups * Math.ceil(k / mr) * across;
  return [step(name, "conv_wgrad_f32", units, { scratch, mr, nr, mc, ...geometry, ...addresses })];
}

function backward(node: ConvNode, place: TrainPlace): readonly Step[] {
  const steps = [...inputGradient(node, place)];
  if (place.trains(node.name)) {
    steps.unshift(...weightGradient(node, place));
    if (node.bias) {
      const [oh, ow, n] = node.shape;
      const db = place.paramGradient(`${node.name}.bias`);
      const m = place.batch * oh * ow;
      steps.push(step(node.name, "bias_grad_f32", Math.ceil(n / 16), { m, c: n, dy: place.dy(node.name), db }));
    }
  }
  return steps;
}

export const conv: Op<ConvNode> = {
  params(node): readonly Param[] {
    const [kh, kw] = node.kernel;
    const params: Param[] = [
      { name: `${node.name}.weight`, shape: [node.shape[2], node.channels / node.groups, kh, kw] },
    ];
    if (node.bias) params.push({ name: `${node.name}.bias`, shape: [node.shape[2]] });
    if (node.norm !== undefined) params.push(...normParams(node.norm.name, node.shape[2]));
    return params;
  },
  macs(node) {
    const [oh, ow, n] = node.shape;
    return (oh * ow * n * node.channels * node.kernel[0] * node.kernel[1]) / node.groups;
  },
  weightBytes: (node, variant) => variant!.weightBytes(node),
  pack,
  forward,
};

export const convTraining: TrainOp<ConvNode> = {
  train,
  savedForBackward: (node, trained) => (trained ? [node.inputs[0]!] : []),
  backward,
};
