/**
 * Ridge regression of one-hot targets on features of one length: the weights that make Σ (y - W x)² + λ ‖W‖² least. Without a bias,
 * so that the length of an image's features, which says little of its class, changes no order of classes. One factorisation serves
 * every λ: the Gram matrix, of features where there are more images, of images where there are more features, becomes Q T Qᵀ with T
 * tridiagonal (Eldén 1977, BIT 17: what bidiagonalisation does for regularised least squares), and T + λ is solved in as many steps as
 * it has rows, by Cholesky's factors L D Lᵀ. From the same come the exact errors of leaving each image out, which choose λ:
 * (y - ŷ) / (1 - h), with h the image's leverage (Allen 1974, Technometrics 16).
 */
import { LAMBDAS, PANEL, padded, type Solver } from "./solve.ts";

/** What is known of a set of images. */
export interface Known {
  readonly channels: number;
  readonly classes: number;
  /** Classes of the images whose features are known; the sums may hold more images than these. */
  readonly labels: Int32Array;
  /** Features of one of them, `[channels]`. */
  row(index: number): Float32Array;
  /** Images of each class. */
  readonly counts: Float64Array;
  /** `[classes, channels]`: sums of features. */
  readonly sums: Float64Array;
  /** Sums of products, the upper triangle row by row: asked for where there are more images than features, or images without rows. */
  gram(): Float64Array;
}

/** A linear head: scores are `weights · x`. */
export interface Fit {
  /** `[classes, channels]` */
  readonly weights: Float64Array;
  /** `[rows, classes]`: scores of each image by the head of all others; absent where images have no rows. */
  readonly left?: Float32Array;
  /** What multiplies scores where no scores of images left out say it. */
  readonly factor: number;
  readonly lambda: number;
}

/** λ as shares of the mean square of features: from what tells all images apart to what smooths all. */
const GRID = Float64Array.from({ length: LAMBDAS }, (_, i) => 10 ** (i / 2 - 2.5));
/** Images whose predictions are computed at once. */
const BLOCK = 64;
/** Numbers of the solutions for all λ and classes, 32 MB; of more classes, every k-th chooses λ. */
const MOST = 2 ** 22;

/** Solves for the head of a set of at least one image. */
export function ridge(solver: Solver, known: Known): Fit {
  const { channels, classes, labels, counts, sums } = known;
  const images = counts.reduce((a, b) => a + b, 0);
  const isWhole = labels.length === images;
  const isDual = isWhole && images < channels;
  const products = isDual ? undefined : known.gram();
  solver.clear();
  const m = isDual ? images : channels;
  const stride = padded(m);
  const a = solver.take(8 * stride * stride);
  if (products === undefined) gramOfImages(solver, a, stride, known);
  else spread(solver.f64(a, stride * stride), stride, products, channels);
  const [diagonal, off, tau] = [solver.take(8 * m), solver.take(8 * m), solver.take(8 * m)];
  const work = solver.take(8 * 3 * m);
  let trace = 0;
  const matrix = solver.f64(a, stride * stride);
  for (let i = 0; i < m; ++i) trace += Math.max(0, matrix[i * stride + i]!);
  // Features that are all zero have no scale.
  const unit = trace > 0 ? trace / images : 1;
  solver.call.tridiagonalise(m, stride, a, diagonal, off, tau, work);
  const t = { diagonal: solver.f64(diagonal, m).slice(), off: solver.f64(off, m).slice() };
  const factors = Array.from(GRID, (share) => factorised(t, share * unit));
  const turn = (x: number, units: number, back: 0 | 1): void => {
    solver.call.reflect(0, units, m, stride, back, a, tau, x);
  };
  // What is to be fitted, turned by Q: `[classes, m]`.
  const units = Math.ceil(classes / PANEL);
  const targets = solver.take(8 * PANEL * units * m);
  const wanted = solver.f64(targets, classes * m);
  for (let c = 0; c < classes; ++c) {
    for (let i = 0; i < m; ++i) wanted[c * m + i] = isDual ? Number(labels[i] === c) : sums[c * channels + i]!;
  }
  turn(targets, units, 0);
  const turned = solver.f64(targets, classes * m).slice();
  const rowOf = (c: number): Float64Array => turned.subarray(c * m, (c + 1) * m);

  /** `[rows, LAMBDAS]`: leverages in the dual's or primal's terms. */
  let leverages: Float64Array | undefined;
  let best: number;
  let factor = 1;
  if (isWhole) {
    const errors = new Float64Array(LAMBDAS);
    const every = Math.max(1, Math.ceil((classes * m * LAMBDAS) / MOST));
    const some = Array.from({ length: Math.ceil(classes / every) }, (_, i) => i * every);
    const columns = padded(some.length * LAMBDAS);
    const solutions = solver.take(8 * columns * m);
    const z = solver.take(8 * BLOCK * m);
    const panels = solver.take(8 * BLOCK * m);
    const out = solver.take(8 * BLOCK * columns);
    const ratios = solver.take(8 * LAMBDAS * m);
    const inverses = solver.take(8 * LAMBDAS * m);
    const g = solver.take(8 * BLOCK * LAMBDAS);
    factors.forEach(({ ratio, inverse }, l) => {
      const [into, under] = [solver.f64(ratios, LAMBDAS * m), solver.f64(inverses, LAMBDAS * m)];
      for (let i = 0; i < m; ++i) {
        into[i * LAMBDAS + l] = ratio[i]!;
        under[i * LAMBDAS + l] = inverse[i]!;
      }
      const solved = solver.f64(solutions, columns * m);
      some.forEach((c, s) => {
        const column = l * some.length + s;
        const at = Math.floor(column / PANEL) * PANEL * m + (column % PANEL);
        solvedBy(factors[l]!, rowOf(c)).forEach((value, i) => {
          solved[at + PANEL * i] = value;
        });
      });
    });
    leverages = new Float64Array(images * LAMBDAS);
    for (let first = 0; first < images; first += BLOCK) {
      const count = Math.min(BLOCK, images - first);
      const block = solver.f64(z, BLOCK * m).fill(0);
      for (let i = 0; i < count; ++i) {
        if (isDual) block[i * m + first + i] = 1;
        else block.set(known.row(first + i), i * m);
      }
      turn(z, Math.ceil(count / PANEL), 0);
      solver.call.leverage(0, count, m, z, ratios, inverses, g);
      leverages.set(solver.f64(g, count * LAMBDAS), first * LAMBDAS);
      solver.call.pack(m, count, 1, m, 1, z, panels, 1);
      solver.f64(out, BLOCK * columns).fill(0);
      solver.call.product(0, Math.ceil(count / PANEL), m, columns / PANEL, 0, columns, panels, solutions, out);
      const predicted = solver.f64(out, BLOCK * columns);
      for (let i = 0; i < count; ++i) {
        for (let l = 0; l < LAMBDAS; ++l) {
          const lambda = factors[l]!.lambda;
          const own = leverages[(first + i) * LAMBDAS + l]!;
          const rest = remaining(isDual, own, lambda);
          let sum = 0;
          some.forEach((c, s) => {
            const p = predicted[i * columns + l * some.length + s]!;
            sum += ((isDual ? lambda * p : Number(labels[first + i] === c) - p) / rest) ** 2;
          });
          errors[l]! += sum;
        }
      }
    }
    best = errors.reduce((least, error, l) => (error < errors[least]! ? l : least), 0);
  } else {
    const scores = factors.map((each) => generalised(each, t, turned, counts, images));
    best = scores.reduce((least, error, l) => (error < scores[least]! ? l : least), 0);
    // Scores of a class and of the others differ by 1, with this variance: the log-odds of normal distributions.
    const variance = Math.max(1e-6, scores[best]! / (images * classes));
    factor = (1 - 1 / classes) / variance;
  }
  const { lambda } = factors[best]!;
  for (let c = 0; c < classes; ++c) solver.f64(targets, classes * m).set(solvedBy(factors[best]!, rowOf(c)), c * m);
  turn(targets, units, 1);
  const solution = solver.f64(targets, classes * m).slice();
  const weights = isDual ? combined(solver, solution, known) : solution;
  if (leverages === undefined) return { weights, factor, lambda };
  const scores = isDual ? undefined : scored(solver, weights, known);
  const left = new Float32Array(images * classes);
  for (let i = 0; i < images; ++i) {
    const rest = remaining(isDual, leverages[i * LAMBDAS + best]!, lambda);
    for (let c = 0; c < classes; ++c) {
      const target = Number(labels[i] === c);
      const error = scores === undefined ? lambda * solution[c * m + i]! : target - scores[i * classes + c]!;
      left[i * classes + c] = target - error / rest;
    }
  }
  return { weights, left, factor, lambda };
}

/**
 * 1 - h, which the error of an image that is left out is divided by. Of features, `own` is its leverage h; of images, `own` is on the
 * diagonal of (K + λ)⁻¹, of which (y - ŷ) = λ (K + λ)⁻¹ y.
 */
function remaining(isDual: boolean, own: number, lambda: number): number {
  return Math.max(1e-9, isDual ? lambda * own : 1 - own);
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Beside the diagonal. */
  readonly off: Float64Array;
}

/** L D Lᵀ of T + λ. */
interface Factors {
  readonly lambda: number;
  /** What stands in row j of L before its diagonal. */
  readonly ratio: Float64Array;
  /** 1 / D */
  readonly inverse: Float64Array;
}

function factorised({ diagonal, off }: Tridiagonal, lambda: number): Factors {
  const ratio = new Float64Array(diagonal.length);
  const inverse = new Float64Array(diagonal.length);
  for (let j = 0; j < diagonal.length; ++j) {
    const before = j === 0 ? 0 : off[j - 1]!;
    ratio[j] = j === 0 ? 0 : before * inverse[j - 1]!;
    // Rounding may take T below zero, but never T + λ below a part of λ.
    inverse[j] = 1 / Math.max(1e-3 * lambda, diagonal[j]! + lambda - ratio[j]! * before);
  }
  return { lambda, ratio, inverse };
}

/** (T + λ)⁻¹ b */
function solvedBy({ ratio, inverse }: Factors, b: Float64Array): Float64Array {
  const x = new Float64Array(b.length);
  for (let j = 0; j < b.length; ++j) x[j] = b[j]! - (j === 0 ? 0 : ratio[j]! * x[j - 1]!);
  for (let j = b.length - 1; j >= 0; --j) {
    x[j] = x[j]! * inverse[j]! - (j + 1 < b.length ? ratio[j + 1]! * x[j + 1]! : 0);
  }
  return x;
}

/**
 * Generalised cross-validation (Golub, Heath and Wahba 1979, Technometrics 21), from sums alone: the squared errors of all images,
 * as if each had the same leverage.
 */
function generalised(
  factors: Factors,
  t: Tridiagonal,
  turned: Float64Array,
  counts: Float64Array,
  images: number,
): number {
  const { lambda, inverse } = factors;
  const m = inverse.length;
  // The diagonal of (T + λ)⁻¹ by pivots from both ends.
  let below = Number.POSITIVE_INFINITY;
  let leverage = 0;
  for (let j = m - 1; j >= 0; --j) {
    const own = t.diagonal[j]! + lambda;
    const pivot = Math.max(1e-3 * lambda, own - (j + 1 < m ? t.off[j]! ** 2 / below : 0));
    leverage += 1 - lambda / (1 / inverse[j]! + pivot - own);
    below = pivot;
  }
  let error = 0;
  for (let c = 0; c < counts.length; ++c) {
    const b = turned.subarray(c * m, (c + 1) * m);
    const x = solvedBy(factors, b);
    error += counts[c]!;
    // ‖y - ŷ‖² = yᵀy - bᵀx - λ xᵀx, because (T + λ) x = b.
    for (let j = 0; j < m; ++j) error -= x[j]! * (b[j]! + lambda * x[j]!);
  }
  return Math.max(0, error) / Math.max(1e-9, 1 - leverage / images) ** 2;
}

/** Writes the products of images to `a`. */
function gramOfImages(solver: Solver, a: number, stride: number, known: Known): void {
  const { channels, labels } = known;
  const n = labels.length;
  const values = placed(solver, known, 0, n);
  const panels = solver.take(8 * stride * channels);
  solver.call.pack(channels, n, 1, channels, 0, values, panels, 1);
  solver.call.product(0, stride / PANEL, channels, stride / PANEL, 1, stride, panels, panels, a);
}

/** Writes a packed triangle to rows of `stride`. */
function spread(a: Float64Array, stride: number, packed: Float64Array, channels: number): void {
  for (let i = 0, at = 0; i < channels; at += channels - i, ++i) {
    a.set(packed.subarray(at, at + channels - i), i * stride + i);
  }
}

/** Features of some images in the solver's memory, `[count, channels]` f32. */
function placed(solver: Solver, { channels, row }: Known, first: number, count: number): number {
  const values = solver.take(4 * count * channels);
  const into = solver.f32(values, count * channels);
  for (let i = 0; i < count; ++i) into.set(row(first + i), i * channels);
  return values;
}

/** Sums of images by their coefficients `[classes, images]`: `[classes, channels]`. */
function combined(solver: Solver, coefficients: Float64Array, known: Known): Float64Array {
  const { channels, classes, labels } = known;
  solver.clear();
  const n = labels.length;
  const [up, across] = [padded(classes), padded(channels)];
  const given = solver.take(8 * classes * n);
  const [a, b] = [solver.take(8 * up * n), solver.take(8 * across * n)];
  const c = solver.take(8 * up * across);
  const values = placed(solver, known, 0, n);
  solver.f64(given, classes * n).set(coefficients);
  solver.call.pack(n, classes, 1, n, 1, given, a, 1);
  solver.call.pack(n, channels, channels, 1, 0, values, b, 1);
  solver.call.product(0, up / PANEL, n, across / PANEL, 0, across, a, b, c);
  const out = new Float64Array(classes * channels);
  for (let i = 0; i < classes; ++i) out.set(solver.f64(c + 8 * i * across, channels), i * channels);
  return out;
}

/** Scores of images by a head's weights, `[images, classes]`. */
export function scored(solver: Solver, weights: Float64Array, { channels, classes, labels, row }: Known): Float64Array {
  solver.clear();
  const across = padded(classes);
  const values = solver.take(4 * BLOCK * channels);
  const a = solver.take(8 * BLOCK * channels);
  const given = solver.take(8 * classes * channels);
  const b = solver.take(8 * across * channels);
  const c = solver.take(8 * BLOCK * across);
  solver.f64(given, classes * channels).set(weights);
  solver.call.pack(channels, classes, 1, channels, 1, given, b, 1);
  const out = new Float64Array(labels.length * classes);
  for (let first = 0; first < labels.length; first += BLOCK) {
    const count = Math.min(BLOCK, labels.length - first);
    const into = solver.f32(values, BLOCK * channels);
    for (let i = 0; i < count; ++i) into.set(row(first + i), i * channels);
    solver.call.pack(channels, count, 1, channels, 0, values, a, 1);
    solver.f64(c, BLOCK * across).fill(0);
    solver.call.product(0, Math.ceil(count / PANEL), channels, across / PANEL, 0, across, a, b, c);
    const block = solver.f64(c, BLOCK * across);
    for (let i = 0; i < count; ++i) out.set(block.subarray(i * across, i * across + classes), (first + i) * classes);
  }
  return out;
}
