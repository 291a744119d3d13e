import { describe, expect, it } from "vitest";
import { MessageError, taskOf } from "../examples/batch/src/messages.ts";
import { compareNames, PAGES, startWalk, type WalkEnv, walkOn } from "../examples/batch/src/walk.ts";
import { uniform } from "../src/models/random.ts";
import { Names, walkAll } from "./simulated-bucket.ts";

const bytewise = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Words of few characters, so that many begin alike and many have an image and a result. */
function words(random: () => number, count: number): string[] {
  const letters = ["!", ".", "a", "b/", "é", "\ud7ff", "\ue000", "\uff3a", "\u{1d655}", "\u{1f600}"];
  const word = () => Array.from({ length: 1 + Math.floor(3 * random()) }, () => letters[Math.floor(10 * random())]);
  return [...new Set(Array.from({ length: count }, () => word().join("")))].sort(bytewise);
}

/** A bucket with these keys, `size` to a page. */
function envOf(keys: readonly string[], size: number) {
  const objects = new Map(keys.map((key) => [key, ""]));
  const [jobs, walks]: [string[], { walk: string; after: string }[]] = [[], []];
  let version = 0;
  const env = {
    BUCKET: {
      list: async ({ prefix, startAfter = "" }: { prefix: string; startAfter?: string }) => {
        const after = [...objects.keys()]
          .filter((key) => key.startsWith(prefix) && bytewise(key, startAfter) > 0)
          .sort(bytewise);
        return { objects: after.slice(0, size).map((key) => ({ key })), truncated: after.length > size };
      },
      get: async (key: string) => {
        const text = objects.get(key);
        return text === undefined ? null : { etag: `${version}`, json: async () => JSON.parse(text) };
      },
      put: async (key: string, text: string, { onlyIf }: { onlyIf?: { etagMatches: string } }) => {
        if (onlyIf !== undefined && onlyIf.etagMatches !== `${version}`) return null;
        version += 1;
        objects.set(key, text);
        return {};
      },
    },
    JOBS: {
      send: async (body: { walk: string; after: string }) => void walks.push(body),
      sendBatch: async (batch: readonly { body: { key: string } }[]) => jobs.push(...batch.map(({ body }) => body.key)),
    },
  } as unknown as WalkEnv;
  return { env, objects, jobs, walks };
}

async function walk(bucket: ReturnType<typeof envOf>, prefix = ""): Promise<void> {
  await startWalk(bucket.env, prefix);
  for (let message = bucket.walks.shift(); message !== undefined; message = bucket.walks.shift())
    await walkOn(bucket.env, message, 1);
}

describe("names", () => {
  it("are compared as their UTF-8 is", () => {
    const all = words(uniform(1), 400);
    for (const a of all) for (const b of all) expect(Math.sign(compareNames(a, b))).toBe(Math.sign(bytewise(a, b)));
  });
});

describe("a walk", () => {
  it.each([1, 2, 3, 7, 1000])("puts each image without a result on the queue once, %i keys to a page", async (size) => {
    for (let seed = 1; seed <= 20; ++seed) {
      const random = uniform(seed);
      const all = words(random, 120);
      const [some, few] = [random(), random()];
      const images = new Set(all.filter(() => random() < some));
      const results = new Set(all.filter(() => random() < few));
      const prefix = seed % 4 === 0 ? "a" : "";
      const keys = [
        ...[...images].map((name) => `images/${name}`),
        ...[...results].map((name) => `results/${name}`),
        "images/",
        "image",
        "images0",
        "results/",
      ];
      const bucket = envOf(keys, size);
      await walk(bucket, prefix);
      const expected = all.filter(
        (name) => images.has(name) && !results.has(name) && !name.endsWith("/") && name.startsWith(prefix),
      );
      expect(bucket.jobs).toEqual(expected);
    }
  });

  it("sees what is put ahead of its cursor, and the next walk what is put behind", async () => {
    const names = Array.from({ length: 2 * PAGES }, (_, i) => `images/m${10 + i}`);
    const bucket = envOf(names, 1);
    await startWalk(bucket.env, "");
    await walkOn(bucket.env, bucket.walks.shift()!, 1);
    bucket.objects.set("images/a", "").set("images/z", "");
    await walkOn(bucket.env, bucket.walks.shift()!, 1);
    await walkOn(bucket.env, bucket.walks.shift()!, 1);
    expect(bucket.walks).toEqual([]);
    expect(bucket.jobs).toEqual([...names, "images/z"].map((key) => key.slice(7)));
    for (const name of bucket.jobs.splice(0)) bucket.objects.set(`results/${name}`, "");
    await walk(bucket);
    expect(bucket.jobs).toEqual(["a"]);
  });

  it("is the same one when it is started twice", async () => {
    const bucket = envOf(
      Array.from({ length: 3 * PAGES }, (_, i) => `images/${100 + i}`),
      1,
    );
    await startWalk(bucket.env, "");
    await walk(bucket);
    expect(bucket.jobs).toEqual(Array.from({ length: 3 * PAGES }, (_, i) => `${100 + i}`));
  });

  it("refuses a listing in another order", async () => {
    const bucket = envOf(["images/Ｚ", "images/𝙕"], 1000);
    const list = bucket.env.BUCKET.list.bind(bucket.env.BUCKET);
    bucket.env.BUCKET.list = async (options) => {
      const page = await list(options);
      page.objects.sort((a, b) => (a.key < b.key ? -1 : 1));
      return page;
    };
    await expect(walk(bucket)).rejects.toThrow(/sorted by UTF-8/);
  });

  it.each([
    ["consumers die", { death: 0.01, error: 0, double: 0 }],
    ["calls fail", { death: 0, error: 0.01, double: 0 }],
    ["messages come twice", { death: 0, error: 0, double: 0.3 }],
    ["all of it happens", { death: 0.01, error: 0.01, double: 0.1 }],
  ])("loses nothing when %s, and sends little twice", async (_, faults) => {
    const names = new Names(200_000);
    const walked = await walkAll(names, { random: uniform(7), ...faults });
    expect(walked.times.findIndex((times, i) => times > 0 !== names.needsWork(i))).toBe(-1);
    const happened = walked.deaths + walked.errors + walked.doubles;
    expect(happened).toBeGreaterThan(3);
    const again = walked.times.reduce((sum, times) => sum + Math.max(0, times - 1), 0);
    expect(again).toBeLessThanOrEqual(happened * 1000 * PAGES);
    expect(walked.messages).toBeLessThanOrEqual(18 + 2 * happened);
    expect(walked.stalls).toBeLessThanOrEqual(Math.min(walked.doubles, walked.deaths));
  });

  it("is not set back by a consumer that was slow", async () => {
    const names = Array.from({ length: 4 * PAGES }, (_, i) => `images/${100 + i}`);
    const bucket = envOf(names, 1);
    const { list } = bucket.env.BUCKET;
    await startWalk(bucket.env, "");
    const message = bucket.walks.shift()!;
    let release = (): void => {};
    const wait = new Promise<void>((done) => {
      release = done;
    });
    const slow = {
      ...bucket.env.BUCKET,
      list: (options: Parameters<R2Bucket["list"]>[0]) => wait.then(() => list(options)),
    };
    const late = walkOn({ ...bucket.env, BUCKET: slow } as WalkEnv, message, 1);
    await walkOn(bucket.env, message, 1);
    await walkOn(bucket.env, bucket.walks[0]!, 1);
    release();
    await late;
    expect(bucket.walks.map(({ after }) => after)).toEqual([PAGES, 2 * PAGES].map((i) => names[i - 1]!.slice(7)));
    expect(JSON.parse(bucket.objects.get("walks/*")!)).toMatchObject({ after: bucket.walks[1]!.after, done: false });
  });

  it("sends nothing twice when all is well", async () => {
    const names = new Names(30_000);
    const { times, messages } = await walkAll(names, { random: uniform(1), death: 0, error: 0, double: 0 });
    expect(Math.max(...times)).toBe(1);
    expect(messages).toBe(Math.ceil(27_000 / (1000 * PAGES)));
  });
});

describe("a message", () => {
  const event = (action: string, key: unknown) => ({
    account: "3f4b7e3dcab231cbfdaa90a6a28bd548",
    bucket: "photos",
    action,
    object: { key, size: 65536, eTag: "c846ff7a18f28c2e262116d6e8719ef0" },
    eventTime: "2026-11-28T10:00:00.000Z",
  });

  it.each(["PutObject", "CopyObject", "CompleteMultipartUpload"])("of R2's %s is an image to classify", (action) => {
    expect(taskOf(event(action, "images/a/ü.jpg"))).toEqual({ key: "a/ü.jpg" });
  });

  it.each([
    ["DeleteObject", "images/a.jpg"],
    ["LifecycleDeletion", "images/a.jpg"],
    ["PutObject", "results/a.jpg"],
    ["PutObject", "imagesa.jpg"],
    ["PutObject", "images/"],
    ["PutObject", "images/folder/"],
  ])("of R2's %s %s asks for nothing", (action, key) => {
    expect(taskOf(event(action, key))).toBe(null);
  });

  it("of a walk or an image is taken as it is", () => {
    expect(taskOf({ walk: "", after: "x" })).toEqual({ walk: "", after: "x" });
    expect(taskOf({ key: "x" })).toEqual({ key: "x" });
  });

  it.each([
    [undefined],
    [null],
    [7],
    ["images/a.jpg"],
    [[]],
    [{}],
    [{ key: 1 }],
    [{ walk: "" }],
    [{ action: "PutObject" }],
    [{ action: "PutObject", object: null }],
    [event("PutObject", 3)],
  ])("%j is none", (body) => {
    expect(() => taskOf(body)).toThrow(MessageError);
  });
});
