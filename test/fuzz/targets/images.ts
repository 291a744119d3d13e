/** Every decoder of images. */
import { readFileSync } from "node:fs";
import { decodeImage, decodePicture } from "../../../src/decode/image.ts";
import { kindOf } from "../../../src/decode/kind.ts";
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

const each: readonly Target[] = [
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

/** The target of a file: of JPEGs whole pictures and views in turns. */
function targetOf(bytes: Uint8Array): Target | undefined {
  const kind = kindOf(bytes);
  if (!("codec" in kind)) return undefined;
  const name = kind.codec === "JPEG" && bytes.length % 2 === 1 ? "jpeg-view" : kind.codec.toLowerCase();
  return each.find((target) => target.name === name);
}

/** The mutator of the format that a file begins as. */
const structured: Mutator = (bytes, random) => targetOf(bytes)?.mutators[0]?.(bytes, random) ?? bytes;

/** All of them in one process, as in a service. */
const decode: Target = {
  name: "decode",
  async seeds() {
    const lists = await Promise.all(each.map(({ seeds }) => seeds()));
    // As many of each format, some more than once.
    const most = Math.max(...lists.map(({ length }) => length));
    return lists.flatMap((list) => Array.from({ length: most }, (_, i) => list[i % list.length]!));
  },
  mutators: [structured, structured],
  run: (bytes) => (targetOf(bytes) ?? each[0]!).run(bytes),
  group: (bytes) => targetOf(bytes)?.name ?? "other",
};

export const decoders: readonly Target[] = [...each, decode];
