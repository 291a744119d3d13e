/**
 * Memory of images that are being decoded, or wait decoded for their turn, against one limit for the process: a photo is
 * decoded when there is room for it, in the order of asking.
 *
 * Whoever waits looks again by a timer of its own, and an owner that does not come back is forgotten after a minute: in a
 * Worker it may belong to a request whose client has hung up, which stops without a word.
 */

/** Bytes at once. A larger image is decoded when nothing else is. */
export const LIMIT_BYTES = 256 * 2 ** 20;
const FORGOTTEN_MS = 60_000;
/** Those who wait look this often, and are given up when they have not looked for a second. */
const LOOK_MS = 8;
const GONE_MS = 1000;

interface Entry {
  bytes: number;
  /** When the owner was last heard of. */
  seen: number;
}

const owners = new Set<Entry>();
const waiting = new Set<Entry>();

function drop(entries: Set<Entry>, olderThan: number): void {
  for (const entry of entries) if (entry.seen < olderThan) entries.delete(entry);
}

/** Whether `entry`, first of those who wait, has room within `limit` bytes. */
function mayEnter(entry: Entry, limit: number): boolean {
  const now = Date.now();
  entry.seen = now;
  drop(waiting, now - GONE_MS);
  drop(owners, now - FORGOTTEN_MS);
  const [first] = waiting;
  if (first !== undefined && first !== entry) return false;
  let taken = 0;
  for (const { bytes } of owners) taken += bytes;
  return owners.size === 0 || taken + entry.bytes <= limit;
}

/** A share of the memory for one image. */
export class Turn {
  #entry: Entry | undefined;

  /** Waits until there is room for `bytes` within `limit` bytes of all images, or no other image. */
  async take(bytes: number, limit = LIMIT_BYTES): Promise<void> {
    const entry = { bytes, seen: Date.now() };
    while (!mayEnter(entry, limit)) {
      waiting.add(entry);
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
    waiting.delete(entry);
    owners.add(entry);
    this.#entry = entry;
  }

  /** Lets all but `bytes` go: what remains of an image when its decoder is done. */
  keep(bytes: number): void {
    if (this.#entry !== undefined) this.#entry.bytes = Math.min(this.#entry.bytes, bytes);
  }

  release(): void {
    if (this.#entry !== undefined) owners.delete(this.#entry);
    this.#entry = undefined;
  }
}

/** Bytes of all images under way. */
export function bytesInFlight(): number {
  let sum = 0;
  for (const { bytes } of owners) sum += bytes;
  return sum;
}
