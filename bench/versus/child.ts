/**
 * A script in a process of its own: one number of threads can be set once a process, and caches, compiler tiers and
 * peak memory are a process's too. The job goes in as an argument, the answer comes back as a message.
 */
import { fork } from "node:child_process";
import process from "node:process";
import { Unavailable } from "./engines/engine.ts";

/** A child's answer: a result, or why the engine cannot take part. */
export type Answer<T> = { readonly result: T } | { readonly unavailable: string };

/**
 * Runs a script of this folder. What it prints goes to standard error.
 *
 * @throws Error when it ends without an answer
 */
export function runChild<T>(script: string, job: unknown): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(script, import.meta.url), [JSON.stringify(job)], {
      stdio: ["ignore", 2, 2, "ipc"],
      serialization: "advanced",
    });
    child.once("message", (answer) => {
      resolve(answer as Answer<T>);
      child.disconnect();
    });
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      reject(new Error(`${script}: expected an answer, got exit ${code ?? signal}`)),
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
