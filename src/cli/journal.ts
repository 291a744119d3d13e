/**
 * A long run's results so far, a JSON line each, appended as they come: what a killed run leaves is whole but for perhaps
 * its last line. The first line says whose run it is.
 */
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { expectedGot, ModelError } from "../errors.ts";

export interface Journal<T> {
  /** What an earlier run left. */
  readonly known: readonly T[];
  /** Adds one result. */
  add(result: T): Promise<void>;
}

/**
 * Opens a journal, or begins one.
 *
 * @param fingerprint all that the results depend on
 * @throws ModelError when the file is another run's, or no journal
 */
export async function openJournal<T>(file: string | undefined, fingerprint: string): Promise<Journal<T>> {
  if (file === undefined) return { known: [], async add() {} };
  const head = `${JSON.stringify({ journal: fingerprint })}\n`;
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new ModelError("malformed", expectedGot(file, "a file to resume from", error.code ?? error.message));
  });
  const lines = (text ?? "").split("\n");
  if (text === undefined || text === "") await writeFile(file, head);
  else if (`${lines[0]}\n` !== head) {
    const isJournal = lines[0]!.startsWith('{"journal":');
    const got = isJournal ? "that of another run" : "another file";
    throw new ModelError(
      "malformed",
      expectedGot(file, "the journal of this run", got, "name another file, or remove it"),
    );
  }
  // What follows the last line break was being written when the run ended.
  const known = lines.slice(1, -1).map((line) => JSON.parse(line) as T);
  const whole = `${[head.trimEnd(), ...lines.slice(1, -1)].join("\n")}\n`;
  if (text !== undefined && text !== "" && text !== whole) await writeFile(file, whole);
  return { known, add: (result) => appendFile(file, `${JSON.stringify(result)}\n`) };
}
