/**
 * What a file is, by its first bytes: names and extensions are often wrong, above all those of downloads.
 */

/** What `sniff` can tell apart. The ones this package cannot read are there to be named in errors. */
export type Kind =
  | "empty"
  | "safetensors"
  | "json"
  | "html"
  | "zip"
  | "pickle"
  | "hdf5"
  | "onnx"
  | "gguf"
  | "gzip"
  | "lfs"
  | "image"
  | "unknown";

/** How an error calls each kind. */
export const KIND_LABELS: Readonly<Record<Kind, string>> = {
  empty: "an empty file",
  safetensors: "a safetensors file",
  json: "a JSON file",
  html: "a web page (HTML)",
  zip: "a zip archive (PyTorch or Keras saves these)",
  pickle: "a Python pickle (an old PyTorch checkpoint)",
  hdf5: "an HDF5 file (Keras saves these)",
  onnx: "an ONNX model",
  gguf: "a GGUF file",
  gzip: "a gzip archive",
  lfs: "a Git LFS pointer, not the file itself",
  image: "an image",
  unknown: "bytes of no known format",
};

/** Bytes `sniff` likes to see. */
export const SNIFF_BYTES = 512;

const MAGIC: readonly (readonly [Kind, readonly number[]])[] = [
  ["zip", [0x50, 0x4b, 0x03, 0x04]],
  ["hdf5", [0x89, 0x48, 0x44, 0x46]],
  ["gguf", [0x47, 0x47, 0x55, 0x46]],
  ["gzip", [0x1f, 0x8b]],
  ["image", [0x89, 0x50, 0x4e, 0x47]],
  ["image", [0xff, 0xd8, 0xff]],
  ["pickle", [0x80, 0x02]],
  ["pickle", [0x80, 0x03]],
  ["pickle", [0x80, 0x04]],
  ["pickle", [0x80, 0x05]],
];

/** The kind of file that begins with `head` (its first `SNIFF_BYTES` bytes, fewer when it is shorter). */
export function sniff(head: Uint8Array): Kind {
  if (head.byteLength === 0) return "empty";
  // A little-endian u64 below 4 GiB, then the "{" of the header.
  if (head[8] === 0x7b && head[4] === 0 && head[5] === 0 && head[6] === 0 && head[7] === 0) return "safetensors";
  for (const [kind, magic] of MAGIC) {
    if (magic.every((byte, i) => head[i] === byte)) return kind;
  }
  const text = new TextDecoder().decode(head).trimStart();
  if (/^<(?:!doctype|html|head|body|\?xml|!--)/i.test(text)) return "html";
  if (text.startsWith("{")) return "json";
  if (text.startsWith("version https://git-lfs")) return "lfs";
  // ONNX is a protobuf without magic: field 1 (ir_version), then field 2 (producer_name) or 8 (opset_import).
  if (head[0] === 0x08 && head[1]! < 0x20 && (head[2] === 0x12 || head[2] === 0x42 || head[2] === 0x3a)) return "onnx";
  return "unknown";
}
