/** Text on a terminal: results go to stdout, remarks and errors to stderr. */

import { expectedGot } from "../errors.ts";

/** A remark on stderr, unless `quiet`. */
export function remark(quiet: boolean | undefined, text: string): void {
  if (!quiet) process.stderr.write(`${text}\n`);
}

const SYSTEM: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "a path through a file",
  EISDIR: "a folder",
  EACCES: "no permission",
  EPERM: "no permission",
  ENOSPC: "a full disk",
  EMFILE: "too many open files",
  ELOOP: "links in a circle",
  ENAMETOOLONG: "a name that is too long",
};

/** What the file system says, in words; its code where there are none. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return SYSTEM[code ?? ""] ?? code ?? message;
}

/** Errors that no wrong input should cause. */
const FAULTS = [
  "TypeError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "RuntimeError",
  "CompileError",
  "LinkError",
];

/** One clear message, no stack. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { syscall, path } = error as NodeJS.ErrnoException;
  if (FAULTS.includes(error.name)) {
    const hint = "this is a fault of resnet-wasm; please report it with the command line";
    return expectedGot("resnet-wasm", "no such error", `${error.name}: ${error.message}`, hint);
  }
  if (syscall === undefined) return error.message;
  return expectedGot(path ?? syscall, "a file or folder that can be used", systemReason(error));
}

/** `0.754` as a bar of up to `width` cells, in eighths of a cell. */
export function barOf(fraction: number, width: number): string {
  const eighths = Math.round(fraction * width * 8);
  return "█".repeat(eighths >> 3) + (["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths & 7] ?? "");
}

/** Rows as aligned columns, numbers right-aligned. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, `${cell}`.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => (typeof cell === "number" ? `${cell}`.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
