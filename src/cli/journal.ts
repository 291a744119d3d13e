/**
 * A long run's results so far, a JSON line each, appended as they come: what a killed run leaves is whole but for perhaps
 * its last line. The first line says what the results depend on.
 */
import { appendFile, readFile } from "node:fs/promises";
import { expectedGot, ModelError } from "../errors.ts";
import { writeAtomically } from "./output.ts";
import { systemReason } from "./terminal.ts";

export interface Journal<T> {
  /** What an earlier run left. */
  readonly known: readonly T[];
  /** Adds one result. */
  add(result: T): Promise<void>;
}

/** What a run's results depend on, by name: a digest, or the thing itself. */
export type Fingerprint = Readonly<Record<string, string>>;

const HINT = "name another file, or remove it";

/**
 * Opens a journal, or begins one.
 *
 * @param isResult whether a value is a result of this run; a journal with others is refused
 * @throws ModelError when the file is another run's, is damaged, or is no journal
 */
export async function openJournal<T>(
  file: string | undefined,
  fingerprint: Fingerprint,
  isResult: (value: unknown) => value is T,
): Promise<Journal<T>> {
  if (file === undefined) return { known: [], async add() {} };
  const fails = (got: string, expected = "the journal of this run", where = file): ModelError =>
    new ModelError("metadata", expectedGot(where, expected, got, HINT), { subject: file });
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw fails(systemReason(error), "a file to resume from");
  });
  // What follows the last line break was being written when the run ended.
  const lines = text.split("\n").slice(0, -1);
  if (text !== "") checkHead(lines[0], fingerprint, fails);
  const known = lines.slice(1).map((line, i) => {
    const value = parse(line);
    if (isResult(value)) return value;
    throw fails(JSON.stringify(line.slice(0, 80)), "a result of this run", `${file}:${i + 2}`);
  });
  const head = JSON.stringify({ journal: fingerprint });
  const whole = `${[head, ...lines.slice(1)].join("\n")}\n`;
  if (text !== whole) await writeAtomically(file, [new TextEncoder().encode(whole)]);
  return {
    known,
    async add(result) {
      try {
        await appendFile(file, `${JSON.stringify(result)}\n`);
      } catch (error) {
        throw fails(systemReason(error), "a file that can be added to");
      }
    },
  };
}

/** Throws unless the first line is that of a run with the same fingerprint; names what is another. */
function checkHead(line: string | undefined, fingerprint: Fingerprint, fails: (got: string) => ModelError): void {
  const head = line === undefined ? undefined : parse(line);
  const got = typeof head === "object" && head !== null ? (head as { journal?: unknown }).journal : undefined;
  if (typeof got !== "object" || got === null) throw fails("another file");
  const names = Object.keys({ ...fingerprint, ...got });
  const others = names.filter((name) => fingerprint[name] !== (got as Fingerprint)[name]);
  if (others.length > 0) throw fails(`that of another run, with other ${others.join(" and other ")}`);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
