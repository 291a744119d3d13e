/** Winograd convolution of an int8 network as steps: exact, so that it may stand for direct sums anywhere. */
import { PATCH_BYTES, TAIL_BYTES } from "../../wasm/tile.js";
import type { ConvNode } from "../graph.ts";
import { boundsOf } from "../int8.ts";
import { type Step, step } from "../tape.ts";
import { patchCount } from "../variants.ts";
import { chunkRows, productUnits } from "./gemm.ts";
import type { Place } from "./op.ts";
import { bandPatches } from "./winograd.ts";

const POSITIONS = 36;

/** The steps of F(4×4, 3×3) over an int8 node: transform, multiply in i16, transform back and requantise. */
export function winogradStepsI8(node: ConvNode, place: Place): readonly Step[] {
  const { batch } = place;
  const [oh, ow, n] = node.shape;
  const [h, w, c] = place.node(node.inputs[0]!).shape;
  const [top, left] = node.pads;
  const [lo, hi] = boundsOf(node);
  const { inputs, scale: output } = node.int8!;
  const [ty, tx] = [Math.ceil(oh / 4), Math.ceil(ow / 4)];
  const patches = patchCount(node, 4, batch);
  const patchBytes = POSITIONS * (2 * c + 4 * n);
  const band = bandPatches(patches, patchBytes, place.variant(node.name).weightBytes(node));
  const tile = place.tiles.dot16;
  const mc = chunkRows(band, c / 2, tile.mr);
  const transformed = place.workspace(band * patchBytes);
  const products = transformed + band * POSITIONS * 2 * c;
  const scratch = place.scratch(Math.max(TAIL_BYTES + 4 * mc, POSITIONS * PATCH_BYTES));
  const input = place.address(node.inputs[0]!);
  const residual = node.residual ? place.address(node.inputs[1]!) : 0;
  const rs = node.residual ? inputs[1]! / output! : 0;
  const out = place.address(node.name);
  const header = place.weights(node.name);
  const panels = header + 8 * n;
  const steps: Step[] = [];
  for (let first = 0; first < patches; first += band) {
    const count = Math.min(band, patches - first);
    const units = productUnits(count, mc, POSITIONS, POSITIONS * n, tile);
    steps.push(
      step(node.name, "winograd4_transform_input_i8", count, {
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
      step(node.name, "gemm_i16", units, {
        ...{ scratch, ...tile, mc, m: count, n, k: c, groups: POSITIONS },
        ...{ a: transformed, panels, out: products },
      }),
      step(node.name, "winograd4_transform_output_i8", count, {
        oh,
        ow,
        n,
        ty,
        tx,
        first,
        products,
        header,
        residual,
        out,
        scratch,
        rs,
        lo,
        hi,
      }),
    );
  }
  return steps;
}
