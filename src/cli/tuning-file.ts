/** The file of `--tuning`: times that the `tune` command measured. */
import { readFileSync } from "node:fs";
import { expectedGot, ModelError } from "../errors.ts";
import { BUILDS } from "../kernels.ts";
import { isTuning, type Tuning } from "../variants.ts";
import { systemReason } from "./terminal.ts";

/** Reads it; `undefined` when there is none to read. Throws `ModelError` ("metadata") for any other file. */
export function readTuning(file: string | undefined): Tuning | undefined {
  if (file === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw new ModelError("not-found", expectedGot(file, "what the tune command wrote", systemReason(error)), {
        subject: file,
      });
    }
  }
  if (!isTuning(parsed) || !BUILDS.includes(parsed.build)) {
    const expected = "what the tune command wrote";
    throw new ModelError("metadata", expectedGot(file, expected, "something else"), { subject: file });
  }
  return parsed;
}
