/**
 * examples/batch under miniflare: a thousand images, consumers that die in the middle of a batch, the whole runtime killed
 * half-way, images that are broken and one that never succeeds. Nothing is lost, and nothing is written twice. Then images that
 * the bucket gives notice of.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalBatch, startBatch } from "../examples/batch/local.ts";
import { png, smallModel } from "../examples/small.ts";
import { load, type Prediction } from "../src/runtimes/node.ts";
import { check, finish, root } from "./checks.ts";

const home = mkdtempSync(join(tmpdir(), "resnet-wasm-batch-"));
const [IMAGES, DEATHS, WALK_DEATHS] = [1000, 8, 2];
/** Names of a page: a walk over the images is three messages long. */
const PAGE = 40;
/** Keys whose bytes are no image, and one whose result can never be written. */
const [BROKEN, POISONED] = [new Set([13, 333, 999]), 500];
const keyOf = (i: number): string => `${String(i).padStart(4, "0")}.png`;
/**
 * The example's Worker, but for its consumers' lives: the first ones end in the middle of a batch, by turns before a result is
 * written and between that and the acknowledgement; and in the middle of a walk, before its cursor is moved and between that and
 * the next message. What it did is kept in the bucket.
 */
function mortal(name: string, deaths: number): string {
  const main = join(home, `${name}.ts`);
  writeFileSync(
    main,
    `import worker from ${JSON.stringify(join(root, "examples/batch/src/index.ts"))};
let [deaths, walkDeaths, batches] = [0, 0, 0];
export default {
  fetch: worker.fetch,
  async queue(batch: any, env: any): Promise<void> {
    batches += 1;
    let written = 0;
    let die = (_: Error): void => {};
    const death = new Promise<void>((_, reject) => { die = reject; });
    const dead = (): Promise<never> => {
      deaths += 1;
      die(new Error("killed"));
      return new Promise(() => {});
    };
    const isDoomed = batch.queue === "classify" && deaths < ${deaths} && batches % 2 === 0;
    const deadInWalk = (): Promise<never> => {
      walkDeaths += 1;
      return env.BUCKET.put("log/walk-" + crypto.randomUUID(), "").then(() => {
        die(new Error("killed"));
        return new Promise(() => {});
      });
    };
    const JOBS = {
      sendBatch: (jobs: unknown) => env.JOBS.sendBatch(jobs),
      send: (body: unknown, options: unknown) =>
        walkDeaths === 1 && ${deaths} > 0 ? deadInWalk() : env.JOBS.send(body, options),
    };
    const BUCKET = {
      get: (key: string) => env.BUCKET.get(key),
      head: (key: string) => env.BUCKET.head(key),
      list: (options: object) => env.BUCKET.list({ ...options, limit: ${PAGE} }),
      async put(key: string, value: string, options: unknown) {
        if (key.startsWith("walks/")) {
          if (walkDeaths === 0 && ${deaths} > 0) return deadInWalk();
          return env.BUCKET.put(key, value, options);
        }
        if (key === "results/${keyOf(POISONED)}") throw new Error("no room");
        written += 1;
        const isLast = isDoomed && written === 20;
        if (isLast && deaths % 2 === 0) return dead();
        const stored = await env.BUCKET.put(key, value, options);
        await env.BUCKET.put("log/" + crypto.randomUUID() + (stored === null ? "-refused" : "-written"), key);
        return isLast ? dead() : stored;
      },
    };
    const messages = batch.messages.map((message: any) => ({
      body: message.body,
      attempts: message.attempts,
      ack: () => message.ack(),
      // As the example has it, but at once.
      retry: () => message.retry({ delaySeconds: 0 }),
    }));
    const redelivered = messages.filter(({ attempts }: any) => attempts > 1).length;
    await env.BUCKET.put("log/batch-" + crypto.randomUUID(), JSON.stringify({ redelivered, doomed: isDoomed }));
    await Promise.race([worker.queue({ queue: batch.queue, messages }, { ...env, BUCKET, JOBS }), death]);
  },
};
`,
  );
  return main;
}

/** Waits until as many results are there, or seconds are over. */
async function wait(batch: LocalBatch, count: number, seconds: number): Promise<number> {
  const until = Date.now() + 1000 * seconds;
  for (;;) {
    const done = (await batch.names("results/")).size;
    if (done >= count || Date.now() > until) return done;
    await new Promise((next) => setTimeout(next, 50));
  }
}

const children = (): readonly number[] => {
  const tasks = readdirSync(`/proc/${process.pid}/task`);
  const lists = tasks.map((task) => readFileSync(`/proc/${process.pid}/task/${task}/children`, "utf8"));
  return lists
    .join(" ")
    .split(" ")
    .filter((pid) => pid !== "")
    .map(Number);
};

// The wrappers are outside the checkout, and import from inside it.
const weights = await smallModel();
const state = join(home, "state");
const before = new Set(children());
const first = await startBatch(mortal("first", DEATHS), state);
const started = children().filter(
  (pid) => !before.has(pid) && /workerd/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8")),
);
await first.bucket.put("model.safetensors", weights);
const images = Array.from({ length: IMAGES }, (_, i) =>
  BROKEN.has(i) ? new Uint8Array([1, 2, 3, i & 255]) : png(32, 32, i),
);
for (const [i, image] of images.entries()) await first.bucket.put(`images/${keyOf(i)}`, image);
await first.startWalk();
const walk = await first.walked(180);
check(
  "a walk whose consumers die goes on to its end",
  walk.done && walk.images === IMAGES && walk.enqueued > 0,
  JSON.stringify(walk),
);
await wait(first, IMAGES / 2, 180);
check("one workerd is running, and is killed half-way", started.length === 1, started.length);
for (const pid of started) process.kill(pid, "SIGKILL");
await first.stop().catch(() => {});

const second = await startBatch(mortal("second", DEATHS), state);
const half = await second.names("results/");
check("half of the results have outlived it", half.size >= IMAGES / 2 && half.size < IMAGES, half.size);
await second.startWalk();
const rest = await second.walked(60);
check(
  "only what has no result goes on the queue again",
  rest.images === IMAGES && rest.enqueued <= IMAGES - half.size && rest.enqueued > 0,
  JSON.stringify(rest),
);
const done = await wait(second, IMAGES - 1, 240);
check("nothing is lost", done === IMAGES - 1, `${done} results, one image can have none`);
for (let i = 0; i < 100 && (await second.names("failed/")).size === 0; ++i)
  await new Promise((next) => setTimeout(next, 100));
const given = [...(await second.names("failed/")).keys()];
check("what never succeeds ends in the dead-letter queue", given.join() === keyOf(POISONED), given);
const results = await second.names("results/");
const kept = [...half].every(([key, version]) => results.get(key) === version);
check("no result from before the kill was written again", kept, `${half.size} versions are the same`);

const writes = new Map<string, number>();
let refused = 0;
let [redelivered, doomed, walkDeaths] = [0, 0, 0];
for (const name of (await second.names("log/")).keys()) {
  const text = (await (await second.bucket.get(`log/${name}`))?.text()) ?? "";
  if (name.startsWith("batch-")) {
    const said = JSON.parse(text) as { redelivered: number; doomed: boolean };
    redelivered += said.redelivered;
    doomed += said.doomed ? 1 : 0;
  } else if (name.startsWith("walk-")) walkDeaths += 1;
  else if (name.endsWith("refused")) refused += 1;
  else if (text.startsWith("results/")) writes.set(text, (writes.get(text) ?? 0) + 1);
}
const twice = [...writes.values()].filter((count) => count !== 1).length;
// A death may fall between a write and its note in each of four lanes.
const unnoted = IMAGES - 1 - writes.size;
check(
  "every result was written once",
  twice === 0 && unnoted >= 0 && unnoted <= 4 * (doomed + walkDeaths + 1),
  `${writes.size} writes, ${twice} keys twice, ${refused} second writes refused`,
);
check(
  "consumers did die, and their messages came again",
  doomed >= DEATHS && redelivered > 0 && walkDeaths === 2 * WALK_DEATHS,
  `${doomed} batches, ${walkDeaths} walks, ${redelivered} redeliveries`,
);

const node = await load(weights);
let [alike, said] = [0, 0];
for (const [i, image] of images.entries()) {
  if (i === POISONED) continue;
  const text = (await (await second.bucket.get(`results/${keyOf(i)}`))?.text()) ?? "{}";
  const { predictions, error } = JSON.parse(text) as { predictions?: readonly Prediction[]; error?: string };
  if (BROKEN.has(i)) said += /expected a JPEG/.test(error ?? "") ? 1 : 0;
  else alike += JSON.stringify(predictions) === JSON.stringify(await node.classify(image)) ? 1 : 0;
}
await node.dispose();
check("every result is Node's, to the last digit", alike === IMAGES - BROKEN.size - 1, alike);
check("broken images have a result that says so", said === BROKEN.size, said);

/** As R2 sends it. */
const notice = (action: string, key: string) => ({
  account: "3f4b7e3dcab231cbfdaa90a6a28bd548",
  bucket: "photos",
  action,
  object: { key, size: 1, eTag: "c846ff7a18f28c2e262116d6e8719ef0" },
  eventTime: new Date().toISOString(),
});
const NEW = ["new/ü.png", "new/𝙕.png", "new/a.png", "new/a.png!"];
for (const [i, name] of NEW.entries()) await second.bucket.put(`images/${name}`, png(32, 32, i));
const messages = [
  "no message",
  { key: 7 },
  notice("DeleteObject", `images/${NEW[0]}`),
  notice("PutObject", "images/deleted-since.png"),
  notice("PutObject", "images/new/"),
  notice("PutObject", `results/${keyOf(1)}`),
  ...NEW.flatMap((name) => [notice("PutObject", `images/${name}`), notice("CopyObject", `images/${name}`)]),
];
await second.jobs.sendBatch(messages.map((body) => ({ body })));
await wait(second, done + NEW.length, 60);
await new Promise((next) => setTimeout(next, 2000));
const after = await second.names("results/");
check(
  "images that the bucket gives notice of are classified without a walk, and nothing else is",
  after.size === done + NEW.length && NEW.every((name) => after.has(name)),
  [...after.keys()].filter((name) => !results.has(name)),
);
await second.startWalk();
const last = await second.walked(60);
check(
  "the next walk finds one image without a result",
  last.done && last.images === IMAGES + NEW.length && last.enqueued === 1,
  JSON.stringify(last),
);
await second.stop();
rmSync(home, { recursive: true });
finish();
