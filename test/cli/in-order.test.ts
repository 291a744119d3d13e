/** Work at once, results in order. */
import { expect, it } from "vitest";
import { inOrder } from "../../src/cli/in-order.ts";

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

it("yields in the order of the items, and works on no more than the limit at once", async () => {
  let [running, most] = [0, 0];
  const results: number[] = [];
  const delays = [30, 1, 20, 5, 1, 10, 1];
  for await (const result of inOrder(delays, 3, async (ms, at) => {
    running += 1;
    most = Math.max(most, running);
    await sleep(ms);
    running -= 1;
    return at;
  })) {
    results.push(result);
  }
  expect(results).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(most).toBe(3);
});
it("yields what comes before a failure, begins nothing after it, and waits for what has begun", async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  const seen: number[] = [];
  const run = async (): Promise<void> => {
    const work = async (item: number): Promise<number> => {
      begun.push(item);
      await sleep(item === 0 ? 20 : 5);
      ended.push(item);
      if (item === 1) throw new RangeError("one");
      return item;
    };
    for await (const item of inOrder([0, 1, 2, 3], 2, work)) seen.push(item);
  };
  await expect(run()).rejects.toThrow("one");
  expect(seen).toEqual([0]);
  expect(begun).toEqual([0, 1]);
  expect(ended.sort()).toEqual([0, 1]);
});
it("yields nothing of nothing", async () => {
  for await (const _ of inOrder([], 4, async () => 1)) throw new Error("expected nothing");
});
