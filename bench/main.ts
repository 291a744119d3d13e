/**
 * `npm run bench -- NAME …`: hands over to the bench of that name. A bench is a module beside this file, or a folder with
 * a package and dependencies of its own, which are installed when it is first asked for.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** What every bench exports: takes the arguments after its name, resolves to the exit code. */
type Run = (args: readonly string[]) => Promise<number>;

const here = import.meta.dirname;

/** The file of every bench, by name. */
function benches(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(here, { withFileTypes: true })) {
    const own = join(entry.name, "main.ts");
    if (entry.isDirectory() && existsSync(join(here, own))) found.set(entry.name, own);
    else if (entry.name.endsWith(".ts") && entry.name !== "main.ts") found.set(entry.name.slice(0, -3), entry.name);
  }
  return found;
}

/** Installs a bench's own package, from its lock file and without running anything of what it installs. */
function install(folder: string): void {
  if (!existsSync(join(folder, "package.json")) || existsSync(join(folder, "node_modules"))) return;
  process.stderr.write(`bench: installing ${folder}\n`);
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  execFileSync("npm", args, { cwd: folder, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
}

const [name, ...args] = process.argv.slice(2);
const file = benches().get(name ?? "");
if (file === undefined) {
  const got = name === undefined ? "nothing" : `"${name}"`;
  process.stderr.write(`bench: expected one of ${[...benches().keys()].join(", ")}, got ${got}\n`);
  process.exitCode = 2;
} else {
  const path = join(here, file);
  if (file.endsWith("main.ts")) install(join(path, ".."));
  const bench = (await import(`./${file.replaceAll("\\", "/")}`)) as { readonly run?: Run };
  if (bench.run === undefined)
    throw new TypeError(`bench ${name}: expected a module that exports run, got one that does not`);
  process.exitCode = await bench.run(args);
}
