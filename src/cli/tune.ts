/** `resnet-wasm tune M --out FILE`: measures the algorithms for each convolution, once, on this machine. */
import { tune as measure } from "../runtimes/node.ts";
import { interruptible } from "./interrupt.ts";
import { type CommonOptions, loadOptions } from "./options.ts";
import { checkWritable, writeAtomically } from "./output.ts";

/** Writes what was measured as JSON, for `--tuning`. */
export async function tune(source: string, options: CommonOptions & { readonly out: string }): Promise<number> {
  await checkWritable(options.out);
  const tuning = await measure(source, loadOptions(options, interruptible()));
  await writeAtomically(options.out, [new TextEncoder().encode(`${JSON.stringify(tuning, undefined, 2)}\n`)]);
  const shapes = Object.keys(tuning.ms).length;
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ out: options.out, shapes, build: tuning.build })}\n`
      : `${options.out}: ${shapes} shapes, ${tuning.build} kernels\n`,
  );
  return 0;
}
