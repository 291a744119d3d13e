/** What every step that goes through the register tile must know of it. */

/** Bytes at the start of a thread's scratch for tiles narrower than eight columns (`TAIL_BYTES` in `tile_f32.ts`). */
export const TAIL_BYTES = 6 * 32;
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
export function outerRows(inputs: number, outputs: number): number {
  return Math.min(inputs, outputs) < 32 ? 64 : 128;
}

/** Scratch of `gemm_wgrad_f32`, in bytes. */
export function outerScratch(mr: number, mc: number, inputs: number, outputs: number): number {
  return 32 + 4 * mc * (Math.ceil(inputs / mr) * mr + Math.ceil(outputs / 8) * 8);
}
