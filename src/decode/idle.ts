/** Decoders that wait for their next image. */

/** A decoder and its memory. */
export interface Kept<T> {
  readonly decoder: T;
  readonly memory: WebAssembly.Memory;
}

/** Decoders with more bytes of memory are not kept: wasm memory never shrinks. */
const KEPT_BYTES = 24 * 2 ** 20;

/**
 * One idle decoder for each module. A caller that finds none starts its own and does not wait: in a Worker the other may belong
 * to a request whose client has hung up.
 */
export class Idle<T> {
  readonly #kept = new WeakMap<WebAssembly.Module, Kept<T>>();

  take(module: WebAssembly.Module): Kept<T> | undefined {
    const kept = this.#kept.get(module);
    this.#kept.delete(module);
    return kept;
  }

  /** Keeps a decoder that has succeeded, unless it is large. */
  keep(module: WebAssembly.Module, kept: Kept<T>): void {
    if (kept.memory.buffer.byteLength <= KEPT_BYTES) this.#kept.set(module, kept);
  }
}
