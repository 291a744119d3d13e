/**
 * `resnet-wasm/formats`: readers and writers of weight files. Where an entry reads fewer formats by itself, as those of
 * browsers and the edge do, pass more: `load(url, { formats: [SAFETENSORS, ONNX] })`.
 */

export { type ByteSource, type Folder, fromBytes, fromStream } from "./bytes.ts";
export { type Checkpoint, readValues } from "./checkpoint.ts";
export { ONNX } from "./formats/onnx/format.ts";
export { type Format, type Found, openCheckpoint, SAFETENSORS } from "./formats/open.ts";
export {
  type NamedTensor,
  openSafetensors,
  planSafetensors,
  type TensorEntry,
  writeSafetensors,
} from "./formats/safetensors.ts";
export { openSharded, SHARDED } from "./formats/sharded.ts";
export { TFJS } from "./formats/tfjs.ts";
export { TORCH } from "./formats/torch.ts";
export type { Dtype, TensorInfo } from "./tensor.ts";
