/**
 * Winograd convolution as steps: transform the input, multiply, transform the output, a band of patches at a time.
 */
import { PATCH_BYTES, TAIL_BYTES } from "../../wasm/tile.js";
import type { ConvNode } from "../graph.ts";
import { type Step, step } from "../tape.ts";
import { patchCount } from "../variants.ts";
import { chunkRows, productUnits, wgradRows, wgradScratch } from "./gemm.ts";
import type { Place, TrainPlace } from "./op.ts";

/**
 * Patches of a band: transforms and products of a band should stay near the core, but every band reads all the weights
 * again, so it is given as many bytes as they have, and at least a megabyte.
 */
export function bandPatches(patches: number, patchBytes: number, weightBytes: number): number {
  const fitting = Math.floor(Math.max(1 << 20, weightBytes) / patchBytes);
  const bands = Math.ceil(patches / Math.max(1, fitting));
  return Math.ceil(patches / bands);
}

/** The steps of F(o×o, 3×3) over a node. */
export function winogradSteps(node: ConvNode, o: 2 | 4, weightBytes: number, place: Place): readonly Step[] {
  const positions = (o + 2) ** 2;
  const { batch } = place;
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [top, left] = node.pads;
  const [lo, hi] = node.clamp;
  const [ty, tx] = [Math.ceil(oh / o), Math.ceil(ow / o)];
  const patches = patchCount(node, o, batch);
  const [before, after] = [positions * c, positions * n];
  const band = bandPatches(patches, 4 * (before + after), weightBytes);
  const tile = place.tiles.f32;
  const mc = chunkRows(band, c, tile.mr);
  const transformed = place.workspace(4 * band * (before + after));
  const products = transformed + 4 * band * before;
  const scratch = place.scratch(Math.max(TAIL_BYTES + 4 * mc, positions * PATCH_BYTES));
  const input = place.address(node.inputs[0]!);
  const residual = node.residual ? place.address(node.inputs[1]!) : 0;
  const out = place.address(node.name);
  const weights = place.weights(node.name);
  const [from, to] =
    o === 4
      ? (["winograd4_transform_input_f32", "winograd4_transform_output_f32"] as const)
      : (["winograd2_transform_input_f32", "winograd2_transform_output_f32"] as const);
  const steps: Step[] = [];
  for (let first = 0; first < patches; first += band) {
    const count = Math.min(band, patches - first);
    const units = productUnits(count, mc, positions, positions * n, tile);
    const sizes = { batch, h, w, c, ty, tx, top, left, first };
    steps.push(
      step(node.name, from, count, { ...sizes, input, zeros: place.zeros, out: transformed, scratch }),
      step(node.name, "gemm_f32", units, {
        ...{ scratch, ...tile, mc, m: count, n, k: c, groups: positions, lda: before, ldo: after },
        ...{ a: transformed, panels: weights, residual: 0, out: products, lo: -Infinity, hi: Infinity },
      }),
      step(node.name, to, count, { oh, ow, n, ty, tx, first, products, residual, out, scratch, lo, hi }),
    );
  }
  return steps;
}

/**
 * The steps that add a convolution's weight gradient to `dw`: the input's patches and those of the output's gradient are
 * transformed, and their outer products summed, a band of patches at a time.
 */
export function winogradWeightGradient(node: ConvNode, dw: number, place: TrainPlace): readonly Step[] {
  const positions = 36;
  const { batch } = place;
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [top, left] = node.pads;
  const [ty, tx] = [Math.ceil(oh / 4), Math.ceil(ow / 4)];
  const patches = patchCount(node, 4, batch);
  const [before, after] = [positions * c, positions * n];
  const productBytes = 4 * positions * c * n;
  const band = bandPatches(patches, 4 * (before + after), productBytes);
  const { mr, nr } = place.tiles.f32;
  const products = place.workspace(productBytes + 4 * band * (before + after));
  const transformed = products + productBytes;
  const gradients = transformed + 4 * band * before;
  const mc = wgradRows(c, n);
  const scratch = place.scratch(Math.max(positions * PATCH_BYTES, wgradScratch({ mr, nr }, mc, c, n)));
  const input = place.address(node.inputs[0]!);
  const dy = place.dy(node.name);
  const units = positions * Math.ceil(c / mr) * Math.ceil(n / nr);
  const steps: Step[] = [];
  for (let first = 0; first < patches; first += band) {
    const count = Math.min(band, patches - first);
    const adds = first > 0 ? 1 : 0;
    steps.push(
      step(node.name, "winograd4_transform_input_f32", count, {
        batch,
        h,
        w,
        c,
        ty,
        tx,
        top,
        left,
        first,
        input,
        zeros: place.zeros,
        out: transformed,
        scratch,
      }),
      step(node.name, "winograd4_transform_dy_f32", count, {
        oh,
        ow,
        n,
        ty,
        tx,
        first,
        dy,
        zeros: place.zeros,
        out: gradients,
        scratch,
      }),
      step(node.name, "gemm_wgrad_f32", units, {
        mr,
        nr,
        mc,
        m: count,
        n,
        k: c,
        groups: positions,
        lda: before,
        ldb: after,
        ldo: n,
        ogo: c * n,
        adds,
        input: transformed,
        dy: gradients,
        dw: products,
        scratch,
      }),
    );
  }
  steps.push(step(node.name, "winograd4_transform_wgrad_f32", c, { n, c, products, dw, scratch }));
  return steps;
}
