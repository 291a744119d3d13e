/** What a mistyped name may have meant. */
import { expectedGot, OptionError } from "./errors.ts";

/** Names that an error offers at most. */
const SHOWN = 3;

/** Insertions, deletions and replacements of a character that make one text of the other (Levenshtein). */
export function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 0; i < from.length; ++i) {
    const next = [i + 1];
    for (let j = 0; j < to.length; ++j) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (from[i] === to[j] ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1)!;
}

/** Of `names` those that are nearest to `name`, case aside: within half of its length, or with it inside. */
export function near(name: string, names: readonly string[]): readonly string[] {
  const wanted = name.toLowerCase();
  return names
    .map((each) => {
      const one = each.toLowerCase();
      const isInside = wanted !== "" && one.includes(wanted);
      return { each, steps: isInside ? 0 : distance(wanted, one), isNear: isInside };
    })
    .filter(({ steps, isNear }) => isNear || steps <= name.length / 2)
    .sort((a, b) => a.steps - b.steps)
    .slice(0, SHOWN)
    .map(({ each }) => each);
}

/** The error for a name that is not among `names`, with those that are nearest to it. */
export function unknownName(option: string, expected: string, name: string, names: readonly string[]): OptionError {
  const found = near(name, names);
  const some = found.length === 0 ? names.slice(0, SHOWN) : found;
  const quoted = some.map((each) => `"${each}"`).join(", ");
  const hint = names.length === 0 ? undefined : found.length === 0 ? `there are ${quoted} …` : `nearest: ${quoted}`;
  return new OptionError(option, expectedGot(option, expected, `"${name}"`, hint));
}
