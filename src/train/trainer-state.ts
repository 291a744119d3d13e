/** What a trainer needs to go on as if it had never stopped, and the check of it. */
import { expectedGot, ModelError } from "../errors.ts";
import type { NamedTensor } from "../formats/safetensors.ts";

/** Everything a trainer needs to go on as if it had never stopped. */
export interface TrainerState {
  /** Steps taken. */
  readonly step: number;
  /** Batches seen by live norms. */
  readonly batches: number;
  /**
   * Trained parameters and running statistics by their names, optimizer state as `optimizer.0.<name>`, averages as
   * `average.<name>`; f32, PyTorch's shapes.
   */
  readonly tensors: readonly NamedTensor[];
}

/** Weights as they were after some step: a file can be made of them, but no training goes on from them. */
export interface Snapshot {
  /** Batches seen by live norms. */
  readonly batches: number;
  /** Trained parameters and running statistics, by their names. */
  readonly tensors: readonly NamedTensor[];
}

/**
 * A state's tensors by name.
 *
 * @param stored what the trainer has
 * @param averagesSquares whether `optimizer.1` holds averages of squares, as AdamW's does
 * @throws ModelError when the state is of another network or other options, or damaged
 */
export function checkState(
  state: Pick<TrainerState, "tensors"> & Partial<TrainerState>,
  stored: readonly { readonly name: string; readonly held: { readonly shape: readonly number[] } }[],
  averagesSquares: boolean,
): ReadonlyMap<string, Float32Array> {
  const hint = "the checkpoint is damaged, or of another network or other options";
  const refuse = (name: string, expected: string, got: string): ModelError =>
    new ModelError("malformed", expectedGot("state", `${name} ${expected}`, got, hint), { subject: name });
  const given = new Map(state.tensors.map((each) => [each.name, each]));
  const values = new Map<string, Float32Array>();
  for (const { name, held } of stored) {
    const each = given.get(name);
    const got = each === undefined ? "no such tensor" : `${each.dtype} [${each.shape.join(", ")}]`;
    const isShaped = each?.dtype === "F32" && each.shape.join() === held.shape.join();
    if (!isShaped || each.bytes.length !== 4 * held.shape.reduce((a, b) => a * b, 1)) {
      throw refuse(name, `F32 [${held.shape.join(", ")}]`, got);
    }
    const mine = new Float32Array(new Uint8Array(each.bytes).buffer);
    const bad = mine.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw refuse(name, "of finite numbers", `${mine[bad]}`);
    // Squares that AdamW averages, and variances, are never below 0.
    const isSquare = /\.running_var$/.test(name) || (name.startsWith("optimizer.1.") && averagesSquares);
    const negative = isSquare ? mine.find((value) => value < 0) : undefined;
    if (negative !== undefined) throw refuse(name, "of numbers from 0", `${negative}`);
    values.set(name, mine);
  }
  if (given.size !== stored.length || state.tensors.length !== stored.length) {
    throw refuse("tensors", `${stored.length} of them`, `${state.tensors.length}`);
  }
  for (const name of ["step", "batches"] as const) {
    const isCount = Number.isSafeInteger(state[name] ?? 0) && (state[name] ?? 0) >= 0;
    if (!isCount) throw refuse(name, "a whole number from 0", `${state[name]}`);
  }
  return values;
}
