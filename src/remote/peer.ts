/**
 * Calls over a port, in both directions: a page, its workers and what they serve to each other. What is called, what it is called
 * with and what it gives are structured clones; errors are portable; an abort passes.
 */
import { fromPortable, type PortableError, toPortable } from "../portable-error.ts";

/** The first message of a worker: its file is there, and may run. */
export const READY = "ready";

/** What posts to the other end. */
export type Post = (message: unknown, transfer: Transferable[]) => void;

/** Does what the other end calls. A `Moved` answer is transferred, any other cloned. */
export type Handler = (args: readonly unknown[], signal: AbortSignal) => unknown;

/** A value, some of whose memory moves to the other end. */
export class Moved {
  readonly value: unknown;
  readonly transfer: readonly Transferable[];

  constructor(value: unknown, transfer: readonly Transferable[]) {
    this.value = value;
    this.transfer = transfer;
  }
}

type Message =
  | { readonly kind: "call"; readonly id: number; readonly name: string; readonly args: readonly unknown[] }
  | { readonly kind: "abort"; readonly id: number }
  | { readonly kind: "done"; readonly id: number; readonly value: unknown }
  /** `aborted`: it failed by the signal's reason. */
  | { readonly kind: "failed"; readonly id: number; readonly error: PortableError; readonly aborted: boolean };

interface Waiting {
  readonly signal: AbortSignal | undefined;
  done(value: unknown): void;
  failed(error: unknown): void;
}

/** One end. */
export class Peer {
  readonly #post: Post;
  readonly #handlers: Readonly<Record<string, Handler>>;
  /** Calls of this end, by number. */
  readonly #waiting = new Map<number, Waiting>();
  /** Calls of the other end that are being done. */
  readonly #doing = new Map<number, AbortController>();
  #next = 0;
  #lost: unknown;

  constructor(post: Post, handlers: Readonly<Record<string, Handler>> = {}) {
    this.#post = post;
    this.#handlers = handlers;
  }

  /** Takes a message from the other end. */
  receive(given: unknown): void {
    const message = given as Message;
    if (message.kind === "call") void this.#do(message);
    else if (message.kind === "abort") this.#doing.get(message.id)?.abort();
    else {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.kind === "done") waiting?.done(message.value);
      else if (message.aborted && waiting?.signal?.aborted === true) waiting.failed(waiting.signal.reason);
      else waiting?.failed(fromPortable(message.error));
    }
  }

  /**
   * Calls the other end. With a signal that aborts, it is told so, and what it answers then is waited for.
   *
   * @throws what it throws there; the signal's reason; `DataCloneError` for arguments that cannot be posted
   */
  async call(
    name: string,
    args: readonly unknown[],
    { signal, transfer = [] }: { readonly signal?: AbortSignal | undefined; readonly transfer?: Transferable[] } = {},
  ): Promise<unknown> {
    signal?.throwIfAborted();
    if (this.#lost !== undefined) throw this.#lost;
    const id = this.#next++;
    const onAbort = (): void => this.#post({ kind: "abort", id } satisfies Message, []);
    this.#post({ kind: "call", id, name, args } satisfies Message, transfer);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await new Promise((done, failed) => this.#waiting.set(id, { signal, done, failed }));
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** The other end is gone: calls that wait, and those to come, fail by this error. */
  lose(error: unknown): void {
    this.#lost ??= error;
    for (const { failed } of this.#waiting.values()) failed(error);
    this.#waiting.clear();
    for (const controller of this.#doing.values()) controller.abort();
  }

  async #do({ id, name, args }: Extract<Message, { kind: "call" }>): Promise<void> {
    const controller = new AbortController();
    this.#doing.set(id, controller);
    try {
      const result = await this.#handlers[name]!(args, controller.signal);
      const { value, transfer } = result instanceof Moved ? result : { value: result, transfer: [] };
      this.#post({ kind: "done", id, value } satisfies Message, [...transfer]);
    } catch (error) {
      const aborted = controller.signal.aborted && error === controller.signal.reason;
      this.#post({ kind: "failed", id, error: toPortable(error), aborted } satisfies Message, []);
    } finally {
      this.#doing.delete(id);
    }
  }
}

/** A peer at one end of a channel. */
export function peerOf(port: MessagePort, handlers: Readonly<Record<string, Handler>> = {}): Peer {
  const peer = new Peer((message, transfer) => port.postMessage(message, transfer), handlers);
  port.onmessage = ({ data }) => peer.receive(data);
  return peer;
}
