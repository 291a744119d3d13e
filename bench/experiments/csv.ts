/** Results as CSV (RFC 4180). */

export type Row = Readonly<Record<string, string | number | undefined>>;

/** Rows under one line of names: those of all rows, in the order in which they first appear. A missing value is empty. */
export function csv(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((line) => `${line.map(field).join(",")}\n`).join("");
}

function field(value: string | number | undefined): string {
  const text = value === undefined ? "" : `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
