/** What the end-to-end checks share: counting, the command as it is built, and where the research data is. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..");
/** Beside the checkout, where there is any. */
export const data = join(root, "..", "shared", "data");

let [passed, failed] = [0, 0];

/** Prints one check with what was seen. */
export function check(name: string, holds: boolean, seen: unknown): void {
  if (holds) passed += 1;
  else failed += 1;
  process.stdout.write(`${holds ? "ok    " : "FAILED"} ${name}: ${String(seen)}\n`);
}

/** Whether the research data is there; says what is left out without it. */
export function hasData(what: string): boolean {
  if (existsSync(data)) return true;
  process.stdout.write(`left out: ${data} is not there, so no ${what}\n`);
  return false;
}

/** Runs the command under a Node; returns what it prints. */
export function cliOf(node: string, env: NodeJS.ProcessEnv, ...args: readonly string[]): string {
  return execFileSync(node, [join(root, "dist/cli/main.js"), ...args], { env, encoding: "utf8", maxBuffer: 1e8 });
}

/** Runs the command under this Node. */
export function cli(...args: readonly string[]): string {
  return cliOf(process.execPath, process.env, ...args);
}

/** The line that `.ci/run` counts, and the exit code. */
export function finish(): void {
  process.stdout.write(`checks: ${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
}

export const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
