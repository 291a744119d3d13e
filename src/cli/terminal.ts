/** Text on a terminal: results go to stdout, remarks and errors to stderr. */

/** A remark on stderr, unless `quiet`. */
export function remark(quiet: boolean | undefined, text: string): void {
  if (!quiet) process.stderr.write(`${text}\n`);
}

/** One clear message, no stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
