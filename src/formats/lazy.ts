/** Formats whose readers are imported when the first such file comes: for browsers. */
import type { Format } from "./open.ts";

/** As `TORCH`. */
export const LAZY_TORCH: Format = {
  label: "a PyTorch checkpoint",
  reads: ({ kind }) => kind === "zip" || kind === "pickle",
  async open(found) {
    const { TORCH } = await import("./torch/format.ts");
    return TORCH.open(found);
  },
};

/** As `ONNX`. */
export const LAZY_ONNX: Format = {
  label: "an ONNX model",
  reads: ({ kind, entry }) => kind === "onnx" || (kind === "unknown" && /\.onnx$/i.test(entry)),
  async open(found) {
    const { ONNX } = await import("./onnx/format.ts");
    return ONNX.open(found);
  },
};
