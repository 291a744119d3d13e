/** Mutations that know nothing of the format. */
import type { Random } from "./random.ts";

/** Values at which lengths, counts and signs break. */
const EDGES = [
  0, 1, 2, 11, 12, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
];
/** Numbers that no weight should be. */
export const BAD_FLOATS = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  3.4e38,
  -3.4e38,
  1e-45,
  -1,
  0,
];
const MAX_LENGTH = 1 << 20;

/** The bytes with one to four small changes. */
export function mutateBytes(given: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = given.slice();
  for (let changes = 1 + random.below(4); changes > 0; --changes) bytes = changeOnce(bytes, random);
  return bytes;
}

function changeOnce(bytes: Uint8Array, random: Random): Uint8Array {
  const { length } = bytes;
  if (length === 0) return Uint8Array.of(random.below(256));
  const at = random.oneIn(2) ? random.below(Math.min(length, 256)) : random.below(length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const span = 1 + random.below(Math.min(64, length - at));
  switch (random.below(11)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2:
      bytes[at] = random.pick(EDGES);
      return bytes;
    case 3:
      if (at + 2 <= length) view.setUint16(at, random.pick(EDGES), random.oneIn(2));
      return bytes;
    case 4:
      if (at + 4 <= length) view.setUint32(at, random.pick(EDGES), random.oneIn(2));
      return bytes;
    case 5:
      if (at + 4 <= length) view.setFloat32(at & ~3, random.pick(BAD_FLOATS), true);
      return bytes;
    case 6:
      return bytes.subarray(0, at);
    case 7:
      return join(bytes.subarray(0, at), bytes.subarray(at + span));
    case 8: {
      const times = random.oneIn(20) ? 2000 : 1 + random.below(4);
      if (length + times * span > MAX_LENGTH) return bytes;
      return join(bytes.subarray(0, at), ...Array(times).fill(bytes.subarray(at, at + span)), bytes.subarray(at));
    }
    case 9:
      bytes.copyWithin(random.below(length), at, at + span);
      return bytes;
    default:
      return replaceNumber(bytes, random);
  }
}

/** Another number in place of one written in digits, of the same length or another. */
function replaceNumber(bytes: Uint8Array, random: Random): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 1 << 16)).toString("latin1");
  const numbers = [...text.matchAll(/\d+/g)];
  if (numbers.length === 0) return bytes;
  const { 0: digits, index } = random.pick(numbers);
  const other = random.oneIn(2) ? `${random.pick(EDGES)}` : Array.from(digits, () => random.below(10)).join("");
  return join(bytes.subarray(0, index), Buffer.from(other), bytes.subarray(index + digits.length));
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
