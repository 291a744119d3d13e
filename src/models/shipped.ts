/** Models whose weights are in the package, in `models/`. `bench/experiments/ship.ts` writes this file with the weights. */
import type { Pretrained } from "./pretrained.ts";

export const SHIPPED: Readonly<Record<string, Pretrained>> = {};
