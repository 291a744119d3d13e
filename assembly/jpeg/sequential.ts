/** Blocks of sequential scans, and the rows of MCUs that go through the inverse DCT as they are decoded. */
import { at, buffer, check_bits, count, fill, put_bits, restart_due, starved } from "./bits";
import {
  Component, firstMcu, firstRow, forget_predictions, lastMcu, lastRow, mcusAcross, ORDER, scanComponents, scanned,
} from "./frame";
import { alone, END, entry_at, long_code } from "./huffman";
import { idct, idct_corner, idct_flat } from "./idct";
import { idct_1, idct_2, idct_4 } from "./idct_reduced";

/** One block, and room for the coefficients that are not used. */
const BLOCK = memory.data(144, 16);

/** Decodes a DC code. Gives the component's new prediction. */
// @ts-ignore: decorator
@inline
export function decode_dc(component: Component): i32 {
  if (count < 32) fill(buffer, count, at);
  let bits = buffer;
  let entry = load<i32>(entry_at(component.dcTable, bits));
  if (entry == 0) entry = long_code(component.dcTable, bits, 0);
  bits <<= entry & 31;
  const size = (entry >> 5) & 15;
  component.prediction += size != 0 ? signed(bits, size) : entry >> 16;
  put_bits(bits << size, count - (entry & 31) - size, at);
  return component.prediction;
}

/**
 * Decodes a block's codes. `block` is zero, and a word behind it too. `places` is `ORDER` or `ZIGZAG`.
 *
 * @returns the zigzag index of the last coefficient
 */
export function decode_block(component: Component, block: usize, places: usize): i32 {
  store<i16>(block, <i16>decode_dc(component));
  let bits = buffer, valid = count, from = at;
  const table = component.acTable;
  const order = places - 1;
  let k = 1;
  do {
    if (valid < 32) {
      fill(bits, valid, from);
      bits = buffer;
      valid = count;
      from = at;
    }
    let codes = load<u64>(entry_at(table, bits));
    if (codes == 0) codes = alone(long_code(table, bits, 0));
    let length = <i32>codes & 31;
    k += (<i32>codes >> 9) & 127;
    const size = (<i32>codes >> 5) & 15;
    if (size != 0) {
      bits <<= length;
      store<i16>(block + load<u8>(order + k), <i16>signed(bits, size));
      bits <<= size;
      valid -= length + size;
    } else {
      store<i16>(block + load<u8>(order + k), <i16>(codes >> 16));
      if (k < 64) {
        // The second, or the first once more.
        length = <i32>(codes >> 32) & 31;
        k += <i32>(codes >> 41) & 127;
        store<i16>(block + load<u8>(order + k), <i16>(codes >> 48));
      }
      bits <<= length;
      valid -= length;
    }
  } while (k < 64);
  put_bits(bits, valid, from);
  return k > END ? k - END - 1 : 63;
}

/** The value coded in the upper `size` bits, 1…15. */
// @ts-ignore: decorator
@inline
export function signed(bits: u64, size: i32): i32 {
  const negative = ~(<i32>(<i64>bits >> 63));
  return <i32>(bits >> (64 - size)) + (negative & ((-1 << size) + 1));
}

/** The samples of a block whose last coefficient is at zigzag index `last`. */
export function transform(component: Component, block: usize, last: i32, out: usize): void {
  const quant = component.quant;
  const stride = <usize>component.stride;
  switch (component.size) {
    case 8: {
      if (last == 0) idct_flat(block, quant, out, stride);
      else if (last < 10) idct_corner(block, quant, out, stride);
      else idct(block, quant, out, stride);
      break;
    }
    case 4: {
      idct_4(block, quant, out, stride);
      break;
    }
    case 2: {
      idct_2(block, quant, out, stride);
      break;
    }
    default: idct_1(block, quant, out);
  }
}

/** Zeros for the next block. */
// @ts-ignore: decorator
@inline
export function clear(block: usize, last: i32): void {
  v128.store(block, i64x2.splat(0));
  if (last == 0) return;
  v128.store(block, i64x2.splat(0), 16);
  v128.store(block, i64x2.splat(0), 32);
  v128.store(block, i64x2.splat(0), 48);
  v128.store(block, i64x2.splat(0), 64);
  v128.store(block, i64x2.splat(0), 80);
  v128.store(block, i64x2.splat(0), 96);
  v128.store(block, i64x2.splat(0), 112);
}

/** One row of MCUs, of a scan that has all components: from codes to samples. */
export function decode_row(row: i32): void {
  const block = BLOCK;
  const isWanted = row >= firstRow && row < lastRow;
  for (let mcu = 0; mcu < mcusAcross; ++mcu) {
    if (restart_due()) forget_predictions();
    const isKept = isWanted && mcu >= firstMcu && mcu < lastMcu;
    const isEmpty = starved;
    for (let slot = 0; slot < scanComponents; ++slot) {
      const component = scanned(slot);
      const h = component.h, v = component.v, size = component.size;
      const ringRow = row * v * size % component.rows;
      let line = component.plane + ringRow * component.stride + mcu * h * size;
      for (let y = 0; y < v; ++y) {
        let out = line;
        for (let x = 0; x < h; ++x) {
          const last = isEmpty ? 0 : decode_block(component, block, ORDER);
          if (isKept) transform(component, block, last, out);
          clear(block, last);
          out += size;
        }
        line += size * component.stride;
      }
    }
    check_bits();
  }
}
