/** DownloadProgress on a terminal; silence anywhere else. All of it on stderr: stdout is for results. */
import { Presets, SingleBar } from "cli-progress";
import type { DownloadProgress } from "../runtime.ts";

const MB = 1e6;

/** A bar for downloads, one at a time; drawn on a terminal only. */
export function downloadBar(quiet: boolean): (progress: DownloadProgress) => void {
  if (quiet || !process.stderr.isTTY) return () => {};
  let bar: SingleBar | undefined;
  return ({ name, loaded, total }) => {
    if (bar === undefined) {
      bar = new SingleBar(
        { format: "{name} [{bar}] {percentage}% | {value}/{total} MB | {eta_formatted} left", stream: process.stderr },
        Presets.shades_grey,
      );
      bar.start(total === undefined ? 0 : Math.round(total / MB), 0, { name });
    }
    bar.update(Math.round(loaded / MB));
    if (loaded === total) {
      bar.stop();
      bar = undefined;
    }
  };
}

/** A bar for a known number of images. */
export function imageBar(quiet: boolean, total: number): { tick(note: string): void; stop(): void } {
  if (quiet || !process.stderr.isTTY) return { tick() {}, stop() {} };
  const bar = new SingleBar(
    { format: "[{bar}] {value}/{total} | {note} | {eta_formatted} left", stream: process.stderr },
    Presets.shades_grey,
  );
  bar.start(total, 0, { note: "" });
  return {
    tick: (note) => bar.increment(1, { note }),
    stop: () => bar.stop(),
  };
}
