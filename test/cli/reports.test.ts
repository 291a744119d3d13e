/** The pages that quantize, finetune and eval write: what a reader looks for is there, and comes first. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "jpeg-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uniform } from "../../src/models/random.ts";
import { resnetSpec } from "../../src/models/resnet.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";
import { runIn } from "./in-process.ts";

let folder: string;
let pages: { readonly quantization: string; readonly training: string; readonly evaluation: string };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "resnet-wasm-reports-"));
  writeFileSync(join(folder, "m.safetensors"), goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }, "bn2"));
  for (const [at, name] of ["3", "7"].entries()) {
    mkdirSync(join(folder, "set", name), { recursive: true });
    for (let i = 0; i < 4; ++i) {
      const next = uniform(4 * at + i);
      const data = Buffer.from({ length: 4 * 36 * 36 }).map(() => 90 * at + 100 * next());
      writeFileSync(join(folder, "set", name, `${i}.jpg`), encode({ width: 36, height: 36, data }, 90).data);
    }
  }
  const page = async (name: string, ...args: readonly string[]): Promise<string> => {
    const { code, stderr } = await runIn(folder, ...args, "--report", name, "--threads", "1", "--quiet");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return readFileSync(join(folder, name), "utf8");
  };
  pages = {
    quantization: await page("q.html", "quantize", "m.safetensors", "--calibrate", "set", "--out", "q.safetensors"),
    training: await page(
      ...([
        "t.html",
        "finetune",
        "set",
        "--model",
        "m.safetensors",
        "--epochs",
        "2",
        "--out",
        "t.safetensors",
      ] as const),
    ),
    evaluation: await page("e.html", "eval", "set", "--model", "m.safetensors"),
  };
});
afterAll(() => rmSync(folder, { recursive: true }));

const kinds = ["quantization", "training", "evaluation"] as const;
/** The large figures at the top: what each is, and its value. */
const figuresOf = (page: string): ReadonlyMap<string, string> =>
  new Map([...page.matchAll(/<li><b>([^<]*)<\/b><span>([^<]*)</g)].map(([, value, name]) => [name!, value!]));

describe("a report", () => {
  it.each(kinds)("of %s names both axes of every chart", (kind) => {
    const charts: Record<string, { options: { scales: Record<string, { title?: { text: string } }> } }> = JSON.parse(
      /id="charts">(.*?)<\/script>/s.exec(pages[kind])![1]!,
    );
    for (const { options } of Object.values(charts)) {
      for (const axis of ["x", "y"]) expect(options.scales[axis]!.title!.text.length).toBeGreaterThan(3);
    }
    expect(Object.keys(charts).length).toBeGreaterThan(0);
  });
  it.each(kinds)("of %s has a width for phones, and both colour schemes", (kind) => {
    expect(pages[kind]).toContain('name="viewport" content="width=device-width');
    expect(pages[kind]).toContain("color-scheme: light dark");
    // A table may be wider than a phone: it scrolls by itself.
    expect(pages[kind].match(/<table>/g)).toHaveLength(
      pages[kind].match(/<div class="(?:table|matrix)"><table>/g)!.length,
    );
  });
  it("of quantization begins with accuracy and milliseconds, and has decibels below", () => {
    const page = pages.quantization;
    const figures = figuresOf(page);
    const [accuracy, same, ms] = [...figures.values()];
    expect([...figures.keys()][0]).toMatch(/^top-1 accuracy; f32 has [\d.]+ %$/);
    expect(accuracy).toMatch(/^[\d.]+ %$/);
    expect(Number.parseFloat(same!)).toBeGreaterThan(50);
    expect(Number.parseFloat(ms!)).toBeGreaterThan(0);
    expect(page.indexOf("dB")).toBeGreaterThan(page.indexOf("Layer by layer"));
  });
  it("of a trained head tells how many images a second went through the network, not through the head", () => {
    const figures = figuresOf(pages.training);
    expect(Number(figures.get("images a second, for their features"))).toBeGreaterThan(0);
    expect([...figures.keys()].join()).not.toContain("forward and backward");
  });
});
