/** A golden network as a safetensors file. */
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { type ResNetSpec, resnet } from "../../src/models/resnet.ts";
import { paramsOf } from "../../src/ops/ops.ts";
import { goldenTensor } from "./weights.ts";

/**
 * The file of an architecture with golden weights.
 *
 * @param lastNorm as in `goldenTensor`
 * @param edit may spoil a tensor's values
 */
export function goldenCheckpoint(
  spec: ResNetSpec,
  lastNorm: string | null = "bn2",
  edit: (tensor: string, values: Float32Array) => Float32Array = (_, values) => values,
): Uint8Array<ArrayBuffer> {
  const tensors = paramsOf(resnet("golden", spec)).map(({ name, shape }) => {
    const values = edit(name, goldenTensor(name, shape, lastNorm));
    return { name, shape, dtype: "F32" as const, bytes: new Uint8Array(values.buffer) };
  });
  return writeSafetensors(tensors, { stride_in_1x1: `${spec.stride === "1x1"}` });
}
