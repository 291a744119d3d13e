/** Locks that pages share, over Node's own LockManager. */
import { describe, expect, it } from "vitest";
import { locked } from "../../src/runtimes/web-locks.ts";

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a lock", () => {
  it("is its own where nobody has it, and free afterwards", async () => {
    expect(await locked("free", { wait: false }, async (isMine) => isMine)).toBe(true);
    await expect(
      locked("free", { wait: true }, async () => {
        throw new RangeError("the work's own");
      }),
    ).rejects.toThrow("the work's own");
    expect(await locked("free", { wait: false }, async (isMine) => isMine)).toBe(true);
  });
  it("of a holder that answers is waited for, or left to it", async () => {
    const order: string[] = [];
    const first = locked("held", { wait: true }, async () => {
      await later(600);
      order.push("first");
    });
    await later(50);
    expect(await locked("held", { wait: false }, async (isMine) => isMine)).toBe(false);
    await locked("held", { wait: true }, async (isMine) => order.push(`second ${isMine}`));
    await first;
    expect(order).toEqual(["first", "second true"]);
  });
  it("of a holder that does not answer is taken", async () => {
    // As a page that is frozen has it.
    navigator.locks.request("frozen", () => new Promise(() => {})).catch(() => {});
    await later(50);
    expect(await locked("frozen", { wait: true }, async (isMine) => isMine)).toBe(true);
  });
  it("is given up on when the signal aborts", async () => {
    const controller = new AbortController();
    const first = locked("wanted", { wait: true }, () => later(800));
    await later(50);
    const second = locked("wanted", { wait: true, signal: controller.signal }, async () => "done");
    setTimeout(() => controller.abort(new RangeError("enough")), 100);
    await expect(second).rejects.toThrow("enough");
    await first;
  });
});
