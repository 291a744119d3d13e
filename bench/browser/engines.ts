/** This project and its rivals in a page: each opens the files that the bench serves. */
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { expectedGot } from "../../src/errors.ts";
import { fold } from "../../src/fold.ts";
import { type Build, supportsRelaxed } from "../../src/kernels.ts";
import type * as Library from "../../src/runtimes/browser.ts";
import type { Setting } from "../versus/contest.ts";
import { type Ort, openOrt } from "../versus/engines/ort.ts";
import { forward } from "../versus/engines/tfjs-forward.ts";
import { bytesOf, network, type Weight } from "../versus/network.ts";

/** Computes the images once; resolves to the logits. */
export type Compute = () => Promise<Float32Array>;

export interface Engine {
  readonly engine: string;
  readonly build: string;
  open(): Promise<Compute>;
}

const bytesAt = async (path: string): Promise<ArrayBuffer> => (await fetch(path)).arrayBuffer();

/** Everyone who can compute a setting; its images are as preprocessed for us. */
export function enginesOf(setting: Setting, images: Weight): readonly Engine[] {
  const builds: readonly Build[] = supportsRelaxed() ? ["relaxed", "baseline"] : ["baseline"];
  const theirs = setting.dtype === "int8" ? bytesOf(images) : images;
  return [
    ...builds.map((build) => ours(setting, images, build)),
    onnxruntime(setting, theirs),
    // TensorFlow.js has no int8 kernels.
    ...(setting.dtype === "f32" ? [tensorFlow(setting, theirs)] : []),
    liteRt(setting, theirs),
  ];
}

function ours({ model, dtype, threads, vectors }: Setting, { data, shape }: Weight, build: Build): Engine {
  return {
    engine: "resnet-wasm",
    build,
    async open() {
      const entry = "/dist/runtimes/browser.js";
      const { load } = (await import(entry)) as typeof Library;
      const arch = dtype === "f32" ? { arch: model } : {};
      const loaded = await load(`/models/${model}.safetensors`, { ...arch, build, threads });
      if (loaded.vectors !== vectors) {
        throw new Error(expectedGot(build, `vectors of ${vectors} bits`, `${loaded.vectors} by its own measurement`));
      }
      const input = { data, shape: shape as [number, number, number, number] };
      return async () => (await loaded.logits(input)).data;
    },
  };
}

function onnxruntime({ model, threads }: Setting, images: Weight): Engine {
  return {
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
  };
}

function tensorFlow({ model, threads }: Setting, { data, shape }: Weight): Engine {
  return {
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
        const logits = tf.tidy(() => forward(graph, weights, tf.tensor4d(data, shape)));
        const values = logits.dataSync();
        logits.dispose();
        return values;
      };
    },
  };
}

function liteRt({ model, threads }: Setting, { data, shape }: Weight): Engine {
  return {
    engine: "LiteRT.js",
    // It takes its relaxed build by itself where the browser can, and has threads in no other.
    build: supportsRelaxed() ? "relaxed" : "simd",
    async open() {
      await loadLiteRt("/litert/", { threads: threads > 1 });
      const bytes = new Uint8Array(await bytesAt(`/models/${model}.tflite`));
      const compiled = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
      return async () => {
        const images = new Tensor(data, shape);
        const [logits] = await compiled.run(images);
        const values = logits.toTypedArray();
        images.delete();
        logits.delete();
        return values;
      };
    },
  };
}
