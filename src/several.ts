/** Calls for several images: a few at a time, results in the images' order. */

/**
 * Does `work` with every item, `limit` at once.
 *
 * @param given the signal whose reason is passed on as it is
 * @throws what `work` throws first, its message and its property `index` saying with which item; no other item is begun then, and
 * those that were have ended
 */
export async function inTurn<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
  given?: AbortSignal,
): Promise<readonly R[]> {
  const results = new Array<R>(items.length);
  let failure: { readonly error: unknown } | undefined;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const index = next++;
      try {
        results[index] = await work(items[index]!);
      } catch (error) {
        failure ??= { error: given?.aborted === true && error === given.reason ? error : placed(error, index) };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (failure !== undefined) throw failure.error;
  return results;
}

/** The same error, which now says which image it is about. */
function placed(error: unknown, index: number): unknown {
  if (!(error instanceof Error)) return error;
  const message = { value: `images[${index}]: ${error.message}`, configurable: true, writable: true };
  return Object.defineProperties(error, { message, index: { value: index, enumerable: true } });
}
