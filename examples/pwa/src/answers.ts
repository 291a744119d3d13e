/** Answers that do not jump: probabilities smoothed over time, and rows that stay where they are. */
import type { Prediction } from "resnet-wasm";

/** Milliseconds in which a change comes to two thirds. */
const SLOWNESS = 250;
const ROWS = 3;

export class Smoothed {
  readonly #known = new Map<string, number>();
  #rows: string[] = [];
  #at: number | undefined;

  /**
   * @param now in milliseconds
   * @returns the three most probable classes, each in the row that it had
   */
  add(answers: readonly Prediction[], now: number): readonly Prediction[] {
    const share = this.#at === undefined ? 1 : 1 - Math.exp((this.#at - now) / SLOWNESS);
    this.#at = now;
    const seen = new Map(answers.map(({ label, probability }) => [label, probability]));
    for (const label of seen.keys()) if (!this.#known.has(label)) this.#known.set(label, 0);
    for (const [label, before] of this.#known) {
      const value = before + share * ((seen.get(label) ?? 0) - before);
      if (value < 1e-4 && !seen.has(label)) this.#known.delete(label);
      else this.#known.set(label, value);
    }
    const top = [...this.#known]
      .sort(([, a], [, b]) => b - a)
      .slice(0, ROWS)
      .map(([label]) => label);
    const fresh = top.filter((label) => !this.#rows.includes(label));
    const rows = this.#rows
      .map((label) => (top.includes(label) ? label : fresh.shift()))
      .filter((label) => label !== undefined);
    this.#rows = [...rows, ...fresh];
    const index = new Map(answers.map((answer) => [answer.label, answer.index]));
    return this.#rows.map((label) => ({ label, index: index.get(label) ?? -1, probability: this.#known.get(label)! }));
  }
}

/** Of some answers the best. */
export function bestOf(answers: readonly Prediction[]): Prediction | undefined {
  return answers.reduce<Prediction | undefined>(
    (best, each) => (best && best.probability >= each.probability ? best : each),
    undefined,
  );
}
