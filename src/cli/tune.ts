/** `resnet-wasm tune M --out FILE`: times the ways to compute each convolution, once, on this machine. */
import { writeFile } from "node:fs/promises";
import { pickBuild } from "../kernels.ts";
import { nodeRuntime } from "../runtimes/node.ts";
import { tune as measure } from "../tune.ts";
import { graphOf } from "./inspect.ts";
import type { CommonOptions } from "./options.ts";
import { remark } from "./terminal.ts";

/** Writes what was measured as JSON, for `--tuning`. */
export async function tune(source: string, options: CommonOptions & { readonly out: string }): Promise<number> {
  const { graph } = await graphOf(source, options);
  const tuning = await measure(nodeRuntime(), graph, pickBuild(options.build));
  await writeFile(options.out, `${JSON.stringify(tuning, undefined, 2)}\n`);
  remark(options.quiet, `${options.out}: ${Object.keys(tuning.ms).length} shapes, ${tuning.build} kernels`);
  return 0;
}
