/** The page of the browser bench: loads every engine with the same weights, compares logits, then takes turns. */
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { fold } from "../../src/fold.ts";
import { type Build, supportsRelaxed } from "../../src/kernels.ts";
import type * as Library from "../../src/runtimes/browser.ts";
import type { Setting } from "../versus/contest.ts";
import { type Ort, openOrt } from "../versus/engines/ort.ts";
import { forward } from "../versus/engines/tfjs-forward.ts";
import { imagesOf, network } from "../versus/network.ts";
import { farthest, TOLERANCE, warmUp } from "../versus/rounds.ts";

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

interface Engine {
  readonly engine: string;
  readonly build: string;
  open(): Promise<() => Promise<Float32Array>>;
}

const bytesAt = async (path: string): Promise<ArrayBuffer> => (await fetch(path)).arrayBuffer();

/** Runs one setting: f32, one image at a time. */
async function run(setting: Setting, rounds: number): Promise<PageResult> {
  const { model, threads } = setting;
  const images = imagesOf(setting);
  const ours = (build: Build): Engine => ({
    engine: "resnet-wasm",
    build,
    async open() {
      const entry = "/dist/runtimes/browser.js";
      const { load } = (await import(entry)) as typeof Library;
      const loaded = await load(`/models/${model}.safetensors`, { arch: model, build, threads });
      const input = { data: images.data, shape: images.shape as [number, number, number, number] };
      return async () => (await loaded.logits(input)).data;
    },
  });
  const engines: readonly Engine[] = [
    ...(supportsRelaxed() ? [ours("relaxed")] : []),
    ours("baseline"),
    {
      engine: "onnxruntime-web",
      build: "simd",
      async open() {
        const entry = "/ort/ort.wasm.min.mjs";
        const ort = (await import(entry)) as Ort & { env: { wasm: { wasmPaths: string } } };
        ort.env.wasm.wasmPaths = "/ort/";
        ort.env.wasm.numThreads = threads;
        const onnx = new Uint8Array(await bytesAt(`/models/${model}.onnx`));
        const session = await openOrt(ort, "wasm", onnx, threads, images);
        return () => session.run();
      },
    },
    {
      engine: "TensorFlow.js wasm",
      build: "simd",
      async open() {
        tf.enableProdMode();
        setWasmPaths("/tfjs/");
        setThreadsCount(threads);
        await tf.setBackend("wasm");
        const { specs, path } = await (await fetch(`/models/${model}.tfjs.json`)).json();
        const weights = tf.io.decodeWeights(await bytesAt(`/models/${path}`), specs);
        const graph = fold(network(model));
        return async () => {
          const logits = tf.tidy(() => forward(graph, weights, tf.tensor4d(images.data, images.shape)));
          const data = logits.dataSync();
          logits.dispose();
          return data;
        };
      },
    },
  ];
  const opened: {
    engine: Engine;
    compute: () => Promise<Float32Array>;
    loadMs: number;
    firstMs: number;
    difference: number;
    ms: number[];
  }[] = [];
  const absent: { engine: string; reason: string }[] = [];
  let expected: Float32Array | undefined;
  for (const engine of engines) {
    try {
      const start = performance.now();
      const compute = await engine.open();
      const loaded = performance.now();
      const logits = Float32Array.from(await compute());
      const firstMs = performance.now() - loaded;
      expected ??= logits;
      const difference = farthest(logits, expected);
      if (!(difference <= TOLERANCE.f32)) throw new Error(`logits differ by ${difference} of the largest`);
      opened.push({ engine, compute, loadMs: loaded - start, firstMs, difference, ms: [] });
    } catch (error) {
      absent.push({ engine: `${engine.engine} ${engine.build}`, reason: (error as Error).message });
    }
  }
  const turn = async (compute: () => Promise<unknown>): Promise<number> => {
    // Lets threads of the engine before go to sleep.
    if (threads > 1) await new Promise((resolve) => setTimeout(resolve, 50));
    const start = performance.now();
    await compute();
    return performance.now() - start;
  };
  for (const { compute } of opened) await warmUp(() => turn(compute));
  for (let round = 0; round < rounds; ++round) {
    for (const each of round % 2 === 0 ? opened : opened.toReversed()) each.ms.push(await turn(each.compute));
  }
  const rows = opened.map(({ engine: { engine, build }, compute: _, ...times }) => ({ engine, build, ...times }));
  return { rows, absent };
}

const query = new URLSearchParams(location.search);
const setting: Setting = { model: query.get("model")!, dtype: "f32", threads: Number(query.get("threads")), batch: 1 };
run(setting, Number(query.get("rounds")))
  .catch((error): PageResult => ({ rows: [], absent: [{ engine: "page", reason: `${error.message} ${error.stack}` }] }))
  .then((result) => {
    document.body.textContent = JSON.stringify(result);
    document.title = "done";
  });
