/** Work on several items: a few at a time, results in the items' order. */

/**
 * Does `work` with every item, `limit` at once.
 *
 * @param failed what to throw for an error, and the index of the item that it came of; the error when absent
 * @throws what `work` throws first; no other item is begun then, and those that were have ended
 */
export async function inTurn<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
  failed: (error: unknown, index: number) => unknown = (error) => error,
): Promise<readonly R[]> {
  const results = new Array<R>(items.length);
  let failure: { readonly error: unknown } | undefined;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const index = next++;
      try {
        results[index] = await work(items[index]!, index);
      } catch (error) {
        failure ??= { error: failed(error, index) };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (failure !== undefined) throw failure.error;
  return results;
}

/** The same error, which now says which image it is about; not the signal's reason, which is about none. */
export function placed(error: unknown, index: number, signal: AbortSignal | undefined): unknown {
  if (!(error instanceof Error) || (signal?.aborted === true && error === signal.reason)) return error;
  const message = { value: `images[${index}]: ${error.message}`, configurable: true, writable: true };
  return Object.defineProperties(error, { message, index: { value: index, enumerable: true } });
}
