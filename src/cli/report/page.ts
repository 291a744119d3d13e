/** One self-contained HTML document: its style, its charts' library and its data are in it, and nothing is fetched. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Environment } from "../environment.ts";

/** Text as HTML shows it. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}

export const percent = (fraction: number, digits = 2): string => `${(100 * fraction).toFixed(digits)} %`;

/** A value that a script in the page reads: no `</script>` in it ends the script. */
function embedded(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

const STYLE = `
  :root { color-scheme: light dark; font: 15px/1.55 system-ui, sans-serif; --line: #8884; --soft: light-dark(#5c5c5c, #a6a6a6); }
  body { max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem; overflow-wrap: anywhere; background: Canvas; color: CanvasText; }
  h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
  .figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; padding: 0; list-style: none; }
  .figures li { border: 1px solid var(--line); border-radius: 10px; padding: .75rem 1.1rem; min-width: 8rem; }
  .figures b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
  .figures span, figcaption, .soft { color: var(--soft); font-size: .87rem; }
  figure { margin: 0 0 1.5rem; min-width: 0; } .table { overflow-x: auto; } figure > div { position: relative; height: 20rem; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid var(--line); font-weight: 400; }
  th { color: var(--soft); } td.number, th.number { text-align: right; } td.number { white-space: nowrap; }
  .matrix { overflow-x: auto; } .matrix td { text-align: center; min-width: 2.2rem; border: 1px solid var(--line); padding: .2rem; }
  .photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; padding: 0; list-style: none; }
  .photos img { width: 100%; height: 9rem; object-fit: cover; border-radius: 8px; display: block; background: #8882; image-rendering: auto; }
  .photos p { margin: .35rem 0 0; font-size: .85rem; line-height: 1.35; overflow-wrap: anywhere; }
  @media (max-width: 30rem) {
    body { margin: 1rem auto; padding: 0 .75rem; } .figures { gap: .5rem; } .figures li { flex: 1 1 40%; min-width: 0; padding: .5rem .75rem; }
    .figures b { font-size: 1.25rem; } td, th { padding: .25rem .4rem; } figure > div { height: 15rem; }
    .photos { grid-template-columns: repeat(2, 1fr); gap: .6rem; } .photos img { height: 7rem; }
  }
  pre { overflow-x: auto; padding: .75rem 1rem; background: #8881; border-radius: 8px; font-size: .85rem; }
`;

/** Draws every canvas that carries a chart, in the page's own colours. */
const DRAW = `
  const colour = getComputedStyle(document.body).color;
  Chart.defaults.color = colour;
  Chart.defaults.borderColor = "#8884";
  if (innerWidth < 480) Chart.defaults.font.size = 11;
  Chart.defaults.plugins.legend.labels.boxWidth = 14;
  Chart.defaults.font.family = "system-ui, sans-serif";
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  for (const [id, config] of Object.entries(JSON.parse(document.getElementById("charts").textContent)))
    new Chart(document.getElementById(id), config);
`;

/** A chart as Chart.js describes it, and what it shows in words. */
export interface Chart {
  readonly id: string;
  readonly caption: string;
  /** For those who cannot see it. */
  readonly description: string;
  readonly config: object;
}

/** Where a chart goes. */
export function figure({ id, caption, description }: Chart): string {
  return (
    `<figure><div><canvas id="${id}" role="img" aria-label="${escaped(description)}"></canvas></div>` +
    `<figcaption>${escaped(caption)}</figcaption></figure>`
  );
}

/** Figures in large letters, each with what it is. */
export function figures(items: readonly (readonly [value: string, name: string])[]): string {
  return `<ul class="figures">${items.map(([value, name]) => `<li><b>${escaped(value)}</b><span>${escaped(name)}</span></li>`).join("")}</ul>`;
}

/** Rows as a table; numbers to the right. */
export function grid(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const side = (at: number): string => (rows.every((row) => typeof row[at] === "number") ? ' class="number"' : "");
  const cells = (row: readonly (string | number)[], tag: string): string =>
    `<tr>${row.map((cell, at) => `<${tag}${side(at)}>${escaped(`${cell}`)}</${tag}>`).join("")}</tr>`;
  const top = head.every((name) => name === "") ? "" : `<thead>${cells(head, "th")}</thead>`;
  return `<div class="table"><table>${top}<tbody>${rows.map((row) => cells(row, "td")).join("")}</tbody></table></div>`;
}

const MACHINE: Readonly<Record<keyof Environment, string>> = {
  cpu: "CPU",
  cores: "cores",
  memoryMB: "memory, MB",
  os: "system",
  runtime: "runtime",
  version: "resnet-wasm",
  loadBefore: "processes that wanted a core in the minute before",
  date: "date",
};

/** Where it was measured. */
export function machineTable(machine: Environment): string {
  const names = Object.keys(MACHINE) as (keyof Environment)[];
  return grid(
    ["", ""],
    names.map((name) => [MACHINE[name], `${machine[name]}`]),
  );
}

/** Path of the chart library: the build puts it beside the command; in a checkout it is in `node_modules`. */
function chartLibrary(): string {
  const built = fileURLToPath(new URL("chart.umd.min.js", import.meta.url));
  if (existsSync(built)) return built;
  return join(dirname(createRequire(import.meta.url).resolve("chart.js")), "chart.umd.min.js");
}

/**
 * The document.
 *
 * @param body its parts, HTML
 * @param charts those that `body` has a figure for
 */
export async function document(title: string, body: readonly string[], charts: readonly Chart[]): Promise<string> {
  const library = await readFile(chartLibrary(), "utf8");
  const configs = Object.fromEntries(charts.map(({ id, config }) => [id, config]));
  return [
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style>`,
    `<h1>${escaped(title)}</h1>`,
    ...body,
    `<script type="application/json" id="charts">${embedded(configs)}</script>`,
    `<script>${library.replace(/\/\/# sourceMappingURL=.*/, "").replaceAll("</script", "<\\/script")}</script>`,
    `<script>${DRAW}</script></html>`,
  ].join("\n");
}
