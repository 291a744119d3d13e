/** Every decoder of images. */
import { readFileSync } from "node:fs";
import { decodeImage, decodePicture } from "../../../src/decode/image.ts";
import type { Wanted } from "../../../src/decode/wanted.ts";
import { centreView } from "../../../src/image.ts";
import { PRESETS } from "../../../src/preprocess.ts";
import { nodeRuntime } from "../../../src/runtimes/node.ts";
import { gif, jpeg, png, riff } from "../containers.ts";
import type { Mutator, Target } from "../target.ts";

const runtime = nodeRuntime();
/** What the service decodes. */
const MAX_PIXELS = 25e6;

const { images } = JSON.parse(readFileSync(new URL("../../golden/images.json", import.meta.url), "utf8")) as {
  readonly images: Readonly<Record<string, { readonly base64: string }>>;
};

/** JPEGs of every coding; see `decode/jpeg.test.ts`. */
const jpegs = JSON.parse(readFileSync(new URL("../../golden/jpegs.json", import.meta.url), "utf8")) as Readonly<
  Record<string, { readonly base64: string }>
>;

/** A small view, so that rows go into a resize, at a scale for most. */
const wanted: Wanted = {
  view: (size) => centreView(size, { ...PRESETS.cifar, resize: [9, 9], crop: [8, 8] }),
  ...{ filter: "bicubic", gray: false, decode: "fast" },
};

function target(name: string, extension: RegExp, mutators: readonly Mutator[]): Target {
  return {
    name,
    seeds: async () =>
      Object.entries(images)
        .filter(([file]) => extension.test(file))
        .map(([, { base64 }]) => new Uint8Array(Buffer.from(base64, "base64"))),
    mutators,
    async run(bytes) {
      const { width, height, data } = await decodeImage(bytes, runtime, `image.${name}`, MAX_PIXELS);
      // A decoder that lies about its size would have the model read elsewhere.
      return data.length === 4 * width * height && width * height <= MAX_PIXELS ? data.subarray(0, 4096) : [Number.NaN];
    },
  };
}

export const decoders: readonly Target[] = [
  target("jpeg", /\.jpe?g$/, [jpeg, jpeg]),
  {
    name: "jpeg-view",
    seeds: async () => Object.values(jpegs).map(({ base64 }) => new Uint8Array(Buffer.from(base64, "base64"))),
    mutators: [jpeg, jpeg],
    async run(bytes) {
      // Without a budget of truncation, more of the decoder sees what is broken.
      const options = { maxPixels: MAX_PIXELS, wanted, truncated: true };
      const { pixels, view } = await decodePicture(bytes, runtime, "view.jpeg", options);
      if (view !== undefined) return [...pixels.data];
      const { width, height, data } = pixels;
      return data.length === 4 * width * height ? data.subarray(0, 4096) : [Number.NaN];
    },
  },
  target("png", /\.png$/, [png, png]),
  target("gif", /\.gif$/, [gif, gif]),
  target("webp", /\.webp$/, [riff, riff]),
];
