/**
 * The codes of scans, a window at a time: a file of 20 MB is held once, by whoever gave it, and not again in the decoder's memory.
 */
import type { Room } from "./jpeg-room.ts";

/** Codes of a scan that are in the decoder's memory at once, and the least that may be: a window moves on by whole markers. */
const [WINDOW_BYTES, LEAST_BYTES] = [16384, 4];
/** What ends a window. */
const END_MARKER = [0xff, 0xd9, 0, 0];
/** Behind it, for words that reach beyond. */
const PADDING = 16;

interface Window {
  readonly address: number;
  readonly size: number;
  /** The part of the file that is there. */
  from: number;
  to: number;
}

export class Windows {
  readonly #room: Room;
  readonly #bytes: Uint8Array;
  readonly #most: number;
  readonly #all: Window[] = [];

  constructor(room: Room, bytes: Uint8Array, most = WINDOW_BYTES) {
    this.#room = room;
    this.#bytes = bytes;
    this.#most = most;
  }

  /** A window at the codes [from, to): its number, its address, and how many are there. */
  open(from: number, to: number): readonly [id: number, address: number, bytes: number] {
    const size = Math.min(this.#most, Math.max(LEAST_BYTES, to - from));
    const address = this.#room.take(size + END_MARKER.length + PADDING);
    const window = { address, size, from, to: from };
    this.#all.push(window);
    return [this.#all.length - 1, address, this.#fill(window, from)];
  }

  /** Moves a window on, to begin with the byte that is at the address `from`. Gives how many are there now; 0 when no more come. */
  more(id: number, from: number): number {
    const window = this.#all[id]!;
    if (window.to >= this.#bytes.length) return 0;
    return this.#fill(window, window.from + (from - window.address));
  }

  #fill(window: Window, from: number): number {
    const part = this.#bytes.subarray(from, from + window.size);
    const memory = this.#room.bytes(window.address, part.length + END_MARKER.length);
    memory.set(part);
    memory.set(END_MARKER, part.length);
    window.from = from;
    window.to = from + part.length;
    return part.length;
  }
}
