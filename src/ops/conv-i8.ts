/**
 * Convolution of an int8 network: exact sums, requantised in the store together with bias, residual and clamp. Linear
 * layers too, whose sums become f32 logits.
 */

import { DOT8, DOT16, HEADER_BYTES, PANEL_COLUMNS, TAIL_BYTES, WEIGHT_BYTES } from "../../wasm/tile.js";
import { expectedGot, ModelError } from "../errors.ts";
import type { ConvNode } from "../graph.ts";
import { boundsOf } from "../int8.ts";
import { type Step, step } from "../tape.ts";
import { type Algorithm, PADS_BYTES, panelsOf } from "../variants.ts";
import { geometryOf } from "./conv.ts";
import { chunkRows, productUnits } from "./gemm.ts";
import { bounds, type Op, type Packer, type Param, type Place } from "./op.ts";
import { winogradStepsI8 } from "./winograd-i8.ts";

/** How a variant multiplies, as the kernels number it. */
function kindOf(algorithm: Algorithm): number {
  return algorithm.endsWith("8") ? DOT8 : DOT16;
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
  const { inputs, scale: output = 1 } = node.int8!;
  // Loops, not callbacks: all of this is done once, and seldom often enough to be optimised.
  let at = 0;
  while (at < scales.length && scales[at]! > 0 && scales[at]! < Number.POSITIVE_INFINITY) ++at;
  if (at < scales.length) {
    const where = `"${node.name}.weight_scale"`;
    throw new ModelError(
      "malformed",
      expectedGot(where, "scales above 0", `${scales[at]} at element ${at}`, "quantize again"),
    );
  }
  const unit = inputs[0]!;
  for (let i = 0; i < scales.length; ++i) scales[i] = (unit * scales[i]!) / output;
  return scales;
}

/** Throws unless the scales that came with panels are as those that `scalesOf` makes. */
function checkPanels(node: ConvNode, panels: Uint8Array): void {
  const numbers = new Float32Array(panels.buffer, panels.byteOffset, panels.length / 4);
  const n = node.shape[2] / node.groups;
  const pitch = numbers.length / panelsOf(node);
  const across = panelsOf(node) / node.groups;
  for (let panel = 0; panel < panelsOf(node); ++panel) {
    const columns = Math.min(PANEL_COLUMNS, n - (panel % across) * PANEL_COLUMNS);
    for (let i = 0; i < columns; ++i) {
      const scale = numbers[panel * pitch + HEADER_BYTES / 8 + i]!;
      if (scale > 0 && scale < Number.POSITIVE_INFINITY) continue;
      const message = expectedGot(`"${node.name}.packed"`, "scales above 0", `${scale} in panel ${panel}`);
      throw new ModelError("malformed", message, { subject: `${node.name}.packed` });
    }
  }
}

/** Throws unless the sums of magnitudes are as small as the file says: on that rests that Winograd is exact. */
function checkSums(node: ConvNode, weights: Uint8Array): void {
  const depth = weights.length / node.shape[2];
  // Four at a time: Winograd's inputs come in sixteens, and staged weights lie on cache lines.
  const words = new Int32Array(weights.buffer, weights.byteOffset, weights.length / 4);
  for (let o = 0; o < node.shape[2]; ++o) {
    let sum = 0;
    const end = ((o + 1) * depth) / 4;
    for (let at = (o * depth) / 4; at < end; ) {
      // Two sums of 16 bits, which 64 words cannot overflow.
      let pairs = 0;
      for (const stop = Math.min(end, at + 64); at < stop; ++at) {
        const word = words[at]!;
        const signs = (word >>> 7) & 0x01010101;
        // Of each negative byte the complement, and one.
        const sizes = ((word ^ Math.imul(signs, 255)) + signs) | 0;
        pairs += (sizes & 0xff00ff) + ((sizes >>> 8) & 0xff00ff);
      }
      sum += (pairs & 0xffff) + (pairs >>> 16);
    }
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
  const { algorithm, weightBytes } = packer.variant(node.name);
  const isIm2col = algorithm.startsWith("im2col");
  if (isIm2col) packer.copy(address, Uint8Array.from(node.int8!.pads ?? []));
  const panels = address + (isIm2col ? PADS_BYTES : 0);
  const panelBytes = weightBytes(node) - (panels - address);
  if (await packer.panels(node.name, panels, panelBytes)) {
    checkPanels(node, packer.view(panels, panelBytes));
    return;
  }
  const scale = await scalesOf(node, packer);
  const bias = await packer.raw(`${node.name}.bias`);
  const weights = await packer.raw(`${node.name}.weight`);
  if (algorithm === "winograd4") {
    checkSums(node, weights.bytes);
    packer.copy(address, bias.bytes);
    packer.write(address + 4 * n, scale);
    packer.run(
      step(node.name, "winograd4_transform_weights_i8", n / 8, {
        scratch: packer.scratch(WEIGHT_BYTES),
        n,
        c,
        weights: weights.address,
        out: address + 8 * n,
      }),
    );
    return;
  }
  packer.run(
    step(node.name, "pack_i8", panelsOf(node), {
      kind: kindOf(algorithm),
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
  const { name } = node;
  const { algorithm } = place.variant(name);
  if (algorithm === "winograd4") return winogradStepsI8(node, place);
  const { inputs, scale: output } = node.int8!;
  const geometry = geometryOf(node, place);
  const { groups, dh: _dh, dw: _dw, ...dense } = geometry;
  const { batch, h, w, c, oh, ow, n, kh, kw, sh, sw } = dense;
  const m = batch * oh * ow;
  const kind = kindOf(algorithm);
  const tile = kind === DOT8 ? place.tiles.dot8 : place.tiles.dot16;
  const elementBytes = kind === DOT8 ? 1 : 2;
  const input = place.address(node.inputs[0]!);
  const weights = place.weights(name);
  const rest = {
    residual: node.residual ? place.address(node.inputs[1]!) : 0,
    out: place.address(name),
    rs: node.residual ? inputs[1]! / output! : 0,
    ...bounds(boundsOf(node)),
  };
  if (algorithm.startsWith("im2col")) {
    const cell = 4 / elementBytes;
    const k = cell * Math.ceil((kh * kw * c) / cell);
    const mc = chunkRows(m, Math.ceil((k * elementBytes) / 4), tile.mr);
    const scratch = place.scratch(TAIL_BYTES + 4 * mc + elementBytes * mc * k);
    const pads = node.int8!.pads === undefined ? place.zeros : weights;
    const addresses = { input, panels: weights + PADS_BYTES, pads, ...rest };
    const units = productUnits(m, mc, 1, n, tile);
    return [step(name, "im2col_i8", units, { scratch, kind, ...tile, mc, ...dense, ...addresses })];
  }
  const steps: Step[] = [];
  let source = input;
  if (kind === DOT16) {
    source = place.workspace(2 * batch * h * w * c);
    steps.push(step(name, "widen_i8", batch * h * w, { c, input, out: source }));
  }
  const mc = chunkRows(m, Math.ceil((c * sh * sw * elementBytes) / 4), tile.mr);
  const scratch = place.scratch(TAIL_BYTES + 4 * kh * kw * mc);
  const dequantize = output === undefined ? 1 : 0;
  const addresses = { input: source, panels: weights, zeros: place.zeros, ...rest };
  const units = productUnits(m, mc, groups, n, tile);
  steps.push(step(name, "conv_i8", units, { scratch, kind, ...tile, mc, ...geometry, dequantize, ...addresses }));
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
