/** What progress looks like on a terminal and in a pipe. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { slowNode } from "../../src/cli/node-age.ts";
import { clock, downloads, progress } from "../../src/cli/progress.ts";

let written: string[];
let time: number;
beforeEach(() => {
  written = [];
  time = 0;
});
const sink = (isTTY: boolean, columns = 200) => ({ isTTY, columns, write: (text: string) => written.push(text) });
const WORK = { name: "evaluating", total: 200, unit: "images" } as const;

describe("on a terminal", () => {
  const before = process.env.TERM;
  beforeEach(() => {
    process.env.TERM = "xterm";
  });
  afterEach(() => {
    if (before === undefined) delete process.env.TERM;
    else process.env.TERM = before;
  });
  it("is one line that is rewritten: share, count, rate, time left, note", () => {
    const line = progress(false, WORK, sink(true), () => time);
    for (let done = 1; done <= 100; ++done) {
      time += 50;
      line.update(done, "top-1 80.0 %");
    }
    expect(written.every((text) => text.startsWith("\r\u001b[K") && !text.includes("\n"))).toBe(true);
    expect(written.length).toBeLessThan(60);
    time += 100;
    line.update(100, "top-1 80.0 %");
    expect(written.at(-1)).toBe("\r\u001b[Kevaluating  50 %  100 of 200 images  20 images/s  0:05 left  top-1 80.0 %");
  });
  it("fits the terminal, gives way to a message, and is gone at the end", () => {
    const line = progress(false, WORK, sink(true, 30), () => time);
    line.update(10);
    expect(written.at(-1)!.length).toBeLessThanOrEqual(30 + 4);
    line.say("a.png: broken");
    expect(written.slice(1, 3)).toEqual(["\r\u001b[K", "a.png: broken\n"]);
    expect(written.at(-1)).toMatch(/evaluating/);
    line.stop();
    expect(written.at(-1)).toBe("\r\u001b[K");
  });
  it("is a line now and then on a terminal that cannot rewrite", () => {
    process.env.TERM = "dumb";
    const line = progress(false, WORK, sink(true), () => time);
    time = 11_000;
    line.update(1);
    expect(written).toEqual(["evaluating  0 %  1 of 200 images  0.1 images/s  36:29 left\n"]);
  });
});

describe("in a pipe", () => {
  it("is a line for every tenth, or every ten seconds, and none of work that is short", () => {
    const line = progress(false, WORK, sink(false), () => time);
    for (let done = 1; done <= 200; ++done) {
      time += 500;
      line.update(done);
    }
    expect(written.length).toBeLessThanOrEqual(11);
    expect(written.length).toBeGreaterThanOrEqual(9);
    expect(written.every((text) => /^evaluating {2}\d+ % .*\n$/.test(text))).toBe(true);
    written = [];
    const short = progress(false, WORK, sink(false), () => 0);
    for (let done = 1; done <= 200; ++done) short.update(done);
    expect(written).toEqual([]);
    const slow = progress(false, { name: "downloading", unit: "MB", scale: 1e6 }, sink(false), () => time);
    time += 12_000;
    slow.update(24e6);
    expect(written).toEqual(["downloading  24.0 MB  2.0 MB/s\n"]);
  });
  it("when quiet is nothing but messages", () => {
    const line = progress(true, WORK, sink(false), () => time);
    time = 60_000;
    line.update(100);
    line.say("a.png: broken");
    expect(written).toEqual(["a.png: broken\n"]);
  });
});

describe("beside it", () => {
  it("times are minutes and seconds, and hours where there are some", () => {
    expect([0, 59_600, 61_000, 3_725_000].map(clock)).toEqual(["0:00", "1:00", "1:01", "1:02:05"]);
  });
  it("downloads say nothing when quiet", () => {
    expect(() => downloads(true)({ name: "x", loaded: 1, total: 1 })).not.toThrow();
  });
  it("an old Node is told what it lacks", () => {
    expect(slowNode({ node: "20.20.2" })).toMatch(/^Node 20\.20\.2 has no relaxed SIMD/);
    expect([{ node: "26.10.0" }, { node: "20.0.0", bun: "1.4.0" }].map(slowNode)).toEqual([undefined, undefined]);
  });
});
