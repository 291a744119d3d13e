/** Figures of many latencies. */

/**
 * The `percent`-th percentile by nearest rank, as MLPerf's LoadGen takes it: the smallest value that at least so many
 * per cent of all are not above.
 */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
