/** What every step that goes through the register tile must know of it. */

import { TAIL_BYTES } from "../../wasm/tile.js";
import type { Tile } from "../variants.ts";

/** Elements of input that a chunk of rows may read: three quarters of a megabyte, so that it stays in L2. */
const CHUNK = 196608;

/**
 * Rows of a chunk, in whole tiles: as many as keep `perRow` elements each within the L2 share, and chunks of one size,
 * because every chunk reads all the weights again.
 */
export function chunkRows(rows: number, perRow: number, tile: number): number {
  const fitting = Math.max(1, Math.floor(CHUNK / perRow / tile)) * tile;
  const chunks = Math.ceil(rows / fitting);
  return Math.ceil(rows / chunks / tile) * tile;
}

/** Products that a tile of weight gradients adds up before they go to memory: what is read in place should fit L1. */
export function wgradRows(inputs: number, outputs: number): number {
  return Math.min(inputs, outputs) < 32 ? 64 : 128;
}

/** Scratch of `gemm_wgrad_f32`, in bytes. */
export function wgradScratch({ mr, nr }: Tile, mc: number, inputs: number, outputs: number): number {
  const across = Math.ceil(outputs / nr) * nr;
  return TAIL_BYTES + 4 * mc * (Math.ceil(inputs / mr) * mr + across);
}

/** Units of a product: columns of one tile over one chunk of rows. */
export function productUnits(rows: number, chunk: number, groups: number, columns: number, { nr }: Tile): number {
  return Math.ceil(rows / chunk) * groups * Math.ceil(columns / groups / nr);
}
