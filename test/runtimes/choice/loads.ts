/**
 * `node test/runtimes/choice/loads.ts`: whether the choice is the same whenever a model is loaded: 100 loads of a process, and fresh
 * processes of Node, Deno and Bun, every second one beside a process that keeps a core busy; and whether `inspect` announces it.
 *
 * `--only NAME` one runtime, `--processes 20`
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundled, bundleFolder, PROGRAMS, runScript } from "../columns.ts";
import { fixtures, root, serve } from "../fixtures.ts";

/** Loads in the first process of a runtime, and in each of the others. */
const [MANY, FEW] = [100, 2];
const { values } = parseArgs({
  options: { only: { type: "string", default: "" }, processes: { type: "string", default: "20" } },
});

/** Two processes that compute all the time, for a machine of two cores. */
function busy(): readonly ChildProcess[] {
  return [0, 1].map(() => spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }));
}

const folder = bundleFolder();
const script = await bundled(folder.path, "choice/load", "node");
const entry = join(root, "dist/runtimes/node.js");
const { f32, int8 } = await fixtures();
const site = await serve({ "/f32": f32, "/int8": int8 }, "", false);
let [passed, failed] = [0, 0];
for (const [name, command] of Object.entries(PROGRAMS)) {
  if (!name.startsWith(values.only)) continue;
  const start = performance.now();
  const seen = new Map<string, number>();
  for (let i = 0; i < Number(values.processes); ++i) {
    const others = i % 2 === 1 ? busy() : [];
    const loads = i === 0 ? MANY : FEW;
    const url = /deno|bun/.test(command[0]!) ? entry : `file://${entry}`;
    try {
      const result = await runScript(command, script, [site.url, url, `${loads}`], 120_000);
      for (const each of result as readonly string[]) seen.set(each, (seen.get(each) ?? 0) + 1);
    } catch (error) {
      seen.set((error as Error).message, 1);
    } finally {
      for (const other of others) other.kill("SIGKILL");
    }
  }
  // One choice in f32 and one in int8.
  const holds = seen.size === 2;
  if (holds) passed += 1;
  else failed += 1;
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  process.stdout.write(
    `${holds ? "ok    " : "FAILED"} ${name}: ${seen.size} choices in ${values.processes} processes, ${seconds} s\n`,
  );
  for (const [each, count] of seen) process.stdout.write(`       ${count} of ${values.processes}: ${each}\n`);
}
site.close();
folder.remove();
process.stdout.write(`\nchecks: ${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
