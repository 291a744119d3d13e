/** How fast a device is: the same image, made from a seed, again and again. */
import { type Classifier, load, type Source } from "resnet-wasm";
import type { Measured } from "./protocol.ts";

/** Of the largest logit: how far the relaxed kernels' f32 sums may be from the baseline's. */
const TOLERANCE = 1e-3;

/** Numbers in −2…2 from a seed: a linear congruential generator (Numerical Recipes). */
function noise(length: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 30 - 2;
  });
}

const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
/** @param share 0…1 */
const quantile = (values: readonly number[], share: number): number =>
  sorted(values)[Math.min(values.length - 1, Math.floor(share * values.length))]!;

const bestOf = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));

/** @param tell gets the share that is done, 0…1 */
export async function measure(
  model: Classifier,
  {
    source,
    seconds,
    seed,
    side,
    channels,
    threads,
  }: {
    readonly source: Source;
    readonly seconds: number;
    readonly seed: number;
    readonly side: number;
    readonly channels: 1 | 3;
    readonly threads: number;
  },
  tell: (share: number) => void,
  signal: AbortSignal,
): Promise<Measured> {
  const image = { data: noise(side * side * channels, seed), shape: [1, side, side, channels] } as const;
  const one = async (): Promise<Float32Array> => (await model.logits(image, { signal })).data;
  const { firstMs } = await model.warmup({ signal });
  const first = await one();
  const times: number[] = [];
  const began = performance.now();
  let last = first;
  for (let now = began; now - began < 1000 * seconds; ) {
    last = await one();
    const then = performance.now();
    times.push(then - now);
    now = then;
    tell((now - began) / (1000 * seconds));
  }
  const took = (performance.now() - began) / 1000;
  const plain = await load(source, { build: "baseline", offline: true, signal });
  const expected = (await plain.logits(image, { signal })).data;
  await plain.dispose();
  const largest = Math.max(...expected.map(Math.abs));
  const difference = Math.max(...expected.map((value, i) => Math.abs(value - first[i]!))) / largest;
  const fifth = Math.max(1, Math.floor(times.length / 5));
  return {
    images: times.length,
    seconds: took,
    perSecond: times.length / took,
    p50: quantile(times, 0.5),
    p90: quantile(times, 0.9),
    p99: quantile(times, 0.99),
    firstMs,
    drift: quantile(times.slice(-fifth), 0.5) / quantile(times.slice(0, fifth), 0.5),
    build: model.build,
    vectors: model.vectors,
    threads,
    difference,
    right:
      difference <= TOLERANCE && bestOf(expected) === bestOf(first) && last.every((value, i) => value === first[i]),
    seed,
  };
}
