/**
 * Progress of long work: on a terminal a line that is rewritten, elsewhere a line now and then. All of it on stderr: stdout is
 * for results. There are no colours in it.
 */
import type { DownloadProgress } from "../runtime.ts";

/** How long work stands. */
export interface Progress {
  /** How much is done of the whole, and what else there is to say. */
  update(done: number, note?: string): void;
  /** One more is done. */
  tick(note?: string): void;
  /** Writes a line above the progress, quiet or not. */
  say(text: string): void;
  /** Takes the line away. */
  stop(): void;
}

/** Where it is written. */
export interface Sink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Of what progress is made. */
export interface Work {
  /** What is being done: `"classifying"`. */
  readonly name: string;
  /** Absent where nobody knows. */
  readonly total?: number | undefined;
  readonly unit: string;
  /** So many of what is counted make one unit: 1e6 bytes a megabyte. */
  readonly scale?: number;
}

/** Milliseconds between two drawings of the line on a terminal. */
const REDRAW_MS = 100;
/** Elsewhere a line comes when another tenth is done, and not within this time of the last. */
const LEAST_MS = 5_000;
/** Or when this time is over. */
const MOST_MS = 10_000;
/** The rate is that of the last so many milliseconds. */
const RATE_MS = 10_000;
/** Back to the beginning of the line, which is cleared. */
const CLEAR = "\r\u001b[K";

/** Minutes and seconds, with hours where there are some. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** A number as a person reads it: two or three digits that count. */
const short = (value: number): string => (value >= 10 ? value.toFixed(0) : value.toFixed(1));

/**
 * Begins to show progress.
 *
 * @param quiet shows nothing but what is said
 * @param now the time in ms
 */
export function progress(
  quiet: boolean,
  { name, total, unit, scale = 1 }: Work,
  sink: Sink = process.stderr,
  now: () => number = () => performance.now(),
): Progress {
  const isLine = sink.isTTY === true && process.env.TERM !== "dumb";
  const begun = now();
  const seen: { readonly at: number; readonly done: number }[] = [{ at: begun, done: 0 }];
  let done = 0;
  let drawn = "";
  let wroteAt = begun;
  let tenths = 0;
  const text = (note: string): string => {
    const [first] = seen;
    const perMs = (done - first!.done) / Math.max(1, now() - first!.at);
    const amount = (value: number): string => (scale === 1 ? `${value}` : (value / scale).toFixed(1));
    const share = total === undefined || total === 0 ? "" : `${Math.floor((100 * done) / total)} %`;
    const counted = total === undefined ? `${amount(done)} ${unit}` : `${amount(done)} of ${amount(total)} ${unit}`;
    const rate = perMs > 0 ? `${short((1000 * perMs) / scale)} ${unit}/s` : "";
    const left = perMs > 0 && total !== undefined && done < total ? `${clock((total - done) / perMs)} left` : "";
    return [name, share, counted, rate, left, note].filter((part) => part !== "").join("  ");
  };
  const clear = (): void => {
    if (drawn !== "") sink.write(CLEAR);
    drawn = "";
  };
  const draw = (line: string): void => {
    drawn = line.slice(0, Math.max(20, (sink.columns || 80) - 1));
    sink.write(`${CLEAR}${drawn}`);
  };
  const update = (to: number, note = ""): void => {
    done = to;
    if (quiet) return;
    const time = now();
    if (time - seen.at(-1)!.at >= RATE_MS / 20) seen.push({ at: time, done });
    while (seen.length > 2 && time - seen[1]!.at >= RATE_MS) seen.shift();
    const since = time - wroteAt;
    if (isLine) {
      if (drawn !== "" && since < REDRAW_MS && done !== total) return;
      draw(text(note));
    } else {
      const reached = total === undefined ? tenths : Math.floor((10 * done) / total);
      if (since < MOST_MS && !(reached > tenths && since >= LEAST_MS)) return;
      tenths = reached;
      sink.write(`${text(note)}\n`);
    }
    wroteAt = time;
  };
  return {
    update,
    tick: (note) => update(done + 1, note),
    say(line) {
      const before = drawn;
      clear();
      sink.write(`${line}\n`);
      if (before !== "") draw(before);
    },
    stop: clear,
  };
}

/** Shows downloads, one at a time. */
export function downloads(quiet: boolean): (progress: DownloadProgress) => void {
  let line: Progress | undefined;
  let of = "";
  return ({ name, loaded, total }) => {
    if (name !== of) line?.stop();
    if (line === undefined || name !== of) {
      line = progress(quiet, { name: `downloading ${name}`, total, unit: "MB", scale: 1e6 });
      of = name;
    }
    line.update(loaded);
    if (loaded !== total) return;
    line.stop();
    line = undefined;
  };
}
