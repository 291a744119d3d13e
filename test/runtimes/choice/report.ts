/** What is reported of the choice in one engine. */

/** How much slower `auto` may be than the best of all builds and ways. */
export const LIMIT = 1.05;

export interface Ratio {
  readonly task: string;
  /** Time of `auto` over that of the best. */
  readonly ratio: number;
  /** The way that `auto` takes. */
  readonly auto: string;
  /** Shortest times, the fastest first. */
  readonly ways: readonly { readonly name: string; readonly ms: number }[];
  readonly rounds: number;
}
