/** Gradient norms by depth, as rows and as points of a plot. */
import type { Point } from "./plot.ts";

export interface DepthRow {
  readonly [key: string]: string | number;
  readonly network: string;
  readonly seed: number;
  /** Of the layer, from 1 at the input. */
  readonly depth: number;
  readonly layer: string;
  readonly gradNorm: number;
}

/** @param norms by layer, from the input on */
export function depthRows(network: string, seed: number, norms: Readonly<Record<string, number>>): readonly DepthRow[] {
  return Object.entries(norms).map(([layer, gradNorm], i) => ({ network, seed, depth: i + 1, layer, gradNorm }));
}

/** For a logarithmic axis: a layer that no gradient reached is left out. */
export function depthPoints(rows: readonly DepthRow[], panel?: string): readonly Point[] {
  return rows
    .filter(({ gradNorm }) => gradNorm > 0)
    .map(({ network, seed, depth, gradNorm }) => {
      return { x: depth, y: gradNorm, series: network, run: seed, ...(panel !== undefined && { panel }) };
    });
}

/** Factor between the largest and the smallest norm of a network's convolutions. */
export function spread(norms: Readonly<Record<string, number>>): number {
  const values = Object.entries(norms).flatMap(([layer, norm]) => (layer === "fc" ? [] : [norm]));
  return Math.max(...values) / Math.min(...values);
}
