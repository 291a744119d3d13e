/** `resnet-wasm tune M --out FILE`: measures the algorithms for each convolution, once, on this machine. */
import { writeFile } from "node:fs/promises";
import { tune as measure } from "../runtimes/node.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { remark } from "./terminal.ts";

/** Writes what was measured as JSON, for `--tuning`. */
export async function tune(source: string, options: CommonOptions & { readonly out: string }): Promise<number> {
  const tuning = await measure(source, loadOptions(options, interruptible()));
  await writeFile(options.out, `${JSON.stringify(tuning, undefined, 2)}\n`);
  remark(options.quiet, `${options.out}: ${Object.keys(tuning.ms).length} shapes, ${tuning.build} kernels`);
  return 0;
}
