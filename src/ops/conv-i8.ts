/**
 * Convolution of an int8 network: exact sums, requantised in the store together with bias, residual and clamp. Linear
 * layers too, whose sums become f32 logits.
 */

import { expectedGot, ModelError } from "../errors.ts";
import type { ConvNode } from "../graph.ts";
import { boundsOf } from "../int8.ts";
import { type Step, step } from "../tape.ts";
import { type Algorithm, PADS_BYTES, TILE_ROWS_I8 } from "../variants.ts";
import { chunkRows, TAIL_BYTES } from "./gemm.ts";
import type { Op, Packer, Param, Place } from "./op.ts";
import { winogradStepsI8 } from "./winograd-i8.ts";

/** `kind` of `tile_i8.ts`. */
const KIND = { dot16: 0, dot8: 1 } as const;

function kindOf(algorithm: Algorithm): 0 | 1 {
  return algorithm.endsWith("8") ? KIND.dot8 : KIND.dot16;
}

function params(node: ConvNode): readonly Param[] {
  const [kh, kw] = node.kernel;
  const [n, c] = [node.shape[2], node.channels / node.groups];
  // A linear layer's weight has two dimensions in the file.
  const shape = node.int8!.scale === undefined && kh * kw === 1 ? [n, c] : [n, c, kh, kw];
  return [
    { name: `${node.name}.weight`, shape, dtype: "I8" },
    { name: `${node.name}.weight_scale`, shape: [n], dtype: "F32" },
    { name: `${node.name}.bias`, shape: [n], dtype: "I32" },
  ];
}

/** Output steps in one unit of each output's sum. */
async function scalesOf(node: ConvNode, packer: Packer): Promise<Float32Array> {
  const scales = await packer.values(`${node.name}.weight_scale`);
  const at = scales.findIndex((scale) => !(scale > 0 && scale < Number.POSITIVE_INFINITY));
  if (at >= 0) {
    const where = `"${node.name}.weight_scale"`;
    throw new ModelError(
      "malformed",
      expectedGot(where, "scales above 0", `${scales[at]} at element ${at}`, "quantize again"),
    );
  }
  const { inputs, scale: output = 1 } = node.int8!;
  return Float32Array.from(scales, (scale) => (inputs[0]! * scale) / output);
}

/** Throws unless the sums of magnitudes are as small as the file says: on that rests that Winograd is exact. */
function checkSums(node: ConvNode, weights: Uint8Array): void {
  const depth = weights.length / node.shape[2];
  const signed = new Int8Array(weights.buffer, weights.byteOffset, weights.length);
  for (let o = 0; o < node.shape[2]; ++o) {
    let sum = 0;
    for (let i = o * depth; i < (o + 1) * depth; ++i) sum += Math.abs(signed[i]!);
    if (sum <= node.int8!.weightSum!) continue;
    const where = `"${node.name}.weight"`;
    throw new ModelError(
      "malformed",
      expectedGot(where, `magnitudes that sum to at most ${node.int8!.weightSum}`, `${sum}`),
    );
  }
}

async function pack(node: ConvNode, address: number, packer: Packer): Promise<void> {
  const [kh, kw] = node.kernel;
  const n = node.shape[2];
  const c = node.channels / node.groups;
  const scale = await scalesOf(node, packer);
  const bias = await packer.raw(`${node.name}.bias`);
  const weights = await packer.raw(`${node.name}.weight`);
  const { algorithm } = packer.variant(node.name);
  if (algorithm === "winograd4") {
    checkSums(node, weights.bytes);
    packer.copy(address, bias.bytes);
    packer.write(address + 4 * n, scale);
    packer.run(
      step(node.name, "winograd4_transform_weights_i8", n / 8, {
        n,
        c,
        weights: weights.address,
        out: address + 8 * n,
      }),
    );
    return;
  }
  const isIm2col = algorithm.startsWith("im2col");
  if (isIm2col) packer.copy(address, Uint8Array.from(node.int8!.pads ?? []));
  const panels = address + (isIm2col ? PADS_BYTES : 0);
  const count = node.groups * Math.ceil(n / node.groups / 8);
  const kind = kindOf(algorithm);
  packer.run(
    step(node.name, "pack_i8", count, {
      kind,
      n: n / node.groups,
      c,
      kh,
      kw,
      weights: weights.address,
      bias: bias.address,
      scale: packer.put(scale),
      out: panels,
    }),
  );
}

function forward(node: ConvNode, place: Place): readonly Step[] {
  const { batch } = place;
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [kh, kw] = node.kernel;
  const [sh, sw] = node.stride;
  const [dh, dw] = node.dilation;
  const [top, left] = node.pads;
  const { inputs, scale: output } = node.int8!;
  const { algorithm } = place.variant(node.name);
  if (algorithm === "winograd4") return winogradStepsI8(node, place);
  const [lo, hi] = boundsOf(node);
  const m = batch * oh * ow;
  const panels = node.groups * Math.ceil(n / node.groups / 8);
  const input = place.address(node.inputs[0]!);
  const weights = place.weights(node.name);
  const residual = node.residual ? place.address(node.inputs[1]!) : 0;
  const rs = node.residual ? inputs[1]! / output! : 0;
  const out = place.address(node.name);
  const mr = TILE_ROWS_I8;
  const kind = kindOf(algorithm);
  const elementBytes = kind === KIND.dot8 ? 1 : 2;
  if (algorithm.startsWith("im2col")) {
    const cell = 4 / elementBytes;
    const k = cell * Math.ceil((kh * kw * c) / cell);
    const mc = chunkRows(m, Math.ceil((k * elementBytes) / 4), mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc + elementBytes * mc * k);
    const pads = node.int8!.pads === undefined ? place.zeros : weights;
    return [
      step(node.name, "im2col_i8", Math.ceil(m / mc) * panels, {
        kind,
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
        top,
        left,
        input,
        panels: weights + PADS_BYTES,
        residual,
        pads,
        out,
        scratch,
        rs,
        lo,
        hi,
      }),
    ];
  }
  const steps: Step[] = [];
  let source = input;
  if (kind === KIND.dot16) {
    source = place.workspace(2 * batch * h * w * c);
    steps.push(step(node.name, "widen_i8", batch * h * w, { c, input, out: source }));
  }
  const mc = chunkRows(m, Math.ceil((c * sh * sw * elementBytes) / 4), mr);
  const scratch = place.scratch(TAIL_BYTES + 4 * kh * kw * mc);
  const wide = output === undefined ? 1 : 0;
  steps.push(
    step(node.name, "conv_i8", Math.ceil(m / mc) * panels, {
      kind,
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
      groups: node.groups,
      wide,
      input: source,
      panels: weights,
      residual,
      zeros: place.zeros,
      out,
      scratch,
      rs,
      lo,
      hi,
    }),
  );
  return steps;
}

export const convI8: Op<ConvNode> = {
  params,
  macs(node) {
    const [oh, ow, n] = node.shape;
    return (oh * ow * n * node.channels * node.kernel[0] * node.kernel[1]) / node.groups;
  },
  weightBytes: (node, variant) => variant!.weightBytes(node),
  pack,
  forward,
};
