/** Every decoder of images. */
import { readFileSync } from "node:fs";
import { decodeImage } from "../../../src/decode/image.ts";
import { nodeRuntime } from "../../../src/runtimes/node.ts";
import { gif, jpeg, png, riff } from "../containers.ts";
import type { Mutator, Target } from "../target.ts";

const runtime = nodeRuntime();
/** What the service decodes. */
const MAX_PIXELS = 25e6;

const { images } = JSON.parse(readFileSync(new URL("../../golden/images.json", import.meta.url), "utf8")) as {
  readonly images: Readonly<Record<string, { readonly base64: string }>>;
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
  target("png", /\.png$/, [png, png]),
  target("gif", /\.gif$/, [gif, gif]),
  target("webp", /\.webp$/, [riff, riff]),
];
