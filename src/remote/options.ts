/** Options with functions, which a page keeps and a worker calls. */
import type { Peer } from "./peer.ts";

/** What a page posts of options: the names of those that are functions, and the rest. */
export interface PostedOptions {
  readonly plain: Readonly<Record<string, unknown>>;
  readonly callbacks: readonly string[];
}

/** Options as a worker's library takes them: a function tells the page. */
export function openOptions(
  page: () => Peer,
  { plain, callbacks }: PostedOptions,
  signal: AbortSignal,
): Record<string, unknown> {
  const listening = callbacks.map((name) => {
    const tell = (...args: readonly unknown[]): Promise<unknown> => {
      const told = page().call("event", [name, args]);
      // Not every event is waited for; the page ends the work where its function throws.
      told.catch(() => {});
      return told;
    };
    return [name, tell] as const;
  });
  return { ...plain, ...Object.fromEntries(listening), signal };
}
