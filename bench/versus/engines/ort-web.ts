/** onnxruntime-web: WebAssembly SIMD; in Node its threads are worker threads. */
import { readFile } from "node:fs/promises";
import ort from "onnxruntime-web";
import { bytesOf } from "../network.ts";
import { type Open, Unavailable } from "./engine.ts";
import { openOrt } from "./ort.ts";

export const open: Open = async (files, { dtype, threads }, images) => {
  ort.env.wasm.numThreads = threads;
  const session = await openOrt(
    ort,
    "wasm",
    await readFile(files.onnx),
    threads,
    dtype === "int8" ? bytesOf(images) : images,
  );
  // The library falls back to fewer threads with no more than a warning, and says so here.
  if (ort.env.wasm.numThreads !== threads) {
    await session.close();
    throw new Unavailable(`onnxruntime-web: expected ${threads} threads, got ${ort.env.wasm.numThreads}`);
  }
  return session;
};
