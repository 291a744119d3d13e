/** The report of `quantize`: range, step and signal-to-noise ratio, layer by layer. */
import type { Quantized } from "../../quantizer.ts";
import { environment } from "../environment.ts";
import { type Chart, document, escaped, figure, figures, grid } from "./page.ts";

interface Subject {
  readonly source: string;
  readonly options: { readonly method: string };
  /** Decibels, by node. */
  readonly noise: ReadonlyMap<string, number>;
}

const [RATIO, RANGE, STEP] = ["#0a72c4", "#d1651a", "#2b9348"];

function chart(id: string, caption: string, names: readonly string[], lines: readonly object[], y: object): Chart {
  return {
    id,
    caption,
    description: caption,
    config: {
      type: "line",
      data: { labels: names, datasets: lines },
      options: { scales: { x: { ticks: { autoSkip: true, maxRotation: 90 } }, y } },
    },
  };
}

/** The page. */
export async function quantizationReport(
  { bytes, layers, images, failed }: Quantized,
  { source, options, noise }: Subject,
): Promise<string> {
  const names = layers.map(({ node }) => node);
  const ratios = names.map((name) => noise.get(name)!);
  const worst = names[ratios.indexOf(Math.min(...ratios))]!;
  const drawn = (values: readonly number[], label: string, colour: string): object => ({
    ...{ label, data: values.map((value) => (Number.isFinite(value) ? value : null)) },
    ...{ borderColor: colour, backgroundColor: colour, borderWidth: 2, pointRadius: 2 },
  });
  const db = (value: number): string => `${value.toFixed(1)} dB`;
  const charts = [
    chart(
      "noise",
      "Signal-to-noise ratio against f32, in decibels: how far each layer's output is from the exact one, all rounding before it included. 20 dB is a tenth off, 40 dB a hundredth.",
      names,
      [drawn(ratios, "signal to noise", RATIO!)],
      { title: { display: true, text: "dB" } },
    ),
    chart(
      "ranges",
      "Largest magnitude that was seen, and what 127 steps reach: beyond that, values are clamped. Logarithmic.",
      names,
      [
        drawn(
          layers.map(({ largest }) => largest),
          "largest seen",
          RANGE!,
        ),
        drawn(
          layers.map(({ scale }) => 127 * scale),
          "127 steps",
          STEP!,
        ),
      ],
      { type: "logarithmic" },
    ),
  ];
  const machine = environment();
  const body = [
    `<p class="soft">${escaped(source)}, ranges by ${escaped(options.method)}, ${machine.date.slice(0, 10)}</p>`,
    figures([
      [`${(bytes.byteLength / 1e6).toFixed(2)} MB`, `${bytes.byteLength} bytes`],
      [`${images}`, failed.length === 0 ? "images seen" : `images seen, ${failed.length} could not be read`],
      [db(ratios.at(-1)!), "signal to noise of the logits"],
      [db(Math.min(...ratios)), `least, at ${worst}`],
    ]),
    ...charts.map(figure),
    "<h2>Layer by layer</h2>",
    grid(
      ["layer", "largest", "scale", "signal to noise, dB"],
      layers.map(({ node, largest, scale }, i) => [
        node,
        Number(largest.toPrecision(4)),
        Number(scale.toPrecision(4)),
        Number(ratios[i]!.toFixed(1)),
      ]),
    ),
    "<h2>Where</h2>",
    grid(
      ["", ""],
      Object.entries(machine).map(([name, value]) => [name, `${value}`]),
    ),
  ];
  return document("Quantization", body, charts);
}
