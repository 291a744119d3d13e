/** Features on a disk: what a kill, damage and a full cache leave. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdtemp, open, readdir, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type DiskFeatureOptions,
  type DiskFeatures,
  diskFeatures,
  featureBytes,
} from "../../src/runtimes/node-features.ts";

const hex = (value: number): string => value.toString(16).padStart(64, "0");
const keyOf = (photo: number, network = 1): string => `${hex(network)}/${hex(photo)}`;
const rowOf = (photo: number): Uint8Array<ArrayBuffer> => new Uint8Array(64).fill(photo);
/** Key, sum and row. */
const RECORD = 32 + 8 + 64;

let folder = "";
let notices: string[] = [];
let opened: DiskFeatures[] = [];

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "resnet-wasm-features-")), "features");
  [notices, opened] = [[], []];
});
afterEach(async () => {
  for (const each of opened) await each.close();
  await rm(join(folder, ".."), { recursive: true });
});

function store(options: DiskFeatureOptions = {}): DiskFeatures {
  const made = diskFeatures(folder, { notice: (text) => notices.push(text), ...options });
  opened.push(made);
  return made;
}

async function fill(photos: readonly number[], network = 1, options: DiskFeatureOptions = {}): Promise<void> {
  const to = store(options);
  for (const photo of photos) await to.put(keyOf(photo, network), rowOf(photo));
  await to.close();
}

/** Which of some photos are there, as they were put. */
async function known(photos: readonly number[], network = 1): Promise<readonly number[]> {
  const from = store();
  const found: number[] = [];
  for (const photo of photos) {
    const row = await from.get(keyOf(photo, network));
    if (row === undefined) continue;
    expect([...row]).toEqual([...rowOf(photo)]);
    found.push(photo);
  }
  await from.close();
  return found;
}

const pathOf = (network: number): string => join(folder, `${hex(network)}.rows`);

describe("features on a disk", () => {
  test("are found again, of each network its own", async () => {
    await fill([1, 2, 3]);
    await fill([3, 4], 2);
    expect(await known([1, 2, 3, 4])).toEqual([1, 2, 3]);
    expect(await known([1, 2, 3, 4], 2)).toEqual([3, 4]);
    expect(await featureBytes(folder)).toBe(2 * 16 + 5 * RECORD);
    expect(notices).toEqual([]);
  });
  test("make no folder until there are any", async () => {
    expect(await known([1])).toEqual([]);
    expect(await featureBytes(folder)).toBe(0);
    await expect(stat(folder)).rejects.toThrow("ENOENT");
  });
  test("of a killed process are there, but for one that was being written", async () => {
    const script = `
      import { diskFeatures } from ${JSON.stringify(new URL("../../src/runtimes/node-features.ts", import.meta.url).href)};
      const store = diskFeatures(process.argv[1]);
      for (let i = 1; i <= 5; ++i) await store.put(process.argv[2] + "/" + String(i).padStart(64, "0"), new Uint8Array(64).fill(i));
      console.log("put");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script, folder, hex(1)]);
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    await appendFile(pathOf(1), new Uint8Array(50));
    expect(await known([1, 2, 3, 4, 5, 6])).toEqual([1, 2, 3, 4, 5]);
    await fill([6]);
    expect(await known([1, 2, 3, 4, 5, 6])).toEqual([1, 2, 3, 4, 5, 6]);
    expect(notices).toEqual([]);
  });
  test("that are damaged are said and left out; the others stay", async () => {
    await fill([1, 2, 3, 4]);
    const file = await open(pathOf(1), "r+");
    await file.write(new Uint8Array([99]), 0, 1, 16 + RECORD + 50);
    await file.write(new Uint8Array([99]), 0, 1, 16 + 2 * RECORD + 5);
    await file.close();
    expect(await known([1, 2, 3, 4])).toEqual([1, 4]);
    expect(notices).toEqual([`${pathOf(1)}: 2 of 4 kept features are damaged: computing them again`]);
    await fill([2, 3]);
    expect(await known([1, 2, 3, 4])).toEqual([1, 2, 3, 4]);
    expect(notices).toHaveLength(1);
  });
  test.each([
    ["another file", "hello"],
    ["the start of one", "features1\n\0\0"],
    ["a length of 0", "features1\n\0\0\0\0\0\0 and more"],
  ])("give way to none where their file is %s", async (_, text) => {
    await fill([1]);
    await writeFile(pathOf(1), text);
    expect(await known([1])).toEqual([]);
    expect(notices).toEqual([`${pathOf(1)}: no kept features: computing them again`]);
    await fill([1]);
    expect(await known([1])).toEqual([1]);
  });
  test("cut in the middle of a row are whole up to there", async () => {
    await fill([1, 2, 3]);
    await truncate(pathOf(1), 16 + 2 * RECORD + 10);
    expect(await known([1, 2, 3])).toEqual([1, 2]);
  });
  test("of the network that was used the longest time ago go first", async () => {
    for (const network of [1, 2, 3]) {
      await fill([1, 2, 3], network);
      await utimes(pathOf(network), network, network);
    }
    // Looked at, 1 is younger than 2.
    expect(await known([1], 1)).toEqual([1]);
    await fill([4], 3, { limitBytes: 8 * RECORD });
    expect(await readdir(folder)).toEqual([`${hex(1)}.rows`, `${hex(3)}.rows`]);
  });
  test("of one network alone above the limit: the newest stay, and more can be added", async () => {
    const photos = Array.from({ length: 60 }, (_, i) => i + 1);
    const limitBytes = 20 * RECORD;
    await fill(photos, 1, { limitBytes });
    expect(await featureBytes(folder)).toBeLessThanOrEqual(limitBytes);
    const left = await known(photos);
    expect(left.length).toBeGreaterThanOrEqual(10);
    expect(left).toEqual(photos.slice(-left.length));
    expect(notices).toEqual([]);
  });
  test("of two processes that add at once are all there", async () => {
    const [a, b] = [store(), store()];
    await Promise.all([1, 2, 3].map((photo) => a.put(keyOf(photo), rowOf(photo))));
    await Promise.all([4, 5, 6].map((photo) => b.put(keyOf(photo), rowOf(photo))));
    await a.put(keyOf(7), rowOf(7));
    expect([...(await a.get(keyOf(7)))!]).toEqual([...rowOf(7)]);
    expect(await known([1, 2, 3, 4, 5, 6, 7])).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });
  test("that cannot be kept are no failure, and said once", async () => {
    await writeFile(folder, "no folder");
    await fill([1, 2, 3]);
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/^features are not kept: .*features: /);
  });
});
