/** Memory of images under way is counted: however many are asked for at once, few are decoded at once. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Photo } from "../../src/decode/input.ts";
import { withPicture } from "../../src/decode/photo.ts";
import { bytesInFlight, Turn } from "../../src/decode/turn.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";
import { pngOf } from "./png-file.ts";

function photoOf(rows: Uint8Array): Photo {
  return { encoded: pngOf(8, 8, rows), name: "image" };
}

const LIMIT = 256 * 2 ** 20;

afterEach(() => vi.useRealTimers());

describe("turns", () => {
  it("are given in the order of asking, as far as memory goes", async () => {
    const order: number[] = [];
    const turns = [100e6, 100e6, 100e6, 50e6, 1].map(async (bytes, i) => {
      const turn = new Turn();
      await turn.take(bytes);
      order.push(i);
      expect(bytesInFlight()).toBeLessThanOrEqual(LIMIT);
      await new Promise((done) => setTimeout(done, 30));
      turn.release();
    });
    await Promise.all(turns);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(bytesInFlight()).toBe(0);
  });
  it("let an image larger than the limit go alone", async () => {
    const [large, small] = [new Turn(), new Turn()];
    await large.take(2 * LIMIT);
    let entered = false;
    const after = small.take(1).then(() => {
      entered = true;
    });
    await new Promise((done) => setTimeout(done, 40));
    expect(entered).toBe(false);
    large.keep(1000);
    await after;
    expect(bytesInFlight()).toBe(1001);
    large.release();
    small.release();
    expect(bytesInFlight()).toBe(0);
  });
  it("are taken back from those who never return", async () => {
    vi.useFakeTimers();
    await new Turn().take(LIMIT);
    const next = new Turn();
    const taken = next.take(LIMIT);
    await vi.advanceTimersByTimeAsync(59_000);
    expect(bytesInFlight()).toBe(LIMIT);
    await vi.advanceTimersByTimeAsync(2000);
    await taken;
    next.release();
    expect(bytesInFlight()).toBe(0);
  });
});

describe("pixels", () => {
  it("of many large images at once stay below the limit", async () => {
    const side = 4000;
    const bytes = pngOf(side, side, Buffer.alloc(side * (4 * side + 1)));
    expect(bytes.length).toBeLessThan(1e6);
    let [most, done] = [0, 0];
    const works = Array.from({ length: 10 }, () =>
      withPicture({ encoded: bytes, name: "image" }, nodeRuntime(), {}, async ({ pixels: { data } }) => {
        most = Math.max(most, bytesInFlight());
        expect(data.length).toBe(4 * side * side);
        done += 1;
      }),
    );
    await Promise.all(works);
    expect(done).toBe(10);
    expect(most).toBeLessThanOrEqual(LIMIT);
    expect(bytesInFlight()).toBe(0);
  }, 60_000);
  it("that fail give their turn back", async () => {
    const fails = withPicture(photoOf(new Uint8Array(5)), nodeRuntime(), {}, async () => {});
    await expect(fails).rejects.toMatchObject({ code: "truncated" });
    const works = withPicture(photoOf(Buffer.alloc(8 * 33)), nodeRuntime(), {}, async () => {
      throw new Error("work");
    });
    await expect(works).rejects.toThrow("work");
    expect(bytesInFlight()).toBe(0);
  });
});
