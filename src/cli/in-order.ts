/**
 * Works on several items at once and yields the results in the items' order.
 *
 * @param limit how many at once
 * @throws what `work` throws first in that order; work that has begun then still ends before
 */
export async function* inOrder<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, at: number) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const done = new Map<number, { readonly value: R } | { readonly error: unknown }>();
  let next = 0;
  let wake = (): void => {};
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++;
      try {
        done.set(at, { value: await work(items[at]!, at) });
      } catch (error) {
        done.set(at, { error });
        next = items.length;
      }
      wake();
    }
  };
  const lanes = Array.from({ length: Math.min(limit, items.length) }, lane);
  try {
    for (let at = 0; at < items.length; ++at) {
      while (!done.has(at)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const result = done.get(at)!;
      done.delete(at);
      if ("error" in result) throw result.error;
      yield result.value;
    }
  } finally {
    next = items.length;
    await Promise.all(lanes);
  }
}
