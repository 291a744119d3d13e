/** The help of every command: one form, and examples that work. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EXAMPLES } from "../../src/cli/examples.ts";
import { program } from "../../src/cli/program.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { runIn } from "./in-process.ts";

const COMMANDS = program(() => {}).commands.map((command) => ({
  name: command.name(),
  text: command.helpInformation(),
}));

describe("help", () => {
  it.each(COMMANDS)("of $name has its own options first, then the shared ones, then messages", ({ text }) => {
    const headings = [...text.matchAll(/^([A-Z].*):$/gm)].map(([, heading]) => heading!);
    const own = headings.filter((heading) => !["Arguments", "Speed and memory", "Commands"].includes(heading));
    expect(own[0]).toMatch(/^Options$|^Downloads and messages$/);
    expect(own.at(-1)).toBe("Downloads and messages");
    expect(new Set(headings).size).toBe(headings.length);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThan(121);
  });
  it("describes every option and argument", () => {
    for (const command of program(() => {}).commands) {
      for (const { flags, description } of command.options) {
        expect({ flags, length: description.length }).toMatchObject({ length: expect.toSatisfy((n: number) => n > 5) });
      }
      for (const argument of command.registeredArguments) expect(argument.description).not.toBe("");
    }
  });
  it("of every command ends with two examples", async () => {
    expect(Object.keys(EXAMPLES)).toEqual(COMMANDS.map(({ name }) => name));
    for (const [name, lines] of Object.entries(EXAMPLES)) {
      const { code, stdout } = await runIn(tmpdir(), name, "--help");
      expect(code).toBe(0);
      const examples = lines.map((line) => `  resnet-wasm ${line}`);
      expect(stdout.trimEnd().split("\n").slice(-3)).toEqual(["Examples:", ...examples]);
      expect(lines.every((line) => line.startsWith(name))).toBe(true);
      expect(lines).toHaveLength(2);
    }
  });
});

describe("an example", () => {
  let folder: string;
  const file = (name: string): string => join(folder, name);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "resnet-wasm-help-"));
    const baboon = new URL("../../node_modules/baboon-image/baboon.png", import.meta.url).pathname;
    for (const name of ["photos/3", "photos/7"]) mkdirSync(file(name), { recursive: true });
    for (const name of ["photo.jpg", "photos/a.png", "photos/3/a.png", "photos/3/b.png"])
      copyFileSync(baboon, file(name));
    for (const name of ["photos/7/c.png", "photos/7/d.png"]) copyFileSync(baboon, file(name));
    const bytes = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }, "bn2");
    for (const name of ["base.safetensors", "given.safetensors"]) writeFileSync(file(name), bytes);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  // serve does not end, CIFAR-10 is a download, tune and bench take seconds, and models is about the user's cache: their lines are read
  // by the grammar alone.
  const lines = Object.values(EXAMPLES).flat();
  const isRun = (line: string): boolean => !/^(serve|bench|tune|models)|npm:/.test(line);
  it.each(lines.filter(isRun))("%s", async (line) => {
    const words = line.replace(/ > .*/, "").split(" ");
    const given = words.map((word) => word.replace(/^resnet50(\.pth)?$|^mine\.safetensors$/, "given.safetensors"));
    const [command = ""] = words;
    const hasModel = /^(classify|eval|finetune)$/.test(command) && !words.includes("--model");
    const quick = /^(finetune|train)$/.test(command) ? ["--epochs", "1"] : [];
    const more = [...(hasModel ? ["--model", "base.safetensors"] : []), ...quick, "--quiet"];
    // The small network has no layer4.
    if (given.includes("layer4")) given[given.indexOf("layer4")] = "layer3";
    if (given.includes("--out")) given[given.indexOf("--out") + 1] = "out.safetensors";
    const { code, stderr } = await runIn(folder, ...given, ...more);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });
  it.each(lines.filter((line) => !isRun(line)))("%s is understood", (line) => {
    const [name, ...words] = line.split(" ");
    const named = program(() => {}).commands.find((each) => each.name() === name)!;
    const below = named.commands.find((each) => each.name() === words[0]);
    const command = below ?? named;
    const { operands, unknown } = command.parseOptions(words.slice(below === undefined ? 0 : 1));
    expect({ operands: operands.length, unknown }).toEqual({
      operands: command.registeredArguments.length,
      unknown: [],
    });
  });
});
