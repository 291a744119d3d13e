/** Comparing steps: by a clock of the test's own, on a machine that is busy, and where code becomes faster. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { compareSteps, type Times } from "../src/compare.ts";
import type { KernelExports, Step } from "../src/tape.ts";

afterEach(() => vi.restoreAllMocks());

const STEPS = ["a", "b"].map((kernel): Step => ({ label: kernel, kernel, units: 1, args: [] }) as unknown as Step);

/** Kernels `a` and `b` that take `ms(kernel, call)` each; reading the clock, which moves in steps of `tick` ms, takes a microsecond. */
function kernels(ms: (kernel: string, call: number) => number, tick = 0.001): KernelExports {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += 0.001;
    return tick * Math.floor(now / tick);
  });
  const calls: Record<string, number> = { a: 0, b: 0 };
  const kernel = (name: string) => (): void => {
    now += ms(name, calls[name]!++);
  };
  return { a: kernel("a"), b: kernel("b") } as unknown as KernelExports;
}

describe("compareSteps", () => {
  it("takes the shortest of each step, whatever disturbs the others", () => {
    const exports = kernels((kernel, call) => (kernel === "a" ? 1 : 2) + (call % 40 < 8 ? 0 : 25));
    const times = compareSteps(exports, STEPS, ({ spentMs }) => spentMs > 5000);
    expect(times!.best[1]! / times!.best[0]!).toBeCloseTo(2, 0);
  });
  it("does not take one disturbed timing for code that has become faster", () => {
    // The first turn behind those in which calls are counted.
    const exports = kernels((_, call) => (call >= 4 && call < 12 ? 40 : 1));
    const times = compareSteps(exports, STEPS, ({ spentMs }) => spentMs > 500);
    expect(times!.first.every((ms, i) => ms < 1.4 * times!.best[i]!)).toBe(true);
  });
  it("counts what was computed, not how long the clock went on", () => {
    const turns = (factor: number): number => {
      let count = 0;
      const exports = kernels((_, call) => (call % 40 < 8 ? 1 : factor));
      compareSteps(exports, STEPS, ({ spentMs }) => ++count > 0 && spentMs > 2000);
      vi.restoreAllMocks();
      return count;
    };
    expect(turns(10)).toBe(turns(1));
  });
  it("is stable when nothing has become faster in the last half of the turns", () => {
    const exports = kernels((_, call) => (call < 400 ? 3 : 1));
    const seen: Times[] = [];
    compareSteps(exports, STEPS, (times) => seen.push(times) > 0 && times.isStable && times.best[0]! < 5);
    const faster = seen.findIndex(({ best }) => best[0]! < 5);
    expect(seen.length).toBeGreaterThanOrEqual(2 * faster);
  });
  it("takes more calls when code has become too fast for the clock", () => {
    const exports = kernels((kernel, call) => (call < 40 ? 2 : kernel === "a" ? 0.01 : 0.02), 1);
    const times = compareSteps(exports, STEPS, ({ spentMs, isStable }) => isStable && spentMs > 300);
    expect(times!.best[1]! / times!.best[0]!).toBeCloseTo(2, 0);
    expect(times!.first[0]! / times!.best[0]!).toBeGreaterThan(100);
  });
  it("gives up where the clock stands still", () => {
    vi.spyOn(performance, "now").mockReturnValue(7);
    expect(compareSteps({} as KernelExports, STEPS, () => true)).toBeUndefined();
  });
});
