/** Formats whose readers, 50 kB together, are fetched when the first such file comes: for browsers. */
import type { Format } from "./open.ts";

/** As `TORCH`. */
export const LAZY_TORCH: Format = {
  label: "a PyTorch checkpoint",
  reads: ({ kind }) => kind === "zip" || kind === "pickle",
  open: async (found) => (await import("./torch/format.ts")).TORCH.open(found),
};

/** As `ONNX`. */
export const LAZY_ONNX: Format = {
  label: "an ONNX model",
  reads: ({ kind, entry }) => kind === "onnx" || (kind === "unknown" && /\.onnx$/i.test(entry)),
  open: async (found) => (await import("./onnx/format.ts")).ONNX.open(found),
};
