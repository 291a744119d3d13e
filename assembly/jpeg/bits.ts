/**
 * The bits of a scan, and its restart markers. `buffer` holds the next bits from its top, `count` of them valid; what is below
 * is zero or the bits that come next. Where the data meets a marker, zeros follow, `padding` of them so far, as libjpeg has it.
 *
 * Of the file only a window is here, [base, end). An end marker stands behind it, so that nobody has to look for the end: whoever meets
 * it asks the host for more.
 */
import { Cursor } from "./cursor";

/**
 * Moves window `id` on, so that it begins with the byte that was at `from`.
 *
 * @returns how many bytes it has now; 0 when the file ends with it, and nothing was moved
 */
// @ts-ignore: decorator
@external("env", "more")
declare function more(id: i32, from: usize): i32;

export let buffer: u64 = 0;
export let count: i32 = 0;
/** Where the next bytes are. */
export let at: usize = 0;
/** The marker that was met, without its FF; 0 when none. `at` stays at its FF, so that every refill comes to it again. */
export let marker: i32 = 0;
let padding: i32 = 0;
/** A block needed bits that were not there: those that follow are empty, up to the next restart. */
export let starved: bool = false;
let interval: i32 = 0;
let untilRestart: i32 = 0;
let nextRestart: i32 = 0;
let id: i32 = 0;
let base: usize = 0;
let end: usize = 0;

const RST0: i32 = 0xd0;
const RST7: i32 = 0xd7;
const SOF0: i32 = 0xc0;
const EOI: i32 = 0xd9;

/** Begins a scan's data, of which the first `bytes` are in a window at `from`. */
export function start_bits(window: i32, from: usize, bytes: i32, restartInterval: i32): void {
  id = window;
  base = from;
  end = from + bytes;
  at = from;
  buffer = 0;
  count = 0;
  marker = 0;
  padding = 0;
  starved = false;
  interval = restartInterval;
  untilRestart = restartInterval;
  nextRestart = 0;
}

/** Keeps a reader's state, which is local while blocks are decoded. */
// @ts-ignore: decorator
@inline
export function put_bits(newBuffer: u64, newCount: i32, newAt: usize): void {
  buffer = newBuffer;
  count = newCount;
  at = newAt;
}

/** Eight bytes in the order of reading. */
// @ts-ignore: decorator
@inline
function word_at(address: usize): u64 {
  const bytes = v128.load64_zero(address);
  return <u64>i64x2.extract_lane(v128.shuffle<i8>(bytes, bytes, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
}

/** Whether none of eight bytes is FF. */
// @ts-ignore: decorator
@inline
function is_plain(word: u64): bool {
  return ((~word - 0x0101010101010101) & word & 0x8080808080808080) == 0;
}

export function save_bits(cursor: Cursor): void {
  cursor.buffer = buffer;
  cursor.count = count;
  cursor.at = at;
  cursor.marker = marker;
  cursor.padding = padding;
  cursor.starved = starved;
  cursor.interval = interval;
  cursor.untilRestart = untilRestart;
  cursor.nextRestart = nextRestart;
  cursor.id = id;
  cursor.base = base;
  cursor.end = end;
}

export function load_bits(cursor: Cursor): void {
  buffer = cursor.buffer;
  count = cursor.count;
  at = cursor.at;
  marker = cursor.marker;
  padding = cursor.padding;
  starved = cursor.starved;
  interval = cursor.interval;
  untilRestart = cursor.untilRestart;
  nextRestart = cursor.nextRestart;
  id = cursor.id;
  base = cursor.base;
  end = cursor.end;
}

/** At the end of the window: goes on in the next one; or, where the file ends, as at an end marker. */
function slide(): void {
  // An FF that ended the window belongs to what follows.
  const from = end > base && load<u8>(end - 1) == 0xff ? end - 1 : end;
  const bytes = more(id, from);
  if (bytes == 0) {
    marker = EOI;
    at = end;
  } else {
    at = base;
    end = base + bytes;
  }
}

/** Fills the buffer to 57 bits or more, byte by byte: past stuffed zeros, up to a marker. */
function refill(): void {
  let bits = count == 0 ? 0 : (buffer >> (64 - count)) << (64 - count);
  while (count <= 56) {
    if (marker != 0) {
      padding += 56;
      count += 56;
      if (count > 63) {
        padding -= count - 63;
        count = 63;
      }
      break;
    }
    let byte = <i32>load<u8>(at++);
    if (byte == 0xff) {
      do byte = load<u8>(at++);
      while (byte == 0xff);
      if (at > end) {
        slide();
        continue;
      }
      if (byte != 0) {
        marker = byte;
        at -= 2;
        continue;
      }
      byte = 0xff;
    }
    bits |= <u64>byte << (56 - count);
    count += 8;
  }
  buffer = bits;
}

/** The buffer filled to 56 bits or more. The reader's state is local in each function: it puts it here, and takes it back. */
export function fill(bits: u64, valid: i32, from: usize): void {
  const word = word_at(from);
  if (is_plain(word)) {
    const bytes = (63 - valid) >> 3;
    put_bits(bits | (word >> valid), valid + (bytes << 3), from + bytes);
  } else {
    put_bits(bits, valid, from);
    refill();
  }
}

/** At the end of an MCU: whether it had all its bits. */
// @ts-ignore: decorator
@inline
export function check_bits(): void {
  if (count < padding) starved = true;
}

/** At the beginning of an MCU: whether a restart was due, which resets predictions. */
// @ts-ignore: decorator
@inline
export function restart_due(): bool {
  if (interval == 0) return false;
  if (untilRestart-- > 0) return false;
  restart();
  return true;
}

/** Forgets the marker that was met: what follows are codes. */
function pass(): void {
  marker = 0;
  at += 2;
}

/** Goes to the next marker, past the one that was met: at last to that behind the window. */
function seek(): void {
  if (marker != 0) pass();
  for (;;) {
    while (load<u8>(at) != 0xff) ++at;
    while (load<u8>(at, 1) == 0xff) ++at;
    if (at >= end) {
      slide();
      if (marker != 0) return;
      continue;
    }
    marker = load<u8>(at, 1);
    if (marker != 0) return;
    ++at;
  }
}

/** libjpeg's `process_restart` and `jpeg_resync_to_restart`. */
function restart(): void {
  buffer = 0;
  count = 0;
  padding = 0;
  if (marker == 0) seek();
  const wanted = nextRestart;
  if (marker == RST0 + wanted) pass();
  else {
    for (;;) {
      const ahead = (marker - RST0 - wanted) & 7;
      const isRestart = marker >= RST0 && marker <= RST7;
      // One of the next two, or another kind: it stays. One of the last two, or none at all: on to the next.
      if (marker >= SOF0 && (!isRestart || ahead == 1 || ahead == 2)) break;
      if (isRestart && ahead != 6 && ahead != 7) {
        pass();
        break;
      }
      seek();
    }
  }
  nextRestart = (wanted + 1) & 7;
  untilRestart = interval - 1;
  if (marker == 0) starved = false;
}
