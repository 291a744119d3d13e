/** The report of `quantize`: accuracy, time and size beside those of f32; then range and signal-to-noise ratio, layer by layer. */
import type { Quantized } from "../../quantizer.ts";
import type { Agreement } from "../agreement.ts";
import { environment } from "../environment.ts";
import { type Chart, document, escaped, figure, figures, grid, machineTable, percent } from "./page.ts";

interface Subject {
  readonly source: string;
  readonly options: { readonly method: string };
  /** Decibels, by node. */
  readonly noise: ReadonlyMap<string, number>;
  readonly agreement: Agreement;
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
      options: {
        scales: { x: { title: { display: true, text: "layer" }, ticks: { maxTicksLimit: 14, maxRotation: 90 } }, y },
      },
    },
  };
}

/** The page. */
export async function quantizationReport(
  { bytes, layers, images, failed }: Quantized,
  { source, options, noise, agreement }: Subject,
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
      { title: { display: true, text: "signal to noise, dB" } },
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
      { type: "logarithmic", title: { display: true, text: "magnitude" } },
    ),
  ];
  const { accuracy, ms } = agreement;
  const machine = environment();
  const body = [
    `<p class="soft">${escaped(source)}, ranges by ${escaped(options.method)}, ${machine.date.slice(0, 10)}</p>`,
    figures([
      ...(accuracy === undefined
        ? []
        : ([[percent(accuracy.rounded, 1), `top-1 accuracy; f32 has ${percent(accuracy.exact, 1)}`]] as const)),
      [percent(agreement.same, 1), "of images get the class that f32 gives them"],
      [
        `${ms.rounded.toFixed(1)} ms`,
        `an image, one thread; f32 takes ${ms.exact.toFixed(1)} ms, ${(ms.exact / ms.rounded).toFixed(1)} times as long`,
      ],
      [`${(bytes.byteLength / 1e6).toFixed(1)} MB`, "file"],
      [`${images}`, failed.length === 0 ? "images seen" : `images seen, ${failed.length} could not be read`],
    ]),
    `<p class="soft">Accuracy and time are of ${agreement.images} images${agreement.areCalibrated ? ", which the ranges were calculated from; on others the two models may agree less. resnet-wasm eval tells for a set of your own" : ""}.</p>`,
    "<h2>Layer by layer</h2>",
    `<p>Where accuracy is lost: the layers whose output is furthest from that of f32. The last one has ${db(ratios.at(-1)!)}, the worst, ${escaped(worst)}, ${db(Math.min(...ratios))}.</p>`,
    ...charts.map(figure),
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
    machineTable(machine),
  ];
  return document("Quantization", body, charts);
}
