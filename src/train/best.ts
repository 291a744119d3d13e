/** Which epoch was the best on the validation set. */
import type { EpochRecord } from "./state.ts";

/** The score of an epoch: mean average precision of several labels, otherwise top-1. */
const scoreOf = ({ valMap, valTop1 = 0 }: EpochRecord): number => valMap ?? valTop1;

/** Whether an epoch validated better than another: by the score, and by the loss where that is the same. */
function isBetter(one: EpochRecord, other: EpochRecord): boolean {
  const gain = scoreOf(one) - scoreOf(other);
  return gain > 0 || (gain === 0 && one.valLoss! < other.valLoss!);
}

/** The best epoch, the first of equals; `undefined` of none. */
export function bestOf(history: readonly EpochRecord[]): EpochRecord | undefined {
  return history.reduce<EpochRecord | undefined>((best, each) => {
    return best === undefined || isBetter(each, best) ? each : best;
  }, undefined);
}
