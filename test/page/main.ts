/** `test/page/main.ts [BROWSER…]`: every test of pages, one after the other; ends in the sum of what they counted. */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".ts") && name !== "main.ts");
const sum = { passed: 0, failed: 0 };
for (const name of names.sort()) {
  process.stdout.write(`--- test/page/${name}\n`);
  const child = spawn(process.execPath, [join(import.meta.dirname, name), ...process.argv.slice(2)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (part: Buffer) => {
    text += part;
    // The lines that count are for the sum.
    process.stdout.write(part.toString().replace(/^checks: .*\n/gm, ""));
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  const [, passed, failed] = /^checks: (\d+) passed, (\d+) failed$/m.exec(text) ?? [];
  sum.passed += Number(passed ?? 0);
  // One that ends before it has counted has failed.
  sum.failed += Math.max(Number(failed ?? 1), code === 0 ? 0 : 1);
}
process.stdout.write(`checks: ${sum.passed} passed, ${sum.failed} failed\n`);
process.exitCode = sum.failed === 0 ? 0 : 1;
