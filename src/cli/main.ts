#!/usr/bin/env node
/** Runs the `resnet-wasm` command. Exit 0 done, 1 failed with one clear message, 2 bad usage. */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CommanderError } from "commander";
import { ArgumentTypeError, OptionError } from "../errors.ts";
import { program } from "./program.ts";
import { handleStreamErrors } from "./stdio.ts";
import { messageOf } from "./terminal.ts";
import { UsageError } from "./usage.ts";

/** Options that are called otherwise on the command line. */
const FLAGS: Readonly<Record<string, string>> = {
  memoryBytes: "--memory",
  learningRate: "--lr",
  valSplit: "--val-split",
};

/** The message, beginning with the option as users of the command know it. */
function asFlag(error: unknown, message: string): string {
  if (!(error instanceof OptionError || error instanceof ArgumentTypeError)) return message;
  const { option } = error;
  const flag = FLAGS[option] ?? `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const isKnown = program(() => {}).commands.some((command) => command.options.some(({ long }) => long === flag));
  return isKnown && message.startsWith(`${option}:`) ? flag + message.slice(option.length) : message;
}

/** Runs one command line and returns its exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let status = 0;
  try {
    await program((code) => {
      status = code;
    }).parseAsync(args, { from: "user" });
    return status;
  } catch (error) {
    // Commander has printed the help or the version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${asFlag(error, messageOf(error))}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  handleStreamErrors();
  process.exitCode = await main(process.argv.slice(2));
}
