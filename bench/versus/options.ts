/** Lists among a bench's options. */
import { expectedGot } from "../../src/errors.ts";
import type { Vectors } from "../../src/variants.ts";

/** Words that are known, between commas. Throws `RangeError` for another. */
export function among<T extends string>(where: string, text: string, known: readonly T[]): readonly T[] {
  return text.split(",").map((word) => {
    const found = known.find((each) => each === word);
    if (found === undefined) throw new RangeError(expectedGot(where, `some of ${known.join(", ")}`, `"${word}"`));
    return found;
  });
}

/** Counts between commas. */
export function counts(where: string, text: string): readonly number[] {
  return text.split(",").map((word) => count(where, word));
}

/** Throws `RangeError` for anything but a whole number from 1. */
export function count(where: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(expectedGot(where, "a whole number from 1", `"${text}"`));
  }
  return value;
}

/** The vectors that `--vectors 128|256|both` asks for. Throws `RangeError` for anything else. */
export function vectorsOf(text: string): readonly Vectors[] {
  if (text === "both") return [128, 256];
  if (text === "128" || text === "256") return [text === "128" ? 128 : 256];
  throw new RangeError(expectedGot("--vectors", "128, 256 or both", `"${text}"`));
}
