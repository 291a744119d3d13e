/** Photos of two kinds of things: red discs and blue squares on grounds of many colours. */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import encodeJpeg, { init as initJpeg } from "@jsquash/jpeg/encode.js";
import { uniform } from "../../../src/models/random.ts";

const SIDE = 96;
export type Kind = "disc" | "square";
const COLOURS = { disc: [215, 40, 35], square: [30, 60, 215] } as const;

function draw(kind: Kind, seed: number): ImageData {
  const next = uniform(seed + 1);
  const ground = [60, 60, 60].map((least) => least + 120 * next());
  const [x0, y0, r] = [SIDE * (0.35 + 0.3 * next()), SIDE * (0.35 + 0.3 * next()), SIDE * (0.22 + 0.15 * next())];
  const data = new Uint8ClampedArray(4 * SIDE * SIDE);
  for (let i = 0; i < SIDE * SIDE; ++i) {
    const [dx, dy] = [(i % SIDE) - x0, Math.floor(i / SIDE) - y0];
    const isInside = kind === "disc" ? Math.hypot(dx, dy) < r : Math.max(Math.abs(dx), Math.abs(dy)) < r;
    const colour = isInside ? COLOURS[kind] : ground;
    data.set([...colour.map((value) => value + 24 * (next() - 0.5)), 255], 4 * i);
  }
  return { data, width: SIDE, height: SIDE, colorSpace: "srgb" } as unknown as ImageData;
}

/** Writes some photos of a kind into a folder; gives their paths. */
export async function photosOf(folder: string, kind: Kind, count: number, seed: number): Promise<readonly string[]> {
  const codec = createRequire(import.meta.url).resolve("@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm");
  await initJpeg(await WebAssembly.compile(readFileSync(codec)));
  const paths: string[] = [];
  for (let i = 0; i < count; ++i) {
    const path = join(folder, `${kind}-${seed + i}.jpg`);
    writeFileSync(path, new Uint8Array(await encodeJpeg(draw(kind, seed + i))));
    paths.push(path);
  }
  return paths;
}
