import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isEntryOf } from "../../src/cli/eval-journal.ts";
import { openJournal } from "../../src/cli/journal.ts";
import type { Example } from "../../src/train/dataset.ts";

const RUN = { models: "a", views: "1" };
const isNumber = (value: unknown): value is number => typeof value === "number";
const isAt = (value: unknown): value is { at: number } => typeof (value as { at?: unknown } | null)?.at === "number";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "resnet-wasm-journal-"));
  file = join(folder, "journal");
});
afterEach(() => rm(folder, { recursive: true }));

test("gives back what was added", async () => {
  const first = await openJournal(file, RUN, isNumber);
  expect(first.known).toEqual([]);
  await first.add(1);
  await first.add(2);
  expect((await openJournal(file, RUN, isNumber)).known).toEqual([1, 2]);
});
test("leaves out a line that a killed run had not finished, and goes on after the one before", async () => {
  const first = await openJournal(file, RUN, isAt);
  await first.add({ at: 1 });
  await appendFile(file, '{"at":');
  const second = await openJournal(file, RUN, isAt);
  expect(second.known).toEqual([{ at: 1 }]);
  await second.add({ at: 2 });
  expect((await openJournal(file, RUN, isAt)).known).toEqual([{ at: 1 }, { at: 2 }]);
});
test("of another run is refused and left alone", async () => {
  await (await openJournal(file, RUN, isNumber)).add(1);
  const before = await readFile(file, "utf8");
  await expect(openJournal(file, { ...RUN, models: "other", views: "10" }, isNumber)).rejects.toThrow(
    /expected the journal of this run, got that of another run, with other models and other views/,
  );
  expect(await readFile(file, "utf8")).toBe(before);
});
test("that is another file is refused and left alone", async () => {
  await writeFile(file, "my thesis\n");
  await expect(openJournal(file, RUN, isNumber)).rejects.toThrow(/got another file/);
  expect(await readFile(file, "utf8")).toBe("my thesis\n");
});
test.each(["", "{", '"x"', "null", '{"at": 1}'])(
  "with the line %j in its midst is refused, by its number",
  async (line) => {
    const first = await openJournal(file, RUN, isNumber);
    await first.add(1);
    await appendFile(file, `${line}\n`);
    await first.add(2);
    const opened = openJournal(file, RUN, isNumber);
    await expect(opened).rejects.toMatchObject({ code: "metadata", subject: file });
    await expect(opened).rejects.toThrow(/journal:3: expected a result of this run, got /);
  },
);
test.each(["{}", '{"journal": "text"}', '{"journal": null}', "[]", "\u0000"])(
  "that begins with %j is refused",
  async (line) => {
    await writeFile(file, `${line}\n`);
    await expect(openJournal(file, RUN, isNumber)).rejects.toMatchObject({ code: "metadata" });
  },
);
test("whose run was killed while it wrote the first line begins again", async () => {
  await writeFile(file, "");
  expect((await openJournal(file, RUN, isNumber)).known).toEqual([]);
});
test("that is a folder is refused", async () => {
  await expect(openJournal(folder, RUN, isNumber)).rejects.toThrow(/expected a file to resume from, got a folder/);
});
test("unnamed keeps nothing", async () => {
  await (await openJournal(undefined, RUN, isNumber)).add(1);
});
test.each([7, null, "text", [], { name: "1.jpg" }, { failed: "why" }])(
  "a result of %o is none of an example",
  (result) => {
    const examples: Example[] = [{ name: "0.jpg", label: 0, image: () => "0.jpg" }];
    // The last two would find a property of the list instead of an example.
    for (const at of [0, 1, "0", "length", "__proto__"]) {
      expect(isEntryOf({ at, sha256: "ab", result }, examples, 10, 1)).toBe(false);
    }
  },
);
