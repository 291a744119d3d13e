/**
 * Lists of files and their classes: lines of `file,label`; of several labels, `file,cat;dog` or `file,cat|dog` or
 * `file,cat,dog` or one line for each; or a column for each class that holds 0 or 1.
 */
import { readFile } from "node:fs/promises";
import { join, posix, win32 } from "node:path";
import { DatasetError, expectedGot } from "../errors.ts";
import type { Dataset } from "../train/dataset.ts";
import { IMAGE_FILE } from "./image-folders.ts";
import { systemReason } from "./terminal.ts";

/** No set of photos has as many. */
const MOST_CLASSES = 100_000;

const FILE_COLUMN = /^(file|file_?name|image|image_?(name|path|id)|path|name|id)$/i;
const LABEL_COLUMN = /^(labels?|class(es)?|class_?names?|tags?|categor(y|ies)|targets?)$/i;

interface Row {
  /** Of the file, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** The cells of a line; quotes as RFC 4180 has them, within one line. */
function cellsOf(line: string): readonly string[] {
  return [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"\s*(?=,|$)|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain!.trim() : quoted.replaceAll('""', '"'),
  );
}

/** Commas in a file's name that nobody quoted: cells are joined until the name ends like an image's. */
function joined(cells: readonly string[]): readonly string[] {
  if (cells.length < 3 || IMAGE_FILE.test(cells[0]!)) return cells;
  const end = cells.slice(0, -1).findIndex((cell) => IMAGE_FILE.test(cell));
  return end < 0 ? cells : [cells.slice(0, end + 1).join(","), ...cells.slice(end + 1)];
}

/** What is wrong in a line is named by its number: the file may be one that was not meant, and is not quoted. */
function malformed(csv: string, line: number, expected: string, got: string): DatasetError {
  return new DatasetError("malformed", expectedGot(`${csv}:${line}`, expected, got));
}

async function readRows(csv: string): Promise<{ readonly heading: readonly string[]; readonly rows: readonly Row[] }> {
  let text: string;
  try {
    text = await readFile(csv, "utf8");
  } catch (error) {
    const got = systemReason(error);
    throw new DatasetError("not-found", expectedGot(csv, "a file of lines file,label", got), { cause: error });
  }
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const rows = lines.flatMap((line, i) => (line.trim() === "" ? [] : [{ line: i + 1, cells: cellsOf(line) }]));
  const [first] = rows;
  const hasHeading = first !== undefined && FILE_COLUMN.test(first.cells[0]!);
  return { heading: hasHeading ? first.cells : [], rows: hasHeading ? rows.slice(1) : rows };
}

/** Labels of files, in the order of the list. */
interface Listed {
  /** By file. */
  readonly labels: ReadonlyMap<string, { readonly names: Set<string>; readonly line: number }>;
  /** From the heading of a table of 0 and 1. */
  readonly classes: readonly string[] | undefined;
}

async function readLabels(csv: string): Promise<Listed> {
  const { heading, rows } = await readRows(csv);
  const isTable =
    heading.length > 2 &&
    rows.every(
      ({ cells }) => cells.length === heading.length && cells.slice(1).every((cell) => /^[01](\.0*)?$/.test(cell)),
    );
  const column = isTable ? -1 : heading.findIndex((name, i) => i > 0 && LABEL_COLUMN.test(name));
  const labels = new Map<string, { names: Set<string>; line: number }>();
  for (const { line, cells: plain } of rows) {
    const cells = isTable ? plain : joined(plain);
    if (cells.length < 2) throw malformed(csv, line, "file,label", "a line without a comma");
    const file = cells[0]!.replaceAll("\\", "/");
    const isOutside = posix.isAbsolute(file) || win32.isAbsolute(cells[0]!) || /^[a-z]:/i.test(file);
    if (file === "" || isOutside || file.split("/").includes("..")) {
      throw malformed(csv, line, "a file in the folder or below it", file === "" ? "none" : "a path outside");
    }
    const name = posix.normalize(file);
    const known = labels.get(name) ?? { names: new Set(), line };
    labels.set(name, known);
    const given = isTable
      ? heading.slice(1).filter((_, i) => Number(cells[i + 1]) === 1)
      : (column > 0 && cells.length === heading.length ? [cells[column]!] : cells.slice(1)).flatMap((cell) =>
          cell.split(/[;|]/),
        );
    for (const label of given) if (label.trim() !== "") known.names.add(label.trim());
  }
  return { labels, classes: isTable ? heading.slice(1) : undefined };
}

/** Class names in their order: by number where all are numbers, else by name. */
function classesOf(csv: string, names: readonly string[]): readonly string[] {
  if (!names.every((name) => /^\d+$/.test(name))) return [...names].sort();
  const count = names.reduce((most, name) => Math.max(most, Number(name) + 1), 0);
  if (count > MOST_CLASSES) {
    throw new DatasetError("malformed", expectedGot(csv, `at most ${MOST_CLASSES} classes`, `${count}`));
  }
  return Array.from({ length: count }, (_, i) => `${i}`);
}

/**
 * A set whose files and labels a CSV lists. A file with none or several labels makes it a set of several labels, in
 * which every example has an array of them.
 *
 * @throws DatasetError for a list that cannot be read, or a file outside of the folder
 */
export async function fromCsv(directory: string, csv: string): Promise<Dataset> {
  const { labels, classes: columns } = await readLabels(csv);
  const entries = [...labels];
  const isMulti = entries.some(([, { names }]) => names.size > 1);
  const none = entries.find(([, { names }]) => names.size === 0);
  if (none !== undefined && !isMulti && columns === undefined) {
    throw malformed(csv, none[1].line, "file,label", "no label");
  }
  const names = [...new Set(entries.flatMap(([, each]) => [...each.names]))];
  const classes = columns ?? classesOf(csv, names);
  const areNumbers = columns === undefined && names.every((name) => /^\d+$/.test(name));
  const index = new Map(classes.map((name, i) => [name, i]));
  const examples = entries.map(([file, { names: given }]) => {
    const indices = [...given].map((name) => index.get(areNumbers ? `${Number(name)}` : name)!);
    const label = isMulti || none !== undefined ? indices : indices[0]!;
    return { name: file, label, image: () => join(directory, file) };
  });
  return { classes, examples };
}
