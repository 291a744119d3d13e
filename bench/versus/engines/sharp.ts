/** sharp (libvips) and onnxruntime-node, as native code goes from a photo to its classes. */
import ort from "onnxruntime-node";
import sharp from "sharp";
import { centreView } from "../../../src/image.ts";
import { softmax } from "../../../src/output.ts";
import { PRESETS } from "../../../src/preprocess.ts";
import { startOrt } from "./ort.ts";

export interface SharpSession {
  /** The network's input [3, 224, 224], bytes. */
  pixels(photo: Uint8Array): Promise<Float32Array>;
  /** The five best classes, with their probabilities. */
  classify(photo: Uint8Array): Promise<readonly (readonly [index: number, probability: number])[]>;
}

/** Opens an int8 model, on one thread. */
export async function openSharp(model: string): Promise<SharpSession> {
  sharp.concurrency(1);
  // What it keeps of operations would be of the photo before, which is the same one here.
  sharp.cache(false);
  const { compute } = await startOrt(ort, "cpu", model, 1);
  return {
    pixels: async (photo) => planesOf(await decoded(photo), 0),
    async classify(photo) {
      // The model takes seven bits of each byte.
      const data = planesOf(await decoded(photo), 1);
      const [height, width] = PRESETS["torchvision-v1"].crop;
      const logits = await compute(new ort.Tensor("float32", data, [1, 3, height, width]));
      const probabilities = softmax(logits);
      const best = [...probabilities.keys()].sort((a, b) => probabilities[b]! - probabilities[a]!).slice(0, 5);
      return best.map((index) => [index, probabilities[index]!]);
    },
  };
}

/** The same view as ours, RGB [224, 224, 3]. libjpeg shrinks a JPEG while it decodes it, as far as leaves enough for the resize. */
async function decoded(photo: Uint8Array): Promise<Uint8Array> {
  const { resized, left, top, width, height } = centreView(await sharp(photo).metadata(), PRESETS["torchvision-v1"]);
  return sharp(photo)
    .resize(...resized, { fit: "fill", kernel: "linear" })
    .extract({ left, top, width, height })
    .raw()
    .toBuffer();
}

/** `[h, w, 3]` → `[3, h, w]`, less `bits`. */
function planesOf(rgb: Uint8Array, bits: number): Float32Array<ArrayBuffer> {
  const count = rgb.length / 3;
  const out = new Float32Array(rgb.length);
  for (let i = 0, at = 0; i < count; ++i, at += 3) {
    out[i] = rgb[at]! >> bits;
    out[count + i] = rgb[at + 1]! >> bits;
    out[2 * count + i] = rgb[at + 2]! >> bits;
  }
  return out;
}
