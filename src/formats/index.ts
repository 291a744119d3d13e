/**
 * `resnet-wasm/formats`: readers and writers of weight files. Where an entry reads fewer formats by itself, as those of
 * the edge and `inline` do, pass more: `load(url, { formats: [SAFETENSORS, ONNX] })`.
 */

export { type ByteSource, type Folder, fromBytes, fromStream } from "../bytes.ts";
export { type Checkpoint, readValues } from "../checkpoint.ts";
export type { Dtype, TensorInfo } from "../tensor.ts";
export { ONNX } from "./onnx/format.ts";
export { type Format, type Found, openCheckpoint, SAFETENSORS } from "./open.ts";
export {
  type NamedTensor,
  openSafetensors,
  planSafetensors,
  type TensorEntry,
  writeSafetensors,
} from "./safetensors.ts";
export { openSharded, SHARDED } from "./sharded.ts";
export { TFJS } from "./tfjs.ts";
export { TORCH } from "./torch/format.ts";
