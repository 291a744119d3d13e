/** Memory of a JPEG decoder. */

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

/** The next address that vectors may begin at. */
export const align = (bytes: number): number => Math.ceil(bytes / 16) * 16;

/** Addresses of a decoder's memory, given out one after the other. */
export class Room {
  readonly #memory: WebAssembly.Memory;
  #free: number;

  constructor(memory: WebAssembly.Memory, free: number) {
    this.#memory = memory;
    this.#free = align(free);
  }

  /** Room for `bytes`, whose contents are whatever was there. Throws `RangeError` when there is none. */
  take(bytes: number): number {
    const address = this.#free;
    this.#free = align(address + bytes);
    const missing = Math.ceil(this.#free / PAGE_BYTES) - this.#memory.buffer.byteLength / PAGE_BYTES;
    if (this.#free > MAX_PAGES * PAGE_BYTES) throw new RangeError("more than 4 GB");
    if (missing > 0) this.#memory.grow(missing);
    return address;
  }

  /** Room for `bytes`, zero; what the memory grows by is. */
  zeros(bytes: number): number {
    const used = this.#memory.buffer.byteLength;
    const address = this.take(bytes);
    this.bytes(address, Math.max(0, Math.min(bytes, used - address))).fill(0);
    return address;
  }

  /** Room with these bytes in it. */
  put(bytes: Uint8Array): number {
    const address = this.take(bytes.length);
    this.bytes(address, bytes.length).set(bytes);
    return address;
  }

  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }
}
