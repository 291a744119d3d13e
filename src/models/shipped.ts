/** Models whose weights are in the package, in `models/`: rows of `PRETRAINED`. `bench/experiments/ship.ts` writes this file with the weights. */
export const SHIPPED = {} as const;
