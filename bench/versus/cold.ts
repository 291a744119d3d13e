/**
 * One engine in a fresh process: what a user waits for and pays in memory before anything is warm.
 *
 * `loadMs` begins with the library imported, so that nobody pays for our type stripping, and ends with a model ready to
 * run; `peakMB` is the whole process, Node's own some 50 MB included.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { answer, useVectors } from "./child.ts";
import type { Cold, Job } from "./contest.ts";
import { engine } from "./engines/engine.ts";
import { imagesOf } from "./network.ts";

/** Largest resident size so far, in MB. Linux carries `getrusage`'s number over from the parent, so not that one there. */
function peakMB(): number {
  if (process.platform === "linux") {
    const kB = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kB !== undefined) return (Number(kB) * 1024) / 1e6;
  }
  return (process.resourceUsage().maxRSS * 1024) / 1e6;
}

await answer(async ({ setting, files, contenders }: Job): Promise<Cold> => {
  useVectors(setting.vectors);
  const { engine: name, build } = contenders[0]!;
  const images = imagesOf(setting);
  const open = await engine(name);
  const start = performance.now();
  const session = await open(files, setting, images, build);
  const loaded = performance.now();
  await session.run();
  const ran = performance.now();
  return { loadMs: loaded - start, firstMs: ran - loaded, peakMB: peakMB() };
});
