/**
 * A script in a process of its own: one number of threads can be set once a process, and caches, compiler tiers and
 * peak memory are a process's too. The job goes in as an argument, the answer comes back as a message.
 */
import { fork } from "node:child_process";
import process from "node:process";
import { expectedGot } from "../../src/errors.ts";
import { enableWideVectors } from "../../src/runtimes/node-vectors.ts";
import type { Vectors } from "../../src/variants.ts";
import { Unavailable } from "./engines/unavailable.ts";

/** A child's answer: a result, or why the engine cannot take part. */
export type Answer<T> = { readonly result: T } | { readonly unavailable: string };

/**
 * Runs a script. What it prints goes to standard error.
 *
 * @throws Error when it ends without an answer
 */
export function runChild<T>(script: URL, job: unknown): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const child = fork(script, [JSON.stringify(job)], {
      stdio: ["ignore", 2, 2, "ipc"],
      serialization: "advanced",
    });
    child.once("message", (answer) => {
      resolve(answer as Answer<T>);
      child.disconnect();
    });
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      reject(new Error(`${script.pathname}: expected an answer, got exit ${code ?? signal}`)),
    );
  });
}

/** In the child: does the job, answers and ends. */
export async function answer<J, T>(work: (job: J) => Promise<T>): Promise<void> {
  let message: Answer<T>;
  try {
    message = { result: await work(JSON.parse(process.argv[2]!) as J) };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    message = { unavailable: error.message };
  }
  // Worker threads of an engine may still be waiting for work: nothing but an exit ends them all.
  process.send!(message, () => process.exit());
}

/**
 * In the child, before any WebAssembly is compiled: V8's flags are a process's too.
 *
 * @throws Unavailable where it cannot be told to pack vectors
 */
export function useVectors(vectors: Vectors): void {
  if (vectors === 128 || enableWideVectors()) return;
  const { node, arch } = { node: process.version, arch: process.arch };
  throw new Unavailable(expectedGot("vectors of 256 bits", "Node 24 or newer on x64", `${node} on ${arch}`));
}
