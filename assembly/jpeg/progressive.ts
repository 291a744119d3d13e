/**
 * Scans into kept coefficients: the four kinds of progressive scans (ISO 10918-1, annex G), and sequential scans that do not
 * have all components. All scans of a file go on together: a row of MCUs of each, then these through the inverse DCT. So the coefficients of
 * one row are all that is kept, where one scan after the other would need those of the whole picture: 6 bytes a pixel in 4:4:4.
 */
import { at, buffer, check_bits, count, fill, load_bits, put_bits, restart_due, save_bits, starved } from "./bits";
import { Cursor, CURSOR_BYTES } from "./cursor";
import {
  Component, component_at, components, firstMcu, firstRow, forget_predictions, lastMcu, lastRow, load_scanned, mcusAcross,
  ORDER, save_scanned, scanComponents, scanned, ZIGZAG,
} from "./frame";
import { END, entry_at, long_code } from "./huffman";
import { clear, decode_block, decode_dc, signed, transform } from "./sequential";

/** A block with room behind it, which `decode_block` needs and the kept ones have not. */
const BLOCK = memory.data(144, 16);
/** A kept block in natural order, zero otherwise. */
const NATURAL = memory.data(128, 16);

/** Kinds of scans. */
const SEQUENTIAL: i32 = 0;
const DC_FIRST: i32 = 1;
const DC_REFINE: i32 = 2;
const AC_FIRST: i32 = 3;

let kind: i32 = 0;
let first: i32 = 0;
let last: i32 = 0;
/** Bits that the values of this scan are shifted by. */
let shift: i32 = 0;
/** Blocks still to come that have nothing more in this band. */
let emptyBlocks: i32 = 0;

/** @param scan 0 sequential, 1 the first bits of DC, 2 one more bit of DC, 3 the first bits of AC, 4 one more bit of AC */
export function set_scan(scan: i32, from: i32, to: i32, by: i32): void {
  kind = scan;
  first = from;
  last = to;
  shift = by;
  emptyBlocks = 0;
}

function dc_first(component: Component, block: usize): void {
  store<i16>(block, <i16>(decode_dc(component) << shift));
}

function dc_refine(block: usize): void {
  if (count < 32) fill(buffer, count, at);
  const bit = <i32>(buffer >> 63);
  put_bits(buffer << 1, count - 1, at);
  store<i16>(block, <i16>(<i32>load<i16>(block) | (bit << shift)));
}

function ac_first(component: Component, block: usize): void {
  if (emptyBlocks > 0) {
    --emptyBlocks;
    return;
  }
  const table = component.acTable, order = ZIGZAG - 1;
  let bits = buffer, valid = count, from = at;
  for (let k = first; k <= last; ) {
    if (valid < 32) {
      fill(bits, valid, from);
      bits = buffer;
      valid = count;
      from = at;
    }
    let entry = load<i32>(entry_at(table, bits));
    if (entry == 0) entry = long_code(table, bits, 0);
    bits <<= entry & 31;
    valid -= entry & 31;
    const advance = (entry >> 9) & 127;
    const size = (entry >> 5) & 15;
    let value = entry >> 16;
    k += advance;
    if (size != 0) {
      value = signed(bits, size);
      bits <<= size;
      valid -= size;
    } else if (advance == END) {
      emptyBlocks = (1 << value) - 1;
      if (value != 0) {
        emptyBlocks += <i32>(bits >> (64 - value));
        bits <<= value;
        valid -= value;
      }
      break;
    }
    if (value != 0) store<i16>(block + load<u8>(order + k), <i16>(value << shift));
  }
  put_bits(bits, valid, from);
}

/** Which of a block's coefficients are not zero, by zigzag index. */
// @ts-ignore: decorator
@inline
function present(block: usize): u64 {
  return <u64>sixteen(block) | (<u64>sixteen(block + 32) << 16) | (<u64>sixteen(block + 64) << 32)
    | (<u64>sixteen(block + 96) << 48);
}

// @ts-ignore: decorator
@inline
function sixteen(at: usize): u32 {
  const zero = i16x8.splat(0);
  const equal = i8x16.narrow_i16x8_s(i16x8.eq(v128.load(at), zero), i16x8.eq(v128.load(at, 16), zero));
  return ~i8x16.bitmask(equal) & 0xffff;
}

/** The bits from `k` on, 0…64. */
// @ts-ignore: decorator
@inline
function from_bit(k: i32): u64 {
  return k > 63 ? 0 : <u64>-1 << k;
}

function ac_refine(component: Component, block: usize): void {
  const table = component.acTable;
  const one = 1 << shift;
  const nonzero = present(block);
  const band = ~from_bit(last + 1);
  let bits = buffer, valid = count, from = at;
  let k = first;
  while (k <= last) {
    let value = 0;
    let end = last + 1;
    if (emptyBlocks == 0) {
      if (valid < 32) {
        fill(bits, valid, from);
        bits = buffer;
        valid = count;
        from = at;
      }
      let entry = load<i32>(entry_at(table, bits));
      if (entry == 0) entry = long_code(table, bits, 1);
      bits <<= entry & 31;
      valid -= entry & 31;
      let run = entry >> 20;
      if (((entry >> 16) & 15) != 0) {
        // The size should be 1; whatever it is, one bit follows.
        value = <i64>bits < 0 ? one : -one;
        bits <<= 1;
        valid -= 1;
      } else if (run != 15) {
        emptyBlocks = 1 << run;
        if (run != 0) {
          emptyBlocks += <i32>(bits >> (64 - run));
          bits <<= run;
          valid -= run;
        }
      }
      if (emptyBlocks == 0) {
        // Up to the zero behind `run` others.
        let zeros = ~nonzero & band & from_bit(k);
        for (; run > 0; --run) zeros &= zeros - 1;
        if (zeros != 0) end = <i32>ctz(zeros);
      }
    }
    // On the way, one more bit of each coefficient that has some already.
    for (let rest = nonzero & from_bit(k) & ~from_bit(end); rest != 0; rest &= rest - 1) {
      if (valid < 32) {
        fill(bits, valid, from);
        bits = buffer;
        valid = count;
        from = at;
      }
      if (<i64>bits < 0) {
        const coef = block + (<usize>ctz(rest) << 1);
        const before = <i32>load<i16>(coef);
        if ((before & one) == 0) store<i16>(coef, <i16>(before >= 0 ? before + one : before - one));
      }
      bits <<= 1;
      valid -= 1;
    }
    if (value != 0) store<i16>(block + load<u8>(ZIGZAG + end), <i16>value);
    k = end + 1;
  }
  if (emptyBlocks > 0) --emptyBlocks;
  put_bits(bits, valid, from);
}

function decode(component: Component, block: usize): void {
  switch (kind) {
    case SEQUENTIAL: {
      memory.copy(BLOCK, block, 128);
      decode_block(component, BLOCK, ZIGZAG);
      memory.copy(block, BLOCK, 128);
      break;
    }
    case DC_FIRST: {
      dc_first(component, block);
      break;
    }
    case DC_REFINE: {
      dc_refine(block);
      break;
    }
    case AC_FIRST: {
      ac_first(component, block);
      break;
    }
    default: ac_refine(component, block);
  }
}

/** A block of the row of MCUs that is under way. */
// @ts-ignore: decorator
@inline
function block_at(component: Component, x: i32, y: i32): usize {
  return component.coefs + (<usize>(y * component.coefBlocks + x) << 7);
}

function begin_mcu(): void {
  if (restart_due()) {
    forget_predictions();
    emptyBlocks = 0;
  }
}

/** One row of a scan's MCUs into coefficients; of a scan of one component, its blocks of that row. */
function scan_row(row: i32): void {
  if (scanComponents == 1) {
    const component = scanned(0);
    const count = min(component.v, component.blocksDown - row * component.v);
    for (let y = 0; y < count; ++y) {
      for (let x = 0; x < component.blocksAcross; ++x) {
        begin_mcu();
        if (!starved) decode(component, block_at(component, x, y));
        check_bits();
      }
    }
    return;
  }
  for (let mcu = 0; mcu < mcusAcross; ++mcu) {
    begin_mcu();
    if (!starved) {
      for (let slot = 0; slot < scanComponents; ++slot) {
        const component = scanned(slot);
        const h = component.h, v = component.v;
        for (let y = 0; y < v; ++y) {
          for (let x = 0; x < h; ++x) decode(component, block_at(component, mcu * h + x, y));
        }
      }
    }
    check_bits();
  }
}

/** Keeps where the current scan is, for `decode_scans`. */
export function save_scan(to: usize): void {
  const cursor = changetype<Cursor>(to);
  save_bits(cursor);
  save_scanned(cursor);
  cursor.kind = kind;
  cursor.first = first;
  cursor.last = last;
  cursor.shift = shift;
  cursor.emptyBlocks = emptyBlocks;
}

function load_scan(cursor: Cursor): void {
  load_bits(cursor);
  load_scanned(cursor);
  kind = cursor.kind;
  first = cursor.first;
  last = cursor.last;
  shift = cursor.shift;
  emptyBlocks = cursor.emptyBlocks;
}

/** One row of MCUs of `count` scans, whose cursors are one behind the other, and its samples where they are wanted. */
export function decode_scans(row: i32, cursors: usize, count: i32): void {
  for (let index = 0; index < components; ++index) {
    const component = component_at(index);
    memory.fill(component.coefs, 0, <usize>(component.v * component.coefBlocks) << 7);
  }
  for (let scan = 0; scan < count; ++scan) {
    const cursor = cursors + scan * CURSOR_BYTES;
    load_scan(changetype<Cursor>(cursor));
    scan_row(row);
    save_scan(cursor);
  }
  if (row >= firstRow && row < lastRow) transform_row(row);
}

/** The row of MCUs from coefficients to samples. */
function transform_row(row: i32): void {
  for (let index = 0; index < components; ++index) {
    const component = component_at(index);
    const h = component.h, v = component.v, size = component.size;
    for (let y = 0; y < v; ++y) {
      const line = component.plane + (row * v + y) * size % component.rows * component.stride;
      for (let x = firstMcu * h; x < lastMcu * h; ++x) {
        const kept = block_at(component, x, y);
        const nonzero = present(kept);
        for (let rest = nonzero; rest != 0; rest &= rest - 1) {
          const index = <usize>ctz(rest);
          store<i16>(NATURAL + load<u8>(ORDER + index), load<i16>(kept + (index << 1)));
        }
        const extent = 63 - <i32>clz(nonzero | 1);
        transform(component, NATURAL, extent, line + x * size);
        clear(NATURAL, extent);
      }
    }
  }
}
