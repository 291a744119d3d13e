/**
 * All contenders in one process, warm and interleaved: in each round every one computes once, and the next round goes
 * in the opposite order. Before anything is timed, their logits must agree.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expectedGot } from "../../src/errors.ts";
import { countJoules } from "../lib/energy.ts";
import { answer, useVectors } from "./child.ts";
import type { Absence, Contender, Job, Warm } from "./contest.ts";
import { engine, type Session, Unavailable } from "./engines/engine.ts";
import { imagesOf } from "./network.ts";
import { farthest, TOLERANCE, warmUp } from "./rounds.ts";

/** Lets an engine's threads, which look out for more work for a while, go to sleep before another's turn. */
const SETTLE_MS = 50;

/** What `warm.ts` answers. */
export interface Warms {
  readonly warms: readonly Warm[];
  readonly absent: readonly Absence[];
}

interface Entry {
  readonly contender: Contender;
  readonly session: Session;
  readonly difference: number;
  readonly ms: number[];
  /** Empty where the machine does not tell. */
  readonly joules: number[];
}

await answer(async (job: Job): Promise<Warms> => {
  useVectors(job.setting.vectors);
  const { entries, absent } = await enter(job);
  const turn = async (entry: Entry): Promise<number> => {
    if (job.setting.threads > 1) await sleep(SETTLE_MS);
    const start = performance.now();
    await entry.session.run();
    return performance.now() - start;
  };
  for (const entry of entries) await warmUp(() => turn(entry));
  for (let round = 0; round < job.rounds; ++round) {
    for (const entry of round % 2 === 0 ? entries : entries.toReversed()) {
      const joulesSince = countJoules();
      entry.ms.push(await turn(entry));
      const joules = joulesSince();
      if (joules !== undefined) entry.joules.push(joules);
    }
  }
  const warms = entries.map(({ contender, session: _, ...measured }): Warm => ({ ...contender, ...measured }));
  return { warms, absent };
});

/** Opens every engine and compares its logits with the first one's. Throws `Error` where they disagree. */
async function enter({ setting, files, contenders }: Job): Promise<{ entries: Entry[]; absent: Absence[] }> {
  const images = imagesOf(setting);
  const entries: Entry[] = [];
  const absent: Absence[] = [];
  let expected: Float32Array | undefined;
  for (const contender of contenders) {
    try {
      const open = await engine(contender.engine);
      const session = await open(files, setting, images, contender.build);
      const logits = Float32Array.from(await session.run());
      expected ??= logits;
      const difference = farthest(logits, expected);
      const tolerance = TOLERANCE[setting.dtype];
      if (!(difference <= tolerance)) {
        const where = `versus: ${setting.model} by ${contender.engine} ${contender.build}`;
        const first = entries[0]!.contender;
        const what = `the logits of ${first.engine} ${first.build} within ${tolerance} of the largest`;
        throw new Error(expectedGot(where, what, `${difference}`));
      }
      entries.push({ contender, session, difference, ms: [], joules: [] });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      absent.push({ ...contender, ...setting, reason: error.message });
    }
  }
  return { entries, absent };
}
