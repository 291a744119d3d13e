/** What users name as images on the command line. */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resnetSpec } from "../../src/models/resnet.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { runIn } from "./in-process.ts";

const root = join(import.meta.dirname, "../..");
const baboon = join(root, "node_modules/baboon-image/baboon.png");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-images-"));
  writeFileSync(join(folder, "m.safetensors"), goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }));
  mkdirSync(join(folder, "photos/more"), { recursive: true });
  mkdirSync(join(folder, "nothing"));
  for (const name of ["b.png", "a.png", "more/c.PNG"]) copyFileSync(baboon, join(folder, "photos", name));
  writeFileSync(join(folder, "photos/notes.txt"), "no image");
  writeFileSync(join(folder, "broken.jpg"), "no image either");
});
afterAll(() => rmSync(folder, { recursive: true }));

const SHARED = ["--model", "m.safetensors", "--json", "--quiet"] as const;

interface Answer {
  readonly status: number | null;
  readonly names: readonly string[];
  readonly stderr: string;
}

function answerOf(status: number | null, stdout: string, stderr: string): Answer {
  const names = stdout === "" ? [] : (JSON.parse(stdout) as { image: string }[]).map(({ image }) => image);
  return { status, names, stderr };
}

async function classify(...names: readonly string[]): Promise<Answer> {
  const { code, stdout, stderr } = await runIn(folder, "classify", ...names, ...SHARED, "--threads", "1");
  return answerOf(code, stdout, stderr);
}

/** In a process of its own, which has a standard input. */
function classifyStdin(input: Buffer): Answer {
  const command = [join(root, "dist/cli/main.js"), "classify", "-", ...SHARED];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: folder, encoding: "utf8", input });
  return answerOf(status, stdout, stderr);
}

describe("classify", () => {
  it("takes the images of a folder, by name", async () => {
    expect(await classify("photos")).toMatchObject({ status: 0, names: ["photos/a.png", "photos/b.png"] });
  });
  it("looks into folders when asked to", async () => {
    expect((await classify("photos", "--recursive")).names).toEqual([
      "photos/a.png",
      "photos/b.png",
      "photos/more/c.PNG",
    ]);
  });
  it("takes what a pattern fits", async () => {
    expect((await classify("photos/*.png")).names).toEqual(["photos/a.png", "photos/b.png"]);
    expect((await classify("photos/{b,x}.png")).names).toEqual(["photos/b.png"]);
  });
  it("takes stdin", () => {
    expect(classifyStdin(readFileSync(baboon))).toMatchObject({ status: 0, names: ["stdin"] });
  });
  it("goes on after an image that cannot be read, and says so at the end", async () => {
    const { status, names, stderr } = await classify("broken.jpg", "photos/a.png");
    expect([status, names]).toEqual([1, ["broken.jpg", "photos/a.png"]]);
    expect(stderr).toMatch(/broken\.jpg: expected a JPEG, PNG, WebP, GIF, HEIC or AVIF image/);
  });
  it.each([
    ["nothing", /nothing: expected a folder with JPEG, PNG, WebP, GIF, HEIC or AVIF images, got none/],
    ["*.bmp", /\*\.bmp: expected a pattern that some file fits, got none/],
  ])("%s has no image in it", async (name, message) => {
    const { status, stderr } = await classify(name);
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
  });
  it("says the same of an image by every way in", () => {
    const probabilities = ["photos/a.png", "-"].map((name) => {
      const command = [
        join(root, "dist/cli/main.js"),
        "classify",
        "--model",
        "m.safetensors",
        "--json",
        "--quiet",
        name,
      ];
      const input = name === "-" ? { input: readFileSync(baboon) } : {};
      const printed = execFileSync(process.execPath, command, { cwd: folder, encoding: "utf8", ...input });
      return JSON.parse(printed)[0].predictions;
    });
    expect(probabilities[0]).toEqual(probabilities[1]);
  });
});
