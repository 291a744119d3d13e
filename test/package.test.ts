/** What the built package may weigh, and what its entries may not contain. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadedAtOnce, modules } from "./sizes.ts";

const built = (name: string): string => readFileSync(new URL(`../dist/runtimes/${name}`, import.meta.url), "utf8");

describe("sizes", () => {
  it.each(modules().filter(({ name }) => /^(baseline|relaxed)/.test(name)))("$name within 100 kB", ({ bytes }) => {
    expect(bytes).toBeLessThanOrEqual(100_000);
  });
  it("load alone within 25 kB, 9 kB gzip, of what a page loads at once: the worker has the rest", async () => {
    const { bytes, gzip } = await loadedAtOnce('export { load } from "./browser.js"');
    expect(bytes).toBeLessThanOrEqual(25_000);
    expect(gzip).toBeLessThanOrEqual(9_000);
    // What it takes at least: less means that the measure left out more than what is imported later.
    expect(gzip).toBeGreaterThan(3000);
  });
  it.each(["engine", "opener", "quantizer", "trainer"])(
    "the %s's file below 244 KiB, from where webpack warns",
    (name) => {
      expect(built(`browser-${name}.js`).length).toBeLessThan(249_856);
    },
  );
  it.each(["engine", "opener", "quantizer", "trainer"])(
    "the %s's file imports nothing later: bundlers make scripts of workers",
    (name) => {
      expect(built(`browser-${name}.js`)).not.toMatch(/\bimport\((?!\/\*)/);
    },
  );
});

describe("entries", () => {
  it.each(["browser.js", "inline.js", "edge.js", "node.js"])("%s evaluates no text", (name) => {
    expect(built(name)).not.toMatch(/(?<![.\w])eval\(|new Function\(/);
  });
  it.each(["inline.js", "edge.js"])("%s has no address of its own and imports nothing later", (name) => {
    expect(built(name)).not.toMatch(/import\.meta|\bimport\(/);
  });
});
