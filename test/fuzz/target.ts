/** What is fuzzed: bytes from outside, and what the library makes of them. */
import type { Random } from "./random.ts";

/** Changes bytes in a way that keeps some of their structure, so that the change gets past the first checks. */
export type Mutator = (bytes: Uint8Array, random: Random) => Uint8Array | Promise<Uint8Array>;

export interface Target {
  readonly name: string;
  /** Small valid inputs, made by code or committed. */
  seeds(): Promise<readonly Uint8Array[]>;
  /** Beside `mutateBytes`, which every target gets. */
  readonly mutators: readonly Mutator[];
  /**
   * Gives an input to the library.
   *
   * @returns the answer's numbers, which must be finite; for the first seed, always the same
   * @throws typed errors only
   */
  run(bytes: Uint8Array): Promise<ArrayLike<number>>;
  /** What inputs are counted by, where that tells more than one count. */
  group?(bytes: Uint8Array): string;
}
