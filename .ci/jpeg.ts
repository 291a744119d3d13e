/** JPEGs against Pillow, live: every photo of ../shared/data, and parts of them encoded in every way, at every scale. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeJpeg } from "../src/decode/jpeg.ts";
import type { Scale } from "../src/decode/jpeg-geometry.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { check, data, finish, hasData, root } from "./checks.ts";

const COUNT = 600;
const SEED = 1;

interface Line {
  readonly file: string;
  readonly how: string;
  /** By the divisor of the size. */
  readonly digests: Readonly<Record<string, readonly [width: number, height: number, sha256: string]>>;
}

if (hasData("JPEGs against Pillow")) {
  const module = await nodeRuntime().module("jpeg");
  const folder = mkdtempSync(join(tmpdir(), "jpeg-"));
  const script = join(root, ".ci/jpeg-pillow.py");
  const args = [script, join(data, "imagenet-val-300"), folder, `${COUNT}`, `${SEED}`];
  const lines = execFileSync("/usr/bin/python3", args, { encoding: "utf8", maxBuffer: 1e9 }).trim().split("\n");
  const counts = new Map<string, { equal: number; others: string[] }>();
  for (const line of lines) {
    const { file, how, digests } = JSON.parse(line) as Line;
    for (const [by, [width, height, sha256]] of Object.entries(digests)) {
      const pixels = decodeJpeg(module, readFileSync(file), (8 / Number(by)) as Scale);
      const digest = createHash("sha256")
        .update(pixels.data.filter((_, i) => i % 4 !== 3))
        .digest("hex");
      const title = `${how === "as it is" ? "photos" : "parts of photos, encoded again"}, 1/${by}`;
      const count = counts.get(title) ?? { equal: 0, others: [] };
      counts.set(title, count);
      if (pixels.width === width && pixels.height === height && digest === sha256) count.equal += 1;
      else count.others.push(`${file} (${how})`);
    }
  }
  for (const [title, { equal, others }] of counts) {
    const seen = others.length === 0 ? `${equal} equal` : `${others.length} of ${equal + others.length}: ${others[0]}`;
    check(`${title}, as Pillow has them`, others.length === 0, seen);
  }
  rmSync(folder, { recursive: true });
}
finish();
