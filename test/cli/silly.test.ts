/** Mistakes of users: each ends with a message of one form and status 1 or 2, never with a stack. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { messageOf } from "../../src/cli/terminal.ts";
import { nearest } from "../../src/cli/usage.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { quantize } from "../../src/runtimes/node.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { runIn } from "./in-process.ts";
import { SILLY } from "./silly.ts";

const baboon = new URL("../../node_modules/baboon-image/baboon.png", import.meta.url).pathname;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-silly-"));
  const file = (name: string): string => join(folder, name);
  const model = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }, "bn2");
  for (const name of [
    "photos",
    "empty",
    "broken",
    "classes/cat",
    "classes/dog",
    "gap/a",
    "gap/b",
    "tens/3",
    "tens/7",
  ]) {
    mkdirSync(file(name), { recursive: true });
  }
  const photos = ["p.png", "photos/a.png", "gap/a/1.png", "tens/3/a.png", "tens/7/b.png"];
  const labelled = ["classes/cat/1.png", "classes/cat/2.png", "classes/dog/1.png", "classes/dog/2.png"];
  for (const name of [...photos, ...labelled]) copyFileSync(baboon, file(name));
  writeFileSync(file("text.txt"), "hello");
  writeFileSync(file("zero.png"), "");
  writeFileSync(file("broken/x.jpg"), "no image");
  writeFileSync(file("m.safetensors"), model);
  writeFileSync(file("other.checkpoint"), model);
  writeFileSync(file("int8.safetensors"), (await quantize(model, [readFileSync(baboon)])).bytes);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What every line gets: the small model where it names none, and one thread, which starts fastest. */
function argumentsOf(line: string): readonly string[] {
  const words = line === "" ? [] : line.split(" ");
  const [command = ""] = words;
  const has = (name: string): boolean => words.some((word) => word.startsWith(name));
  const isComputing = ["classify", "eval", "finetune"].includes(command) && words.length > 1;
  return [
    ...words,
    ...((isComputing || ["bench", "serve"].includes(command)) && !has("--model") ? ["--model", "m.safetensors"] : []),
    ...(isComputing && !has("--threads") && !has("--replicas") ? ["--threads", "1"] : []),
    ...(words.length > 1 ? ["--quiet"] : []),
  ];
}

describe("a mistake", () => {
  it.each(SILLY.map(([line, status, part]) => ({ line, status, part })))("$line", async ({ line, status, part }) => {
    const { code, stdout, stderr } = await runIn(folder, ...argumentsOf(line));
    expect({ code, stdout }).toEqual({ code: status, stdout: "" });
    expect(stderr).toContain(part);
    if (line === "") return;
    const [first, ...more] = stderr.trimEnd().split("\n");
    expect(first).toMatch(/^\S.*: expected .+, got .+$/);
    expect(more.every((each) => each.startsWith("  hint: "))).toBe(true);
    expect(more.length).toBeLessThan(2);
    expect(stderr).not.toContain("a fault of resnet-wasm");
  });
});

describe("words that are near", () => {
  it.each([
    ["--topk", ["--top-k", "--json"], "--top-k"],
    ["clasify", ["classify", "eval"], "classify"],
    ["relax", ["baseline", "relaxed"], "relaxed"],
    ["resnte18", ["resnet18", "resnet34"], "resnet18"],
    ["photo", ["classify", "eval"], undefined],
    ["x", ["eval"], undefined],
  ] as const)("%s", (word, known, meant) => expect(nearest(word, known)).toBe(meant));
});

describe("messages", () => {
  it("say whose fault it is", () => {
    expect(messageOf(new TypeError("x is undefined"))).toMatch(/fault of resnet-wasm/);
    const missing = Object.assign(new Error("ENOENT: …"), { code: "ENOENT", syscall: "open", path: "a.txt" });
    expect(messageOf(missing)).toBe("a.txt: expected a file or folder that can be used, got no such file");
  });
});
