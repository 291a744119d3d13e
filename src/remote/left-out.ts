/** What stands in a worker's file for the parts of the library that it does without: see `build.ts`. */

class Missed extends Error {}

/** Anything that such a part exports. It throws when it is used after all. */
export function leftOut(name: string): unknown {
  const miss = (): never => {
    throw new Missed(`expected ${name} in this worker, got a file that does without it`);
  };
  return new Proxy(() => {}, { get: miss, apply: miss, construct: miss });
}

/** Whether an error came of it. */
export function isMissed(error: unknown): boolean {
  return error instanceof Missed || (error instanceof Error && error.cause !== undefined && isMissed(error.cause));
}
