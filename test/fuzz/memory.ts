/** What a process holds when nothing is under way: its whole memory, and that of the WebAssembly in it, which V8 does not count. */

export interface Held {
  readonly rss: number;
  /** Of all memories that are reachable. */
  readonly wasm: number;
}

/** Watches every WebAssembly memory made from now on. Gives what tells what is held, after a collection. */
export function watchMemory(): () => Promise<Held> {
  const memories: WeakRef<WebAssembly.Memory>[] = [];
  const { Memory, instantiate } = WebAssembly;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      memories.push(new WeakRef(this));
    }
  };
  // A memory that a module makes for itself is among its exports.
  WebAssembly.instantiate = (async (source: WebAssembly.Module, imports?: WebAssembly.Imports) => {
    const instance = await instantiate(source, imports);
    for (const each of Object.values(instance.exports)) {
      if (each instanceof Memory && !(each instanceof WebAssembly.Memory)) memories.push(new WeakRef(each));
    }
    return instance;
  }) as typeof instantiate;
  return async () => {
    // A reference that was looked at in this turn is alive until its end.
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc?.();
    const wasm = memories.reduce((sum, each) => sum + (each.deref()?.buffer.byteLength ?? 0), 0);
    return { rss: process.memoryUsage.rss(), wasm };
  };
}
