/** onnxruntime-node: native code, the ceiling. */
import ort from "onnxruntime-node";
import { bytesOf } from "../network.ts";
import type { Open } from "./engine.ts";
import { openOrt } from "./ort.ts";

export const open: Open = (files, { dtype, threads }, images) =>
  openOrt(ort, "cpu", files.onnx, threads, dtype === "int8" ? bytesOf(images) : images);
