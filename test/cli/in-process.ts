/** The built command, run in this process: a process of its own takes half a second to start. */
import type { main } from "../../src/cli/main.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs of one process share its streams and its folder: one after the other. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Runs one command line in a folder and returns what it wrote. What only a process has is not tested so: signals, kills,
 * streams that are closed.
 */
export function runIn(folder: string, ...args: readonly string[]): Promise<Outcome> {
  const run = last.then(() => once(folder, args));
  last = run.catch(() => {});
  return run;
}

async function once(folder: string, args: readonly string[]): Promise<Outcome> {
  const built = (await import(new URL("../../dist/cli/main.js", import.meta.url).href)) as { main: typeof main };
  const [out, err]: [string[], string[]] = [[], []];
  const { stdout, stderr } = process;
  const before = { out: stdout.write, err: stderr.write, cwd: process.cwd(), cache: process.env.XDG_CACHE_HOME };
  const listeners = new Set(process.listeners("SIGINT"));
  const into = (texts: string[]): typeof stdout.write =>
    ((text: string | Uint8Array) => {
      texts.push(typeof text === "string" ? text : new TextDecoder().decode(text));
      return true;
    }) as typeof stdout.write;
  process.chdir(folder);
  process.env.XDG_CACHE_HOME = `${folder}/cache`;
  [stdout.write, stderr.write] = [into(out), into(err)];
  try {
    const code = await built.main(args);
    return { code, stdout: out.join(""), stderr: err.join("") };
  } finally {
    [stdout.write, stderr.write] = [before.out, before.err];
    process.chdir(before.cwd);
    if (before.cache === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before.cache;
    for (const listener of process.listeners("SIGINT")) if (!listeners.has(listener)) process.off("SIGINT", listener);
  }
}
