/** What stands in a worker's file for the parts of the library that it does without: see `build.ts`. */

/** What is thrown when such a part is used after all. */
const MISSED = new Error("expected a part of the library that this worker has, got one that it does without");

const miss = (): never => {
  throw MISSED;
};

/** Anything that such a part exports. */
export const leftOut: unknown = new Proxy(() => {}, { get: miss, apply: miss, construct: miss });

/** Whether an error came of it. */
export function isMissed(error: unknown): boolean {
  return error === MISSED || (error instanceof Error && error.cause !== undefined && isMissed(error.cause));
}
