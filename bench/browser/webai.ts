/**
 * An image classification workload in the shape of GoogleChrome/webai-compute-benchmark, and its runner, one page for both.
 *
 * Inside a frame: loads one engine, prepares one image, says `app-ready`; asked for its suite, it answers with the times of
 * five steps. A step is an inference, the five best labels written into the page, and the layout of it. At the top: in
 * each iteration, every engine in a fresh frame. So the frame, as it is, also runs as a suite of that benchmark's own runner.
 */
import type { Dtype, Setting } from "../versus/contest.ts";
import { imagesOf } from "../versus/network.ts";
import { type Compute, type Engine, enginesOf } from "./engines.ts";

/** Sums of an engine's steps, one an iteration. */
export interface WebaiRow {
  readonly engine: string;
  readonly build: string;
  readonly totalMs: readonly number[];
}

export interface WebaiResult {
  readonly rows: readonly WebaiRow[];
  readonly absent: readonly { readonly engine: string; readonly reason: string }[];
}

/** What the frame says to the top. */
type Message =
  | { readonly type: "app-ready" }
  | { readonly type: "step-complete" }
  | { readonly type: "app-failed"; readonly reason: string }
  | { readonly type: "suite-complete"; readonly result: { readonly total: number } };

/** Inferences of a suite, and labels shown of each: that benchmark's own numbers. */
const [STEPS, LABELS] = [5, 5];

const query = new URLSearchParams(location.search);
const setting: Setting = {
  model: query.get("model")!,
  dtype: query.get("dtype") as Dtype,
  threads: 1,
  batch: 1,
  vectors: query.get("vectors") === "256" ? 256 : 128,
};
const engines = enginesOf(setting, imagesOf(setting));

if (window.top === window) runAll();
else workload(engines[Number(query.get("engine"))]!);

async function workload({ engine, build, open }: Engine): Promise<void> {
  const appId = `${engine} ${build}-1`;
  const say = (message: object): void => window.top!.postMessage({ status: "success", appId, ...message }, "*");
  const fail = (error: Error): void => say({ type: "app-failed", reason: error.message });
  const output = document.createElement("pre");
  document.body.append(output);
  const suite = async (compute: Compute): Promise<void> => {
    const steps: Record<string, { readonly tests: object; readonly total: number }> = {};
    let total = 0;
    for (let i = 1; i <= STEPS; ++i) {
      const ms = await step(compute, output);
      steps[`run-${i}`] = { tests: {}, total: ms };
      total += ms;
      say({ type: "step-complete", test: `run-${i}` });
    }
    say({ type: "suite-complete", result: { steps, prepare: 0, total } });
  };
  try {
    const compute = await open();
    window.addEventListener("message", ({ data }) => {
      if (data.id !== appId || data.key !== "benchmark-connector" || data.type !== "benchmark-suite") return;
      suite(compute).catch(fail);
    });
    say({ type: "app-ready" });
  } catch (error) {
    fail(error as Error);
  }
}

/** One step in a frame of animation; milliseconds. */
async function step(compute: Compute, output: HTMLElement): Promise<number> {
  await new Promise(requestAnimationFrame);
  const start = performance.now();
  layOut();
  output.textContent = best(await compute());
  layOut();
  return performance.now() - start;
}

function layOut(): void {
  const { width, height } = document.body.getBoundingClientRect();
  document.elementFromPoint(width / 2, height / 2);
}

function best(logits: Float32Array): string {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, LABELS);
  return order.map((i) => `class ${i}: ${logits[i]!.toFixed(4)}`).join("\n");
}

/** Every engine in every iteration. */
async function runAll(): Promise<void> {
  const rows = engines.map(({ engine, build }) => ({ engine, build, totalMs: [] as number[] }));
  const reasons = new Map<string, string>();
  for (let iteration = 0; iteration < Number(query.get("iterations")); ++iteration) {
    for (const [i, { engine, build, totalMs }] of rows.entries()) {
      const result = await inFrame(i);
      if (typeof result === "number") totalMs.push(result);
      else reasons.set(`${engine} ${build}`, result);
    }
  }
  const absent = [...reasons].map(([engine, reason]) => ({ engine, reason }));
  const result: WebaiResult = { rows: rows.filter(({ totalMs }) => totalMs.length > 0), absent };
  document.body.textContent = JSON.stringify(result);
  document.title = "done";
}

/** One engine's suite in a fresh frame: the sum of its steps, or why there is none. */
function inFrame(engine: number): Promise<number | string> {
  const frame = document.createElement("iframe");
  Object.assign(frame, { width: "800", height: "600", src: `${location.href}&engine=${engine}` });
  return new Promise<number | string>((resolve) => {
    const listen = ({ source, data }: MessageEvent<Message & { readonly appId: string }>): void => {
      if (source !== frame.contentWindow) return;
      if (data.type === "app-ready") {
        const ask = { id: data.appId, key: "benchmark-connector", type: "benchmark-suite", name: "default" };
        frame.contentWindow!.postMessage(ask, "*");
      } else if (data.type !== "step-complete") {
        window.removeEventListener("message", listen);
        resolve(data.type === "suite-complete" ? data.result.total : data.reason);
      }
    };
    window.addEventListener("message", listen);
    document.body.append(frame);
  }).finally(() => frame.remove());
}
