/**
 * Tables of Huffman codes (ISO 10918-1, annex C): one look-up of `LOOK` bits gives code and value where both fit, else the
 * code; longer codes are searched by length.
 *
 * A table of `TABLE_BYTES`:
 *
 * - [2048] u64 entries: value << 16 | advance << 9 | size << 5 | length; 0 where the code is longer. The upper half is of the next
 *   code, where both fit into the `LOOK` bits: its value and advance, and the length of both. Else it says the first one again:
 *   its value, an advance of 0 and its length.
 * - [18] i32 largest code of each length, −1 where there is none; the 18th is beyond any code
 * - [18] i32 what to add to a code of that length to get its index
 * - [256] u8 symbols
 *
 * `length`: bits to drop; `size`: bits of the value that follow, 0 when the entry holds it; `advance`: coefficients passed over,
 * the coded one included; `END` at the end of a block, whose value is its run: 0, or in progressive scans the bits that follow.
 */
export const LOOK: i32 = 11;
/** What an end of block advances by: beyond every index that a run can reach. */
export const END: i32 = 80;

const LARGEST: usize = 8 << LOOK;
const OFFSET: usize = LARGEST + 72;
const SYMBOLS: usize = OFFSET + 72;
export const TABLE_BYTES: i32 = 16784;

/** An entry for a symbol: a run of zeros and the size of the value, or the symbol itself in a plain table. */
// @ts-ignore: decorator
@inline
function entryOf(symbol: i32, length: i32, plain: i32): i32 {
  if (plain != 0) return (symbol << 16) | length;
  const run = symbol >> 4, size = symbol & 15;
  if (size == 0 && run != 15) return (run << 16) | (END << 9) | length;
  return ((run + 1) << 9) | (size << 5) | length;
}

/** The value of `size` bits, as coded: those that begin with 0 are negative. */
// @ts-ignore: decorator
@inline
export function extended(bits: i32, size: i32): i32 {
  return bits < 1 << (size - 1) ? bits - (1 << size) + 1 : bits;
}

/**
 * Builds a table.
 *
 * @param counts [16] u8: codes of each length
 * @param symbols [sum of counts] u8
 * @param plain 1 for scans that refine AC: entries are symbol << 16 | length
 * @param pairs 1 for AC of sequential scans: entries have the next code too
 * @returns 0 when there are more codes of a length than there can be
 */
export function huffman(table: usize, counts: usize, symbols: usize, plain: i32, pairs: i32): i32 {
  memory.fill(table, 0, TABLE_BYTES);
  let code = 0, index = 0;
  for (let length = 1; length <= 16; ++length) {
    const count = <i32>load<u8>(counts + length - 1);
    store<i32>(table + OFFSET + 4 * length, index - code);
    // No code is all ones.
    if (count > 0 && code + count >= 1 << length) return 0;
    for (let i = 0; i < count; ++i, ++code, ++index) {
      const symbol = <i32>load<u8>(symbols + index);
      store<u8>(table + SYMBOLS + index, <u8>symbol);
      if (length > LOOK) continue;
      const rest = LOOK - length;
      const first = table + (<usize>(code << rest) << 3);
      const size = symbol & 15;
      const entry = entryOf(symbol, length, plain);
      for (let tail = 0; tail < 1 << rest; ++tail) {
        let full = entry;
        if (plain == 0 && size != 0 && size <= rest) {
          const value = extended(tail >> (rest - size), size);
          full = (value << 16) | (entry & (127 << 9)) | (length + size);
        }
        store<u64>(first + (tail << 3), alone(full));
      }
    }
    store<i32>(table + LARGEST + 4 * length, count > 0 ? code - 1 : -1);
    code <<= 1;
  }
  store<i32>(table + LARGEST + 4 * 17, 0xfffff);
  if (pairs != 0) pair(table);
  return 1;
}

/** The address of the entry for the codes at the head of `bits`. */
// @ts-ignore: decorator
@inline
export function entry_at(table: usize, bits: u64): usize {
  return table + (<usize>(bits >> (64 - LOOK)) << 3);
}

/** An entry without a second code. */
// @ts-ignore: decorator
@inline
export function alone(entry: i32): u64 {
  return <u64><u32>entry | (<u64>((entry & -65536) | (entry & 31)) << 32);
}

/** Joins entries with those of the codes behind them. An entry's own half stays as it is. */
function pair(table: usize): void {
  for (let index: u32 = 0; index < 1 << LOOK; ++index) {
    const at = table + (<usize>index << 3);
    const entry = load<i32>(at);
    const length = entry & 31;
    const next = load<i32>(table + (<usize>((index << length) & ((1 << LOOK) - 1)) << 3));
    const both = length + (next & 31);
    const isHeld = (entry & (15 << 5)) == 0 && (next & (15 << 5)) == 0 && next != 0 && both <= LOOK;
    if (isHeld) store<i32>(at, (next & -512) | both, 4);
  }
}

/** The entry of a code longer than `LOOK` bits at the head of `buffer`; of one that does not exist as if it were symbol 0. */
export function long_code(table: usize, buffer: u64, plain: i32): i32 {
  let length = LOOK + 1;
  while (<i32>(buffer >> (64 - length)) > load<i32>(table + LARGEST + 4 * length)) ++length;
  if (length > 16) return entryOf(0, 17, plain);
  const index = <i32>(buffer >> (64 - length)) + load<i32>(table + OFFSET + 4 * length);
  return entryOf(load<u8>(table + SYMBOLS + (index & 255)), length, plain);
}
