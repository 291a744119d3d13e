/** The page of the browser bench: loads every engine with the same weights, compares logits, then takes turns. */
import type { Dtype, Setting } from "../versus/contest.ts";
import { imagesOf } from "../versus/network.ts";
import { farthest, TOLERANCE, warmUp } from "../versus/rounds.ts";
import { type Compute, enginesOf } from "./engines.ts";

/** One engine's times in this page. */
export interface PageRow {
  readonly engine: string;
  readonly build: string;
  readonly loadMs: number;
  readonly firstMs: number;
  readonly ms: readonly number[];
  readonly difference: number;
}

export interface PageResult {
  readonly rows: readonly PageRow[];
  readonly absent: readonly { readonly engine: string; readonly reason: string }[];
}

interface Opened extends PageRow {
  readonly compute: Compute;
  readonly ms: number[];
}

async function run(setting: Setting, rounds: number): Promise<PageResult> {
  const opened: Opened[] = [];
  const absent: { engine: string; reason: string }[] = [];
  let expected: Float32Array | undefined;
  for (const { engine, build, open } of enginesOf(setting, imagesOf(setting))) {
    try {
      const start = performance.now();
      const compute = await open();
      const loaded = performance.now();
      const logits = Float32Array.from(await compute());
      const firstMs = performance.now() - loaded;
      expected ??= logits;
      const difference = farthest(logits, expected);
      if (!(difference <= TOLERANCE[setting.dtype])) throw new Error(`logits differ by ${difference} of the largest`);
      opened.push({ engine, build, compute, loadMs: loaded - start, firstMs, difference, ms: [] });
    } catch (error) {
      absent.push({ engine: `${engine} ${build}`, reason: (error as Error).message });
    }
  }
  const turn = async (compute: Compute): Promise<number> => {
    // Lets threads of the engine before go to sleep, and the page answer its driver.
    await new Promise((resolve) => setTimeout(resolve, setting.threads > 1 ? 50 : 0));
    const start = performance.now();
    await compute();
    return performance.now() - start;
  };
  for (const { compute } of opened) await warmUp(() => turn(compute));
  for (let round = 0; round < rounds; ++round) {
    for (const each of round % 2 === 0 ? opened : opened.toReversed()) each.ms.push(await turn(each.compute));
  }
  return { rows: opened.map(({ compute: _, ...row }) => row), absent };
}

const query = new URLSearchParams(location.search);
const setting: Setting = {
  model: query.get("model")!,
  dtype: query.get("dtype") as Dtype,
  threads: Number(query.get("threads")),
  batch: Number(query.get("batch")),
  vectors: query.get("vectors") === "256" ? 256 : 128,
};
run(setting, Number(query.get("rounds")))
  .catch((error): PageResult => ({ rows: [], absent: [{ engine: "page", reason: `${error.message} ${error.stack}` }] }))
  .then((result) => {
    document.body.textContent = JSON.stringify(result);
    document.title = "done";
  });
