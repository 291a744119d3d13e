/** Decoders between two images. */

/** A decoder and its memory. */
export interface Kept<T> {
  readonly decoder: T;
  readonly memory: WebAssembly.Memory;
}

/** Most memory of a decoder that is kept, in bytes. That of a large photo goes with it: wasm memory never shrinks. */
const KEPT_BYTES = 24 * 2 ** 20;

/**
 * One idle decoder a module. Whoever takes it has it alone; whoever finds none starts one, and waits for nobody: in a Worker
 * the one waited for may be a request whose client has hung up.
 */
export class Idle<T> {
  readonly #kept = new WeakMap<WebAssembly.Module, Kept<T>>();

  take(module: WebAssembly.Module): Kept<T> | undefined {
    const kept = this.#kept.get(module);
    this.#kept.delete(module);
    return kept;
  }

  /** Keeps a decoder that has done its work well, unless it is large. */
  keep(module: WebAssembly.Module, kept: Kept<T>): void {
    if (kept.memory.buffer.byteLength <= KEPT_BYTES) this.#kept.set(module, kept);
  }
}
