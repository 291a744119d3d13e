/**
 * The register tiles in numbers. Kernels, packers, plans and tests all derive sizes from here; the host imports what
 * `build.ts` writes from this file, so the constants carry no types of AssemblyScript.
 *
 * A tile is `mr` rows by `nr` columns: 8 columns are one panel of packed weights, 16 are two neighbouring panels.
 * `src/variants.ts` says which tile serves which build and engine.
 */

/** Columns of a panel. */
export const PANEL_COLUMNS = 8;
/** Columns of a wide tile: two panels. */
export const WIDE_COLUMNS = 16;
/** Most rows of a tile. */
export const TILE_ROWS = 6;

/** What is multiplied: f32; i8 by `relaxed_dot`, four inputs a cell; i16, two inputs a cell, weights stored as i8; or as i16. */
export const F32 = 2;
export const DOT8 = 1;
export const DOT16 = 0;
export const I16 = 3;

/** Bytes of an f32 panel's cell: one input of 8 outputs. */
export const CELL_BYTES = 4 * PANEL_COLUMNS;
/** Bytes before the cells of an f32 panel: the bias. */
export const BIAS_BYTES = 4 * PANEL_COLUMNS;
/** Bytes before the cells of an int8 panel: bias i32, scale f32. */
export const HEADER_BYTES = 8 * PANEL_COLUMNS;

/** Bytes at the start of a thread's scratch where a tile puts sums that are not stored as whole vectors. */
export const TAIL_BYTES = 4 * TILE_ROWS * WIDE_COLUMNS;

/** Bytes of a thread's scratch that Winograd's transforms need for each product of a patch (16 or 36), at most. */
export const PATCH_BYTES = 36;

/** Bytes of scratch in which Winograd's weights are transformed: nine taps, half of the transform, and eight outputs
 * at 36 positions, in f64. */
export const WEIGHT_BYTES = 432 + 36 * 64;
