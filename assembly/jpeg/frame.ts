/** A JPEG's components, its scan, and the rows that are kept of each. The host, which reads the markers, writes them here. */
import { Cursor, slot_of } from "./cursor";

/** One component. Sizes are those of the scaled output unless they say blocks. */
@unmanaged
export class Component {
  /** Sampling factors: blocks of an MCU. */
  h: i32 = 0;
  v: i32 = 0;
  /** Samples of a block's side after the inverse DCT: 8, 4, 2 or 1. */
  size: i32 = 0;
  /** [64] i16, natural order. */
  quant: usize = 0;
  /** A ring of `rows` rows, `stride` bytes apart. */
  plane: usize = 0;
  stride: i32 = 0;
  rows: i32 = 0;
  /** Samples that belong to the image. */
  width: i32 = 0;
  height: i32 = 0;
  /** How a row becomes one of the image's width: see `UPSAMPLING`. */
  kind: i32 = 0;
  across: i32 = 0;
  down: i32 = 0;
  /** Its row of the image's width, when that is not a row of the plane. */
  row: usize = 0;
  /** Blocks that belong to the image. */
  blocksAcross: i32 = 0;
  blocksDown: i32 = 0;
  /** Coefficients of a row of MCUs, [v, coefBlocks, 64] i16 in zigzag order; 0 when there is one scan. */
  coefs: usize = 0;
  coefBlocks: i32 = 0;
  /** Of the current scan. */
  dcTable: usize = 0;
  acTable: usize = 0;
  prediction: i32 = 0;
}

/**
 * Where coefficients are in their block, in bytes, by zigzag index. A run may reach beyond the 64th: its value goes there, as in
 * libjpeg; the end of a block stores a zero behind it.
 */
export const ORDER = memory.data<u8>([
  0, 2, 16, 32, 18, 4, 6, 20, 34, 48, 64, 50, 36, 22, 8, 10,
  24, 38, 52, 66, 80, 96, 82, 68, 54, 40, 26, 12, 14, 28, 42, 56,
  70, 84, 98, 112, 114, 100, 86, 72, 58, 44, 30, 46, 60, 74, 88, 102,
  116, 118, 104, 90, 76, 62, 78, 92, 106, 120, 122, 108, 94, 110, 124, 126,
  126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
], 16);

/** Where kept coefficients are, which stay in zigzag order. */
export const ZIGZAG = memory.data<u8>([
  0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
  32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62,
  64, 66, 68, 70, 72, 74, 76, 78, 80, 82, 84, 86, 88, 90, 92, 94,
  96, 98, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126,
  126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
], 16);

const COMPONENTS = memory.data(4 * 96, 16);
/** Indices of the components of the current scan. */
const SCAN = memory.data(16, 4);

// @ts-ignore: decorator
@inline
export function component_at(index: i32): Component {
  return changetype<Component>(COMPONENTS + index * offsetof<Component>());
}

/** The `slot`-th component of the scan. */
// @ts-ignore: decorator
@inline
export function scanned(slot: i32): Component {
  return component_at(load<i32>(SCAN + 4 * slot));
}

export let components: i32 = 0;
export let mcusAcross: i32 = 0;
/** MCUs whose samples are wanted. */
export let firstMcu: i32 = 0;
export let lastMcu: i32 = 0;
export let firstRow: i32 = 0;
export let lastRow: i32 = 0;
export let scanComponents: i32 = 0;

export function set_frame(count: i32, across: i32): void {
  components = count;
  mcusAcross = across;
}

/** Of which MCUs, [left, right) of the rows [top, bottom), samples are wanted. */
export function set_wanted(left: i32, right: i32, top: i32, bottom: i32): void {
  firstMcu = left;
  lastMcu = right;
  firstRow = top;
  lastRow = bottom;
}

export function set_component(
  index: i32, h: i32, v: i32, size: i32, quant: usize, plane: usize, stride: i32, rows: i32, width: i32, height: i32,
  kind: i32, across: i32, down: i32, row: usize,
): void {
  const component = component_at(index);
  component.h = h;
  component.v = v;
  component.size = size;
  component.quant = quant;
  component.plane = plane;
  component.stride = stride;
  component.rows = rows;
  component.width = width;
  component.height = height;
  component.kind = kind;
  component.across = across;
  component.down = down;
  component.row = row;
  component.coefs = 0;
}

export function set_blocks(index: i32, across: i32, down: i32, coefs: usize, coefBlocks: i32): void {
  const component = component_at(index);
  component.blocksAcross = across;
  component.blocksDown = down;
  component.coefs = coefs;
  component.coefBlocks = coefBlocks;
}

/** The scan's components, one slot after the other. */
export function set_scanned(slot: i32, index: i32, dcTable: usize, acTable: usize): void {
  store<i32>(SCAN + 4 * slot, index);
  scanComponents = slot + 1;
  const component = component_at(index);
  component.dcTable = dcTable;
  component.acTable = acTable;
  component.prediction = 0;
}

export function save_scanned(cursor: Cursor): void {
  cursor.components = scanComponents;
  for (let i = 0; i < scanComponents; ++i) {
    const slot = slot_of(cursor, i);
    const component = scanned(i);
    slot.index = load<i32>(SCAN + 4 * i);
    slot.dcTable = component.dcTable;
    slot.acTable = component.acTable;
    slot.prediction = component.prediction;
  }
}

export function load_scanned(cursor: Cursor): void {
  for (let i = 0; i < cursor.components; ++i) {
    const slot = slot_of(cursor, i);
    set_scanned(i, slot.index, slot.dcTable, slot.acTable);
    scanned(i).prediction = slot.prediction;
  }
}

export function forget_predictions(): void {
  for (let slot = 0; slot < scanComponents; ++slot) scanned(slot).prediction = 0;
}
