/**
 * Plots as SVG files, by Vega-Lite without a browser. A page's light or dark colours are followed: text and axes have the text
 * colour of the scheme, and every line has a contrast of 3:1 at least with both backgrounds.
 */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** What is drawn: a line for each series. */
export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /** Whether each axis is logarithmic. */
  readonly logX?: boolean;
  readonly logY?: boolean;
  readonly points: readonly Point[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly series: string;
  /** One of several runs of the series, of which the mean is drawn, each run thin behind it. */
  readonly run?: number;
  /** Panels stand side by side and share both axes. */
  readonly panel?: string;
}

export const COLOURS = ["#2f7fe0", "#d96a0b", "#1f9d57", "#a465e0", "#d84a6b", "#8a7d2f"] as const;
/** Text, and what is behind it. */
export const SCHEMES = {
  light: { text: "#1f2328", background: "#ffffff" },
  dark: { text: "#e6edf3", background: "#0d1117" },
} as const;

const LEGEND = { direction: "horizontal", symbolOpacity: 1, symbolStrokeWidth: 3 } as const;
/** Most places along the axis at which points are marked. */
const SPARSE = 30;

const STYLE = `<style>svg{color:${SCHEMES.light.text}}@media (prefers-color-scheme:dark){svg{color:${SCHEMES.dark.text}}}</style>`;

/** The plot as the text of an SVG file. */
export async function svg(plot: Plot): Promise<string> {
  const view = new View(parse(compile(specOf(plot)).spec), { renderer: "none" });
  try {
    const text = await view.toSVG();
    return `${text.replace(/^(<svg [^>]*>)/, `$1${STYLE}`)}\n`;
  } finally {
    view.finalize();
  }
}

function specOf({ title, x, y, logX = false, logY = false, points }: Plot): TopLevelSpec {
  const series = [...new Set(points.map((point) => point.series))];
  const panels = [...new Set(points.map(({ panel }) => panel))].filter((panel) => panel !== undefined);
  const scale = (log: boolean): { type: "log" } | { zero: false } => (log ? { type: "log" } : { zero: false });
  const encoding = {
    x: { field: "x", type: "quantitative", title: x, scale: scale(logX) },
    color: {
      ...{ field: "series", type: "nominal", title: null },
      scale: { domain: series, range: series.map((_, i) => COLOURS[i % COLOURS.length]!) },
    },
  } as const;
  const axis = {
    title: y,
    scale: scale(logY),
    ...(logY && { axis: { format: "~e", tickCount: 8, labelOverlap: true } }),
  } as const;
  const isSparse = new Set(points.map((point) => point.x)).size <= SPARSE;
  const lines = {
    ...{ width: panels.length > 1 ? 320 : 560, height: 320 },
    encoding,
    layer: [
      {
        mark: { type: "line", opacity: 0.35, strokeWidth: 1 },
        encoding: { y: { field: "y", type: "quantitative", ...axis }, detail: { field: "run", type: "nominal" } },
      },
      {
        mark: { type: "line", strokeWidth: 2, ...(isSparse && { point: { size: 18 } }) },
        encoding: { y: { field: "y", aggregate: "mean", type: "quantitative", ...axis } },
      },
    ],
  } as const;
  const text = "currentColor";
  return {
    ...{ title, data: { values: points.map((point) => ({ run: 0, ...point })) }, background: null },
    ...(panels.length > 1
      ? { facet: { field: "panel", type: "nominal", title: null, sort: [...panels] }, columns: 2, spec: lines }
      : lines),
    config: {
      // Each mark would say its values to screen readers: most of the file.
      aria: false,
      view: { stroke: null },
      title: { color: text, fontSize: 14 },
      header: { labelColor: text, titleColor: text, labelFontSize: 12 },
      axis: {
        labelColor: text,
        titleColor: text,
        tickColor: text,
        domainColor: text,
        gridColor: text,
        gridOpacity: 0.15,
      },
      legend: { labelColor: text, titleColor: text, labelFontSize: 12, orient: "bottom", ...LEGEND },
    },
  } as unknown as TopLevelSpec;
}
