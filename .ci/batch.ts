/**
 * examples/batch under miniflare: a thousand images, consumers that die in the middle of a batch, the whole runtime killed
 * half-way, images that are broken and one that never succeeds. Nothing is lost, and nothing is written twice.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalBatch, startBatch } from "../examples/batch/local.ts";
import { png, smallModel } from "../examples/small.ts";
import { load, type Prediction } from "../src/runtimes/node.ts";
import { check, finish, root } from "./checks.ts";

const home = mkdtempSync(join(tmpdir(), "resnet-wasm-batch-"));
const [IMAGES, DEATHS] = [1000, 8];
/** Keys whose bytes are no image, and one whose result can never be written. */
const [BROKEN, POISONED] = [new Set([13, 333, 999]), 500];
const keyOf = (i: number): string => `${String(i).padStart(4, "0")}.png`;
/**
 * The example's Worker, but for its consumers' lives: the first ones end in the middle of a batch, by turns before a result is
 * written and between that and the acknowledgement. What it did is kept in the bucket.
 */
function mortal(name: string, deaths: number): string {
  const main = join(home, `${name}.ts`);
  writeFileSync(
    main,
    `import worker from ${JSON.stringify(join(root, "examples/batch/src/index.ts"))};
let [deaths, batches] = [0, 0];
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
    const BUCKET = {
      get: (key: string) => env.BUCKET.get(key),
      head: (key: string) => env.BUCKET.head(key),
      list: (options: unknown) => env.BUCKET.list(options),
      async put(key: string, value: string, options: unknown) {
        if (key === "results/${keyOf(POISONED)}.json") throw new Error("no room");
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
    await Promise.race([worker.queue({ queue: batch.queue, messages }, { ...env, BUCKET }), death]);
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
    const done = (await batch.keys("results/")).size;
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
check("all keys go on the queue", (await first.enqueue()) === IMAGES, IMAGES);
await wait(first, IMAGES / 2, 180);
check("one workerd is running, and is killed half-way", started.length === 1, started.length);
for (const pid of started) process.kill(pid, "SIGKILL");
await first.stop().catch(() => {});

const second = await startBatch(mortal("second", DEATHS), state);
const half = await second.keys("results/");
check("half of the results have outlived it", half.size >= IMAGES / 2 && half.size < IMAGES, half.size);
const again = await second.enqueue();
check("only what has no result goes on the queue again", again === IMAGES - half.size, again);
const done = await wait(second, IMAGES - 1, 240);
check("nothing is lost", done === IMAGES - 1, `${done} results, one image can have none`);
for (let i = 0; i < 100 && (await second.keys("failed/")).size === 0; ++i)
  await new Promise((next) => setTimeout(next, 100));
const given = [...(await second.keys("failed/")).keys()];
check("what never succeeds ends in the dead-letter queue", given.join() === `${keyOf(POISONED)}.json`, given);
const results = await second.keys("results/");
const kept = [...half].every(([key, version]) => results.get(key) === version);
check("no result from before the kill was written again", kept, `${half.size} versions are the same`);

const writes = new Map<string, number>();
let refused = 0;
let [redelivered, doomed] = [0, 0];
for (const name of (await second.keys("log/")).keys()) {
  const text = (await (await second.bucket.get(`log/${name}`))?.text()) ?? "";
  if (name.startsWith("batch-")) {
    const said = JSON.parse(text) as { redelivered: number; doomed: boolean };
    redelivered += said.redelivered;
    doomed += said.doomed ? 1 : 0;
  } else if (name.endsWith("refused")) refused += 1;
  else if (text.startsWith("results/")) writes.set(text, (writes.get(text) ?? 0) + 1);
}
const twice = [...writes.values()].filter((count) => count !== 1).length;
check(
  "every result was written once",
  twice === 0 && writes.size === IMAGES - 1,
  `${writes.size} keys written, ${refused} second writes refused`,
);
check(
  "consumers did die, and their messages came again",
  doomed >= DEATHS && redelivered > 0,
  `${doomed} batches, ${redelivered} redeliveries`,
);

const node = await load(weights);
let [alike, said] = [0, 0];
for (const [i, image] of images.entries()) {
  if (i === POISONED) continue;
  const text = (await (await second.bucket.get(`results/${keyOf(i)}.json`))?.text()) ?? "{}";
  const { predictions, error } = JSON.parse(text) as { predictions?: readonly Prediction[]; error?: string };
  if (BROKEN.has(i)) said += /expected a JPEG/.test(error ?? "") ? 1 : 0;
  else alike += JSON.stringify(predictions) === JSON.stringify(await node.classify(image)) ? 1 : 0;
}
await node.dispose();
check("every result is Node's, to the last digit", alike === IMAGES - BROKEN.size - 1, alike);
check("broken images have a result that says so", said === BROKEN.size, said);
await second.stop();
rmSync(home, { recursive: true });
finish();
