#!/usr/bin/env node
/** Runs the `resnet-wasm` command. Exit 0 done, 1 failed with one clear message, 2 bad usage. */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CommanderError } from "commander";
import { program } from "./program.ts";
import { handleStreamErrors } from "./stdio.ts";
import { messageOf } from "./terminal.ts";

/** Runs one command line and returns its exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let status = 0;
  try {
    await program((code) => {
      status = code;
    }).parseAsync(args, { from: "user" });
    return status;
  } catch (error) {
    // Commander has printed its message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  handleStreamErrors();
  process.exitCode = await main(process.argv.slice(2));
}
