/** Files that commands write, and what a killed command leaves. */
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkWritable, writeAtomically } from "../../src/cli/output.ts";

let folder: string;
let out: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "resnet-wasm-output-"));
  out = join(folder, "out");
});
afterEach(() => rm(folder, { recursive: true }));

const pieces = (text: string): Uint8Array[] => [new TextEncoder().encode(text)];

test.each(["checkWritable", "writeAtomically"])(
  "%s removes what a killed run had written, nothing else",
  async (name) => {
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const others = [`out.tmp-${process.ppid}`, "out.tmp-x", `other.tmp-${pid}`, "out.tmp"];
    for (const each of [`out.tmp-${pid}`, ...others]) await writeFile(join(folder, each), "half");
    if (name === "checkWritable") await checkWritable(out);
    else await writeAtomically(out, pieces("whole"));
    const left = name === "checkWritable" ? others : ["out", ...others];
    expect((await readdir(folder)).sort()).toEqual(left.sort());
  },
);
test("a file that could not be finished is not there, and the one before is", async () => {
  await writeAtomically(out, pieces("old"));
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield* pieces("new");
    throw new Error("no more");
  };
  await expect(writeAtomically(out, failing())).rejects.toThrow("no more");
  expect(await readdir(folder)).toEqual(["out"]);
  expect(await readFile(out, "utf8")).toBe("old");
});
test("a folder that is not there is named", async () => {
  await expect(writeAtomically(join(folder, "no", "out"), pieces("x"))).rejects.toThrow(/no such folder/);
});
