/** The rows of one setting as text, and all rows as a chart. */
import { init } from "echarts";
import type { Absence, Row, Setting } from "./contest.ts";
import type { Machine, Runtime } from "./environment.ts";

/** `resnet50 f32, 1 thread, batch 1, 128-bit vectors`. */
export function title({ model, dtype, threads, batch, vectors }: Setting): string {
  return `${model} ${dtype}, ${threads} thread${threads === 1 ? "" : "s"}, batch ${batch}, ${vectors}-bit vectors`;
}

/**
 * One setting's rows as a table; for each build of ours, how many times as long every other contender took, by minimum
 * and by median.
 */
export function table(setting: Setting, rows: readonly Row[], absent: readonly Absence[]): string {
  const ours = rows.filter(({ engine }) => engine === "ours");
  const head = ["", "min ms", "median", "first", "load", "peak MB", "difference"];
  const hasJoules = rows.some(({ joules }) => joules !== undefined);
  if (hasJoules) head.push("joules");
  for (const { build } of ours) head.push(`÷ ${build} min`, "median");
  const body = rows.map((row) => [
    `${row.engine} ${row.build}`,
    ...[row.minMs, row.medianMs, row.firstMs, row.loadMs].map((ms) => ms.toFixed(1)),
    row.peakMB.toFixed(0),
    row.difference.toExponential(1),
    ...(hasJoules ? [row.joules?.toFixed(3) ?? ""] : []),
    ...ours.flatMap(({ minMs, medianMs }) => [(row.minMs / minMs).toFixed(2), (row.medianMs / medianMs).toFixed(2)]),
  ]);
  const missing = absent.map(({ engine, build, reason }) => `${engine} ${build}: not available: ${reason}`);
  return `${[title(setting), columns([head, ...body]), ...missing].join("\n")}\n`;
}

/** Lines of cells, one column under the other. */
export function columns(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Minimum times as bars, a group for each setting and a colour for each contender. SVG. */
export function chart(rows: readonly Row[], machine: Machine, runtime: Runtime): string {
  const unique = (names: readonly string[]): string[] => [...new Set(names)];
  const contender = ({ engine, build }: Row): string => `${engine} ${build}`;
  const settings = unique(rows.map(title));
  const contenders = unique(rows.map(contender));
  const height = 140 + settings.length * (contenders.length * 26 + 24);
  const drawing = init(null, null, { renderer: "svg", ssr: true, width: 900, height });
  drawing.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: {
      text: "Milliseconds, minimum of the rounds: shorter is better",
      subtext: `${machine.cpu}, Node ${runtime.node}, ${new Date().toISOString().slice(0, 10)}`,
      left: 16,
      top: 8,
    },
    legend: { top: 64, left: 16, itemGap: 28 },
    grid: { left: 230, right: 72, top: 100, bottom: 32 },
    xAxis: { type: "value" },
    yAxis: { type: "category", inverse: true, data: settings, axisTick: { show: false } },
    series: contenders.map((name) => ({
      name,
      type: "bar",
      barMaxWidth: 22,
      label: { show: true, position: "right", formatter: "{c}" },
      data: settings.map((setting) => {
        const row = rows.find((each) => title(each) === setting && contender(each) === name);
        return row === undefined ? null : Number(row.minMs.toFixed(1));
      }),
    })),
  });
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  return svg;
}
