/** onnxruntime-node: native code, the ceiling. */
import ort from "onnxruntime-node";
import type { Open } from "./engine.ts";
import { openOrt } from "./ort.ts";

export const open: Open = (files, { threads }, images) => openOrt(ort, "cpu", files.onnx, threads, images);
