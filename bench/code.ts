/**
 * What a kernel became: its WebAssembly as text, or the machine code that V8's optimizing compiler makes of it here.
 *
 *     npm run wat -- [KERNEL] [--build baseline|relaxed]
 *     npm run asm -- KERNEL [--build baseline|relaxed] [--arm64]
 *
 * With `--arm64`, that of Node for arm64 under QEMU.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ARM64_NODE, missingForArm64 } from "../test/runtimes/arm64.ts";

const root = join(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    build: { type: "string", default: "baseline" },
    asm: { type: "boolean", default: false },
    arm64: { type: "boolean", default: false },
  },
});
const [kernel] = positionals;
const file = join(root, `wasm/${values.build}.wasm`);

/** The kernel's function index: exported WebAssembly functions are named by it. (The loader's wrappers are not.) */
function indexOf(name: string): string {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory } });
  const found = exports[name];
  if (typeof found !== "function") throw new Error(`${name}: expected a kernel of ${file}, got none of that name`);
  return found.name;
}

/** Runs Node with arguments. */
function run(args: readonly string[], node: readonly string[] = [process.execPath]): string {
  const [program, ...more] = [...node, ...args] as [string, ...string[]];
  return execFileSync(program, more, { cwd: root, encoding: "utf8", maxBuffer: 1e9 });
}

if (values.asm) {
  if (kernel === undefined) throw new Error("npm run asm: expected the name of a kernel, got none");
  const missing = values.arm64 ? missingForArm64() : undefined;
  if (missing !== undefined) throw new Error(`npm run asm: expected Node for arm64, got none: ${missing}`);
  const compile = `new WebAssembly.Module(require("node:fs").readFileSync(${JSON.stringify(file)}))`;
  const flags = ["--no-liftoff", "--no-wasm-tier-up", "--no-wasm-lazy-compilation"];
  flags.push(`--print-wasm-code-function-index=${indexOf(kernel)}`, "--eval", compile);
  process.stdout.write(run(flags, values.arm64 ? ARM64_NODE : undefined));
} else {
  const text = run([join(root, "node_modules/binaryen/bin/wasm-dis"), "--all-features", file]);
  if (kernel === undefined) process.stdout.write(text);
  else {
    const [, name] = new RegExp(`\\(export "${kernel}" \\(func (\\$\\w+)\\)`).exec(text) ?? [];
    if (name === undefined) throw new Error(`${kernel}: expected a kernel of ${file}, got none of that name`);
    const start = text.indexOf(`\n (func ${name} `);
    process.stdout.write(`${text.slice(start + 1, text.indexOf("\n )\n", start) + 3)}\n`);
  }
}
