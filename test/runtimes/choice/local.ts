/** The choice in Node, Deno or Bun: `local.js SITE [TASK]`, prints its ratios as JSON. Times are the CPU's: others may be at work. */
import process from "node:process";
import { measure } from "./measure.ts";

const [site, only] = process.argv.slice(2) as [string, string?];
const bytes = async (path: string): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await (await fetch(`${site}/${path}`)).arrayBuffer());
const ratios = await measure({
  module: async (name) => WebAssembly.compile(await bytes(`wasm/${name}.wasm`)),
  async clock() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  bytes,
  isMeasuring: true,
  only,
});
process.stdout.write(`result ${JSON.stringify(ratios)}\n`);
process.exit(0);
