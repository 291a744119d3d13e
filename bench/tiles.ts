/**
 * What V8 makes of the register tiles on arm64, counted: instructions of the inner loop by multiply-add. Node for arm64 compiles
 * under QEMU, and nothing is timed. Tiles of 16 columns have `mr` rows by two panels.
 *
 *     npm run bench -- tiles
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { ARM64_NODE, missingForArm64 } from "../test/runtimes/arm64.ts";

const FLAGS = ["--no-liftoff", "--no-wasm-tier-up", "--no-wasm-lazy-compilation", "--print-wasm-code"];

interface Instruction {
  readonly address: number;
  readonly name: string;
  readonly operands: string;
}

/** One trip round an inner loop: `steps` times `rows` by `columns` multiply-adds of vectors. */
interface Loop {
  readonly kind: "f32" | "dot8" | "i16";
  readonly rows: number;
  readonly columns: number;
  readonly products: number;
  readonly instructions: number;
  readonly loads: number;
  /** Vectors that are stored in the stack and loaded again. */
  readonly spilled: number;
}

/** Every function's instructions. */
function disassembled(build: string): readonly (readonly Instruction[])[] {
  const file = join(import.meta.dirname, `../wasm/${build}.wasm`);
  const [program, ...args] = [...ARM64_NODE, ...FLAGS] as [string, ...string[]];
  const compile = `new WebAssembly.Module(require("node:fs").readFileSync(${JSON.stringify(file)}))`;
  const text = execFileSync(program, [...args, "--eval", compile], { encoding: "utf8", maxBuffer: 1e9 });
  return text.split("--- WebAssembly code ---").map((code) =>
    [...code.matchAll(/^0x([0-9a-f]+) +\w+ +\w+ +(\S+)(.*)$/gm)].map(([, address, name, operands]) => {
      return { address: Number.parseInt(address!, 16), name: name!, operands: operands! };
    }),
  );
}

/** The code from a branch's target to the branch, for all branches backwards. */
function loopsOf(code: readonly Instruction[]): readonly (readonly Instruction[])[] {
  const at = new Map(code.map(({ address }, i) => [address, i]));
  return code.flatMap(({ name, operands }, last) => {
    const [, target] = (/^(b|b\.\w+)$/.test(name) && /addr 0x([0-9a-f]+)/.exec(operands)) || [];
    const first = target === undefined ? undefined : at.get(Number.parseInt(target, 16));
    return first !== undefined && first <= last ? [code.slice(first, last + 1)] : [];
  });
}

/** The tile whose inner loop this is; undefined for other loops. */
function tileOf(body: readonly Instruction[]): Loop | undefined {
  const count = (...names: readonly string[]): number => body.filter(({ name }) => names.includes(name)).length;
  // A step compares the panel's address with its end, and nothing else. Loops over taps end in that comparison's branch.
  const [steps, splats, exits] = [count("cmp"), count("ld1r"), count("b.hs")];
  if (steps !== exits || body.at(-1)!.name !== "b") return undefined;
  const kinds = { f32: count("fmla") + count("fmul"), dot8: count("sdot"), i16: count("smull") } as const;
  const [kind, products] = (Object.entries(kinds) as [Loop["kind"], number][]).find(([, n]) => n > 0) ?? [];
  if (kind === undefined || products === undefined || splats === 0 || count("sxtl") > 0) return undefined;
  const isVector = ({ name, operands }: Instruction): boolean => /^(ldr|str)$/.test(name) && /^ q/.test(operands);
  return {
    ...{ kind, rows: splats / steps, columns: (4 * products) / splats, products, instructions: body.length },
    loads: splats + body.filter((each) => isVector(each) && each.name === "ldr").length,
    spilled: body.filter((each) => isVector(each) && each.name === "str").length,
  };
}

export async function run(): Promise<number> {
  const missing = missingForArm64();
  if (missing !== undefined) {
    process.stderr.write(`bench tiles: expected Node for arm64, got none: ${missing}\n`);
    return 2;
  }
  process.stdout.write(
    "| build | products | tile | instructions | loads | spilled |\n| --- | --- | --- | --- | --- | --- |\n",
  );
  for (const build of ["relaxed", "baseline"]) {
    const tiles = new Map<string, Loop>();
    for (const loop of disassembled(build).flatMap(loopsOf)) {
      const tile = tileOf(loop);
      if (tile === undefined || tile.rows < 4 || tile.columns < 8) continue;
      const key = `${tile.kind} | ${tile.rows}×${tile.columns}`;
      const known = tiles.get(key);
      // The same tile may be inlined twice.
      if (known === undefined || tile.instructions < known.instructions) tiles.set(key, tile);
    }
    for (const [key, { products, instructions, loads, spilled }] of [...tiles].sort()) {
      const each = (n: number): string => (n / products).toFixed(2);
      process.stdout.write(`| ${build} | ${key} | ${each(instructions)} | ${each(loads)} | ${spilled} |\n`);
    }
  }
  return 0;
}
