/** What every step that goes through the register tile must know of it. */

/** Bytes at the start of a thread's scratch for tiles narrower than eight columns (`TAIL_BYTES` in `tile_f32.ts`). */
export const TAIL_BYTES = 6 * 32;
/** Elements of input that a chunk of rows should read: a quarter of a megabyte, so that it stays in L2. */
const CHUNK = 65536;

/** Rows of a chunk: as many as keep `perRow` elements each within the L2 share, in whole tiles, no more than there are. */
export function chunkRows(rows: number, perRow: number, tile: number): number {
  const wanted = Math.max(1, Math.floor(CHUNK / perRow / tile)) * tile;
  return Math.min(wanted, Math.ceil(rows / tile) * tile);
}
