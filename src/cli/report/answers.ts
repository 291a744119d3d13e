/** Answers in a report: what was taken for what, and pictures. */
import type { Example } from "../../train/dataset.ts";
import type { Answered, Confusion } from "../accuracy.ts";
import { escaped, percent } from "./page.ts";
import { thumbnail } from "./photo.ts";

/** Up to so many classes have their whole matrix shown. */
export const MATRIX = 50;
/** Pictures in a list. */
const PICTURES = 24;

/** Rows are what was shown, columns what was answered; darker is more of the row. */
export function matrix(
  all: readonly Confusion[],
  classes: readonly number[],
  nameOf: (index: number) => string,
): string {
  const counts = new Map(all.map(({ label, answer, count }) => [`${label} ${answer}`, count]));
  const totals = new Map<number, number>();
  for (const { label, count } of all) totals.set(label, (totals.get(label) ?? 0) + count);
  const cell = (label: number, answer: number): string => {
    const count = counts.get(`${label} ${answer}`) ?? 0;
    const share = count / Math.max(1, totals.get(label) ?? 0);
    const hue = label === answer ? "10,114,196" : "200,60,30";
    const title = escaped(`${nameOf(label)} taken for ${nameOf(answer)}: ${count}`);
    const shade = count === 0 ? "" : ` style="background:rgba(${hue},${(0.1 + 0.75 * share).toFixed(2)})"`;
    return `<td title="${title}"${shade}>${count === 0 ? "" : count}</td>`;
  };
  const head = classes.map(
    (index) => `<th title="${escaped(nameOf(index))}">${escaped(nameOf(index).slice(0, 9))}</th>`,
  );
  const rows = classes.map(
    (label) => `<tr><th>${escaped(nameOf(label))}</th>${classes.map((answer) => cell(label, answer)).join("")}</tr>`,
  );
  const axes = `<p class="soft">A row for each class that was shown, a column for each that was answered.</p>`;
  return `${axes}<div class="matrix"><table><tr><th></th>${head.join("")}</tr>${rows.join("")}</table></div>`;
}

/** Images with what was said of them, the first `PICTURES`. */
export async function pictures(
  worst: readonly Omit<Answered, "members">[],
  examples: readonly Example[],
  nameOf: (index: number) => string,
): Promise<string> {
  const images = new Map(examples.map((example) => [example.name, example.image]));
  const items: string[] = [];
  for (const { name, label, best } of worst.slice(0, PICTURES)) {
    const [[index, probability]] = best as [readonly [number, number]];
    const source = await thumbnail(images.get(name)!());
    const said = `<b>${escaped(nameOf(index))}</b> ${percent(probability, 0)}`;
    items.push(
      `<li><img src="${source}" alt="${escaped(name)}"><p>${said}<br><span class="soft">is ${escaped(nameOf(label))} · ${escaped(name)}</span></p></li>`,
    );
  }
  return `<ul class="photos">${items.join("")}</ul>`;
}
