/**
 * An antialiased resize of rows as they come, Pillow's bit for bit (see `resize_u8_horizontal`): two passes with weights of 22
 * bits, rounded to bytes after each. `along` is the pass inside a row; `down` the pass over rows, in sums of 32 bits.
 *
 * Of an upright photo `along` comes first. Of one whose orientation exchanges rows and columns `down` comes first, because
 * Pillow's first pass runs along the rows of the turned image.
 */

/** Positions that a row becomes; [positions] i32 first pixel; [positions, chunks, 2, 8] i16, lower 8 bits and the rest. */
let positions: i32 = 0;
let starts: usize = 0;
let parts: usize = 0;
let chunks: i32 = 0;
/** Rows that the rows become, ascending; [lines, 2] i32 first row and number; [lines, ksize] i32. */
let lines: i32 = 0;
let bounds: usize = 0;
let weights: usize = 0;
let ksize: i32 = 0;
/** Sums of the lines under way: a ring of `ring` of them, `pitch` bytes each. */
let sums: usize = 0;
let ring: i32 = 0;
let pitch: usize = 0;
/** The result: u32 RGBA at `out + position · acrossBytes + line · downBytes`. */
let out: usize = 0;
let acrossBytes: i32 = 0;
let downBytes: i32 = 0;
let isDownFirst: bool = false;
/** Room for two rows of [positions] u32, or for three planes of pixels. */
let scratch: usize = 0;
/** Lines that are done, and that have begun. */
let doneLines: i32 = 0;
let begunLines: i32 = 0;

const HALF: i32 = 1 << 21;

export function set_along(count: i32, firsts: usize, split: usize, chunkCount: i32): void {
  positions = count;
  starts = firsts;
  parts = split;
  chunks = chunkCount;
}

export function set_down(count: i32, limits: usize, taps: usize, tapCount: i32): void {
  lines = count;
  bounds = limits;
  weights = taps;
  ksize = tapCount;
  doneLines = 0;
  begunLines = 0;
}

export function set_resized(
  target: usize, across: i32, down: i32, downFirst: i32, at: usize, ringLines: i32, linePitch: i32, room: usize,
): void {
  out = target;
  acrossBytes = across;
  downBytes = down;
  isDownFirst = downFirst != 0;
  sums = at;
  ring = ringLines;
  pitch = linePitch;
  scratch = room;
}

/** One row of pixels, [first, first + count) of the planes; `r`, `g` and `b` are where pixel 0 would be. */
export function resize_row(y: i32, r: usize, g: usize, b: usize, first: i32, count: i32): void {
  while (begunLines < lines && load<i32>(bounds + (<usize>begunLines << 3)) <= y) {
    const start = sums + <usize>(begunLines % ring) * pitch;
    const half = i32x4.splat(HALF);
    for (let at: usize = 0; at < pitch; at += 16) v128.store(start + at, half);
    ++begunLines;
  }
  if (doneLines == begunLines) return;
  if (!isDownFirst) along(r, g, b, scratch, 4);
  const third = pitch / 3;
  for (let line = doneLines; line < begunLines; ++line) {
    const bound = bounds + (<usize>line << 3);
    const tap = y - load<i32>(bound);
    if (tap < load<i32>(bound, 4)) {
      const weight = i32x4.splat(load<i32>(weights + (<usize>(line * ksize + tap) << 2)));
      const sum = sums + <usize>(line % ring) * pitch;
      if (isDownFirst) {
        add(r + first, count, weight, sum);
        add(g + first, count, weight, sum + third);
        add(b + first, count, weight, sum + 2 * third);
      } else add(scratch, positions << 2, weight, sum);
    }
    if (tap + 1 >= load<i32>(bound, 4) && line == doneLines) {
      finish(line, first, count);
      ++doneLines;
    }
  }
}

/** A sum's bytes; then, of a photo that is turned, its other pass. */
function finish(line: i32, first: i32, count: i32): void {
  const sum = sums + <usize>(line % ring) * pitch;
  const target = out + line * downBytes;
  if (isDownFirst) {
    const third = pitch / 3;
    const room = third >> 2;
    round(sum, count, scratch);
    round(sum + third, count, scratch + room);
    round(sum + 2 * third, count, scratch + 2 * room);
    along(scratch - first, scratch + room - first, scratch + 2 * room - first, target, acrossBytes);
    return;
  }
  // The row in `scratch` is still to be added to other lines.
  const bytes = scratch + (pitch >> 2);
  round(sum, positions << 2, bytes);
  for (let i = 0; i < positions; ++i) store<u32>(target + i * acrossBytes, load<u32>(bytes + (<usize>i << 2)));
}

/** Adds `count` weighted bytes, in steps of 16. */
// @ts-ignore: decorator
@inline
function add(row: usize, count: i32, weight: v128, sum: usize): void {
  const end = row + count;
  for (; row < end; row += 16) {
    const bytes = v128.load(row);
    const low = i16x8.extend_low_i8x16_u(bytes), high = i16x8.extend_high_i8x16_u(bytes);
    v128.store(sum, i32x4.add(v128.load(sum), i32x4.mul(i32x4.extend_low_i16x8_u(low), weight)));
    v128.store(sum, i32x4.add(v128.load(sum, 16), i32x4.mul(i32x4.extend_high_i16x8_u(low), weight)), 16);
    v128.store(sum, i32x4.add(v128.load(sum, 32), i32x4.mul(i32x4.extend_low_i16x8_u(high), weight)), 32);
    v128.store(sum, i32x4.add(v128.load(sum, 48), i32x4.mul(i32x4.extend_high_i16x8_u(high), weight)), 48);
    sum += 64;
  }
}

/** `count` sums to bytes, in steps of 16. */
function round(sum: usize, count: i32, to: usize): void {
  const end = to + count;
  for (; to < end; to += 16) {
    const low = i16x8.narrow_i32x4_s(i32x4.shr_s(v128.load(sum), 22), i32x4.shr_s(v128.load(sum, 16), 22));
    const high = i16x8.narrow_i32x4_s(i32x4.shr_s(v128.load(sum, 32), 22), i32x4.shr_s(v128.load(sum, 48), 22));
    v128.store(to, i8x16.narrow_i16x8_u(low, high));
    sum += 64;
  }
}

/**
 * The pass inside a row. Weights are split in two of 16 bits, so that one `dot` has eight pixels of a plane; the sum of both, in
 * 32 bits, is the sum of the whole weights.
 */
function along(r: usize, g: usize, b: usize, target: usize, bytes: i32): void {
  let part = parts;
  const half = i32x4.splat(HALF);
  const zero = i32x4.splat(0);
  for (let i = 0; i < positions; ++i) {
    let at = <usize>load<i32>(starts + (<usize>i << 2));
    let red = zero, green = zero, blue = zero, red8 = zero, green8 = zero, blue8 = zero;
    for (let chunk = 0; chunk < chunks; ++chunk) {
      const low = v128.load(part), high = v128.load(part, 16);
      let pixels = v128.load8x8_u(r + at);
      red = i32x4.add(red, i32x4.dot_i16x8_s(pixels, low));
      red8 = i32x4.add(red8, i32x4.dot_i16x8_s(pixels, high));
      pixels = v128.load8x8_u(g + at);
      green = i32x4.add(green, i32x4.dot_i16x8_s(pixels, low));
      green8 = i32x4.add(green8, i32x4.dot_i16x8_s(pixels, high));
      pixels = v128.load8x8_u(b + at);
      blue = i32x4.add(blue, i32x4.dot_i16x8_s(pixels, low));
      blue8 = i32x4.add(blue8, i32x4.dot_i16x8_s(pixels, high));
      at += 8;
      part += 32;
    }
    red = i32x4.add(red, i32x4.shl(red8, 8));
    green = i32x4.add(green, i32x4.shl(green8, 8));
    blue = i32x4.add(blue, i32x4.shl(blue8, 8));
    // [R, G, R, G] and [B, 0, B, 0] of two halves, then the halves.
    const rg = i32x4.add(v128.shuffle<i32>(red, green, 0, 4, 1, 5), v128.shuffle<i32>(red, green, 2, 6, 3, 7));
    const b0 = i32x4.add(v128.shuffle<i32>(blue, zero, 0, 4, 1, 5), v128.shuffle<i32>(blue, zero, 2, 6, 3, 7));
    const sum = i32x4.add(v128.shuffle<i64>(rg, b0, 0, 2), v128.shuffle<i64>(rg, b0, 1, 3));
    const words = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(sum, half), 22), zero);
    v128.store32_lane(target, i8x16.narrow_i16x8_u(words, words), 0);
    target += bytes;
  }
}
