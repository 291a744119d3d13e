import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openJournal } from "../../src/cli/journal.ts";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "resnet-wasm-journal-"));
  file = join(folder, "journal");
});
afterEach(() => rm(folder, { recursive: true }));

test("gives back what was added", async () => {
  const first = await openJournal<number>(file, "run");
  expect(first.known).toEqual([]);
  await first.add(1);
  await first.add(2);
  expect((await openJournal<number>(file, "run")).known).toEqual([1, 2]);
});
test("leaves out a line that a killed run had not finished, and goes on after the one before", async () => {
  const first = await openJournal<{ at: number }>(file, "run");
  await first.add({ at: 1 });
  await appendFile(file, '{"at":');
  const second = await openJournal<{ at: number }>(file, "run");
  expect(second.known).toEqual([{ at: 1 }]);
  await second.add({ at: 2 });
  expect((await openJournal<{ at: number }>(file, "run")).known).toEqual([{ at: 1 }, { at: 2 }]);
});
test("of another run is refused and left alone", async () => {
  await (await openJournal<number>(file, "run")).add(1);
  const before = await readFile(file, "utf8");
  await expect(openJournal(file, "other")).rejects.toThrow(/expected the journal of this run, got that of another run/);
  expect(await readFile(file, "utf8")).toBe(before);
});
test("that is another file is refused and left alone", async () => {
  await writeFile(file, "my thesis\n");
  await expect(openJournal(file, "run")).rejects.toThrow(/got another file/);
  expect(await readFile(file, "utf8")).toBe("my thesis\n");
});
test("that is a folder is refused", async () => {
  await expect(openJournal(folder, "run")).rejects.toThrow(/expected a file to resume from, got EISDIR/);
});
test("unnamed keeps nothing", async () => {
  await (await openJournal<number>(undefined, "run")).add(1);
});
