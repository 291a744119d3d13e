/** Convolution, with whatever batch norm, addition and clamp were folded into it. */
import type { ConvNode } from "../graph.ts";
import { type Step, step } from "../tape.ts";
import { TILE_ROWS } from "../variants.ts";
import { chunkRows, TAIL_BYTES } from "./gemm.ts";
import { normAffine, normParams, type Op, type Packer, type Param, type Place } from "./op.ts";
import { winogradSteps } from "./winograd.ts";

async function pack(node: ConvNode, address: number, packer: Packer): Promise<void> {
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
  const strides = [so!, si!, sv, su] as const;
  const sources = [weight.address, packer.put(Float32Array.from(scale)), packer.put(Float32Array.from(bias))] as const;
  const { algorithm } = packer.variant(node.name);
  if (algorithm === "winograd2" || algorithm === "winograd4") {
    const kernel = algorithm === "winograd4" ? "winograd4_weights_f32" : "winograd2_weights_f32";
    packer.run(step(node.name, kernel, Math.ceil(outputs / 8), outputs, c, ...strides, ...sources, address));
    return;
  }
  const width = outputs / node.groups;
  const panels = node.groups * Math.ceil(width / 8);
  packer.run(step(node.name, "pack_f32", panels, width, c, kh, kw, ...strides, ...sources, address));
}

function forward(node: ConvNode, place: Place): readonly Step[] {
  const { batch } = place;
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [kh, kw] = node.kernel;
  const [sh, sw] = node.stride;
  const [top, left] = node.pads;
  const [lo, hi] = node.clamp;
  const variant = place.variant(node.name);
  if (variant.algorithm === "winograd2") return winogradSteps(node, 2, variant.weightBytes(node), place);
  if (variant.algorithm === "winograd4") return winogradSteps(node, 4, variant.weightBytes(node), place);
  const mr = TILE_ROWS[place.build];
  const m = batch * oh * ow;
  const panels = node.groups * Math.ceil(n / node.groups / 8);
  const input = place.address(node.inputs[0]!);
  const weights = place.weights(node.name);
  const residual = node.residual ? place.address(node.inputs[1]!) : 0;
  const out = place.address(node.name);
  if (variant.algorithm === "gemm") {
    const mc = chunkRows(m, c, mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc);
    const units = Math.ceil(m / mc) * panels;
    const [ng, k] = [n / node.groups, c / node.groups];
    return [
      step(
        node.name,
        "gemm_f32",
        units,
        mr,
        mc,
        m,
        ng,
        k,
        node.groups,
        c,
        n,
        input,
        weights,
        residual,
        out,
        scratch,
        lo,
        hi,
      ),
    ];
  }
  if (variant.algorithm === "im2col") {
    const k = kh * kw * c;
    const mc = chunkRows(m, k, mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc * (1 + k));
    const units = Math.ceil(m / mc) * panels;
    return [
      step(
        ...([node.name, "im2col_f32", units, mr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, top, left] as const),
        ...([input, weights, residual, out, scratch, lo, hi] as const),
      ),
    ];
  }
  const mc = chunkRows(m, c * sh * sw, mr);
  const scratch = place.scratch(TAIL_BYTES + 4 * kh * kw * mc);
  const units = Math.ceil(m / mc) * panels;
  const [dh, dw] = node.dilation;
  return [
    step(
      ...([
        node.name,
        "conv_f32",
        units,
        mr,
        mc,
        batch,
        h,
        w,
        c,
        oh,
        ow,
        n,
        kh,
        kw,
        sh,
        sw,
        dh,
        dw,
        top,
        left,
      ] as const),
      ...([node.groups, input, weights, residual, place.zeros, out, scratch, lo, hi] as const),
    ),
  ];
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
