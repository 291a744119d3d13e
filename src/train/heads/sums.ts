/**
 * Sums over images, exact, so that neither their order nor where they were added changes a bit of them. Features are rounded to
 * multiples of 2⁻¹⁶, which f32 holds exactly; products of two are multiples of 2⁻³², and f64 adds those exactly while no sum passes
 * 2²¹. By Cauchy and Schwarz no sum of products is larger than the largest sum of squares, so squares alone are watched.
 */
import { expectedGot, OptionError } from "../../errors.ts";
import { PANEL, padded, type Solver } from "./solve.ts";

const STEP = 2 ** -16;
/** The largest sum of squares of one feature. */
const MOST = 2 ** 21;
/** Images whose products are added at once. */
const BLOCK = 128;

/**
 * Features as they are summed: rounded, and never -0.
 *
 * @throws OptionError for numbers that are not finite
 */
export function rounded(features: ArrayLike<number>): Float32Array {
  return Float32Array.from(features, (value) => {
    if (!Number.isFinite(value)) {
      throw new OptionError("features", expectedGot("features", "finite numbers", `${value}`));
    }
    return roundedOne(value);
  });
}

function roundedOne(value: number): number {
  return Math.round(value / STEP) * STEP + 0;
}

/** An image as it is summed: features of one length (`unit` of head.ts), and the length they had. */
export interface Row {
  readonly row: Float32Array;
  readonly length: number;
}

/** Sums of one class. */
interface ClassSums {
  count: number;
  /** Of the features' lengths before they had one. */
  length: number;
  readonly sums: Float64Array;
}

/** A row that is to be added to the products, or taken away. */
interface Pending {
  readonly row: Float32Array;
  readonly sign: 1 | -1;
}

/** What images add up to: per class their number and features, and over all the products of features. */
export class Sums {
  readonly channels: number;
  readonly #classes = new Map<string, ClassSums>();
  readonly #squares: Float64Array;
  /** Products of each feature with itself and those behind it; made when first asked for. */
  #gram: Float64Array | undefined;
  #pending: Pending[] = [];

  constructor(channels: number) {
    this.channels = channels;
    this.#squares = new Float64Array(channels);
  }

  /** Names of the classes with images, in the order of their characters' codes. */
  get labels(): readonly string[] {
    return [...this.#classes.keys()].sort();
  }

  count(label: string): number {
    return this.#classes.get(label)?.count ?? 0;
  }

  get images(): number {
    let sum = 0;
    for (const { count } of this.#classes.values()) sum += count;
    return sum;
  }

  /** Sums of one class's features. */
  of(label: string): Float64Array {
    return this.#classes.get(label)!.sums;
  }

  /** Sum of the lengths of one class's features. */
  lengths(label: string): number {
    return this.#classes.get(label)!.length;
  }

  /**
   * Adds an image.
   *
   * @throws OptionError where sums would not be exact any more
   */
  add(image: Row, label: string): void {
    this.#check(Float64Array.from(image.row, (value) => value * value));
    this.#change(image, label, 1);
  }

  /** Takes away an image that was added. */
  remove(image: Row, label: string): void {
    this.#change(image, label, -1);
  }

  #check(squares: ArrayLike<number>): void {
    for (let i = 0; i < this.channels; ++i) {
      if (this.#squares[i]! + squares[i]! <= MOST) continue;
      const hint = "beyond it sums would depend on the order of the images";
      const got = `${(this.#squares[i]! + squares[i]!).toPrecision(3)} of feature ${i}`;
      throw new OptionError("features", expectedGot("features", `squares that add up to ${MOST} at most`, got, hint));
    }
  }

  #change({ row, length }: Row, label: string, sign: 1 | -1): void {
    const mine = this.#classOf(label);
    mine.count += sign;
    mine.length += sign * roundedOne(length);
    for (let i = 0; i < this.channels; ++i) {
      const value = row[i]!;
      mine.sums[i]! += sign * value;
      this.#squares[i]! += sign * value * value;
    }
    if (mine.count === 0) this.#classes.delete(label);
    if (this.#gram !== undefined) this.#pending.push({ row, sign });
  }

  #classOf(label: string): ClassSums {
    const known = this.#classes.get(label) ?? { count: 0, length: 0, sums: new Float64Array(this.channels) };
    this.#classes.set(label, known);
    return known;
  }

  /** Images that change their class: products stay. */
  move({ row, length }: Row, from: string, to: string): void {
    const [before, after] = [this.#classOf(from), this.#classOf(to)];
    before.count -= 1;
    after.count += 1;
    before.length -= roundedOne(length);
    after.length += roundedOne(length);
    for (let i = 0; i < this.channels; ++i) {
      before.sums[i]! -= row[i]!;
      after.sums[i]! += row[i]!;
    }
    if (before.count === 0) this.#classes.delete(from);
  }

  /** Gives a class another name, or joins it to the class of that name. */
  rename(from: string, to: string): void {
    const mine = this.#classes.get(from);
    if (mine === undefined || from === to) return;
    const other = this.#classOf(to);
    other.count += mine.count;
    other.length += mine.length;
    mine.sums.forEach((value, i) => {
      other.sums[i]! += value;
    });
    this.#classes.delete(from);
  }

  /**
   * The products, the upper triangle row by row.
   *
   * @param rows of all images that were added one by one: needed when products are first asked for
   */
  gram(solver: Solver, rows: Iterable<Float32Array>): Float64Array {
    if (this.#gram === undefined) {
      this.#gram = new Float64Array((this.channels * (this.channels + 1)) / 2);
      this.#pending = Array.from(rows, (row) => ({ row, sign: 1 }));
    }
    addProducts(solver, this.#gram, this.channels, this.#pending);
    this.#pending = [];
    return this.#gram;
  }

  /** Adds all of another's, whose products are known. */
  addAll(other: Sums, gram: Float64Array, mine: Float64Array): void {
    this.#check(other.#squares);
    for (const label of other.labels) {
      const into = this.#classOf(label);
      into.count += other.count(label);
      into.length += other.lengths(label);
      other.of(label).forEach((value, i) => {
        into.sums[i]! += value;
      });
    }
    other.#squares.forEach((value, i) => {
      this.#squares[i]! += value;
    });
    gram.forEach((value, i) => {
      mine[i]! += value;
    });
  }

  /** Sums that were kept: what a file holds. Throws OptionError for sums that are not exact or cannot be. */
  static of(
    channels: number,
    classes: readonly (Readonly<ClassSums> & { readonly label: string })[],
    gram: Float64Array,
  ): Sums {
    const made = new Sums(channels);
    const squares = new Float64Array(channels);
    for (let i = 0, at = 0; i < channels; at += channels - i, ++i) squares[i] = gram[at]!;
    made.#check(squares);
    made.#squares.set(squares);
    for (const { label, ...each } of classes) made.#classes.set(label, each);
    made.#gram = gram;
    return made;
  }
}

/** Adds the products of rows to a packed upper triangle. */
function addProducts(solver: Solver, gram: Float64Array, channels: number, pending: readonly Pending[]): void {
  if (pending.length === 0) return;
  solver.clear();
  const stride = padded(channels);
  const block = Math.min(BLOCK, pending.length);
  const matrix = solver.take(8 * stride * stride);
  const values = solver.take(4 * block * channels);
  const [a, b] = [solver.take(8 * block * stride), solver.take(8 * block * stride)];
  for (let first = 0; first < pending.length; first += block) {
    const some = pending.slice(first, first + block);
    some.forEach(({ row }, i) => {
      solver.f32(values, block * channels).set(row, i * channels);
    });
    solver.call.pack(some.length, channels, channels, 1, 0, values, a, 1);
    // A row that is taken away has its sign in one of the factors.
    some.forEach(({ row, sign }, i) => {
      if (sign < 0)
        solver.f32(values, block * channels).set(
          row.map((value) => -value),
          i * channels,
        );
    });
    solver.call.pack(some.length, channels, channels, 1, 0, values, b, 1);
    solver.call.product(0, stride / PANEL, some.length, stride / PANEL, 1, stride, a, b, matrix);
  }
  const made = solver.f64(matrix, stride * stride);
  for (let i = 0, at = 0; i < channels; ++i) {
    for (let j = i; j < channels; ++j) gram[at++]! += made[i * stride + j]!;
  }
}
