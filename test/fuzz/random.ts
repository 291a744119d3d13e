/** A reproducible source of choices. */
export interface Random {
  /** A whole number from 0, below `n`. */
  below(n: number): number;
  /** True in about one of `n` calls. */
  oneIn(n: number): boolean;
  pick<T>(list: readonly T[]): T;
}

/** mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return { below, oneIn: (n) => below(n) === 0, pick: (list) => list[below(list.length)]! };
}
