/** Convolution, with whatever batch norm, addition and clamp were folded into it. */
import type { ConvNode } from "../graph.ts";
import { choose } from "../kernels.ts";
import { type Step, step } from "../tape.ts";
import { normAffine, normParams, type Op, type Packer, type Param, type Place } from "./op.ts";

/** Bytes at the start of a thread's scratch for tiles narrower than eight columns (`TAIL_BYTES` in `tile_f32.ts`). */
export const TAIL_BYTES = 6 * 32;
/** Elements of input that a chunk of rows should read: a quarter of a megabyte, so that it stays in L2. */
const CHUNK = 65536;

/** Rows of a chunk: as many as keep `perRow` elements each within the L2 share, in whole tiles, no more than there are. */
export function chunkRows(rows: number, perRow: number, tile: number): number {
  const wanted = Math.max(1, Math.floor(CHUNK / perRow / tile)) * tile;
  return Math.min(wanted, Math.ceil(rows / tile) * tile);
}

/** Elements from one im2col patch of `k` to the next: never a multiple of 4096 bytes, where rows would share an L1 set. */
function patchPitch(k: number): number {
  return k % 1024 === 0 ? k + 16 : k;
}

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
  packer.run(
    step(
      `${node.name} pack`,
      "pack_f32",
      node.groups * Math.ceil(outputs / node.groups / 8),
      outputs / node.groups,
      c,
      kh,
      kw,
      so!,
      si!,
      sv,
      su,
      weight.address,
      packer.put(Float32Array.from(scale)),
      packer.put(Float32Array.from(bias)),
      address,
    ),
  );
}

function forward(node: ConvNode, place: Place): readonly Step[] {
  const { batch } = place;
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [kh, kw] = node.kernel;
  const [sh, sw] = node.stride;
  const [top, left] = node.pads;
  const [lo, hi] = node.clamp;
  const variant = choose(node);
  const mr = variant.rows[place.build];
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
      step(node.name, "gemm_f32", units, mr, mc, m, ng, k, node.groups, c, n, input, weights, residual, out, scratch, lo, hi),
    ];
  }
  if (variant.algorithm === "im2col") {
    const pitch = patchPitch(kh * kw * c);
    const mc = chunkRows(m, pitch, mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc * (1 + pitch));
    const units = Math.ceil(m / mc) * panels;
    return [
      step(
        ...([node.name, "im2col_f32", units, mr, mc, pitch, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, top, left] as const),
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
      ...([node.name, "conv_f32", units, mr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left] as const),
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
  weightBytes(node) {
    const cells = (node.channels / node.groups) * node.kernel[0] * node.kernel[1] + 1;
    return node.groups * Math.ceil(node.shape[2] / node.groups / 8) * cells * 32;
  },
  pack,
  forward,
};
