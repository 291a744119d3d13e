/**
 * The walk of examples/batch over a simulated bucket of ten million names: memory, time, and what comes of it when consumers die at
 * any call. The bucket computes its listings and the queue counts, so memory is the walk's.
 *
 *     node .ci/bucket.ts [NAMES]
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { PAGES } from "../examples/batch/src/walk.ts";
import { uniform } from "../src/models/random.ts";
import { Names, walkAll } from "../test/simulated-bucket.ts";
import { check, finish } from "./checks.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;
const count = Number(process.argv[2] ?? 1e7);
const names = new Names(count);

const faults = {
  "all is well": { death: 0, error: 0, double: 0 },
  "one call of 300 kills its consumer, one of 300 fails, one message of 50 comes twice": {
    death: 1 / 300,
    error: 1 / 300,
    double: 0.02,
  },
};
for (const [what, probabilities] of Object.entries(faults)) {
  const heap: number[] = [];
  let next = 0;
  const began = performance.now();
  const walked = await walkAll(names, {
    random: uniform(1),
    ...probabilities,
    onMessage(images) {
      if (images < next) return;
      next += count / 20;
      gc();
      heap.push(process.memoryUsage().heapUsed / 1e6);
    },
  });
  const us = (1000 * (performance.now() - began)) / count;
  const { times, calls, deaths, errors, doubles, stalls, messages } = walked;
  let [images, missing, idle, again] = [0, 0, 0, 0];
  for (let i = 0; i < count; ++i) {
    const needed = names.needsWork(i);
    images += names.isImage(i) ? 1 : 0;
    missing += needed && times[i] === 0 ? 1 : 0;
    idle += !needed && times[i]! > 0 ? 1 : 0;
    again += Math.max(0, times[i]! - 1);
  }
  const happened = deaths + errors + doubles;
  const counts = `${images} images, ${messages} messages, ${calls} calls, ${us.toFixed(2)} µs a name, listing included`;
  check(`${what}: nothing is left out`, missing === 0 && idle === 0, counts);
  const [least, most] = [Math.min(...heap.slice(1)), Math.max(...heap.slice(1))];
  const seen = `${least.toFixed(1)} to ${most.toFixed(1)} MB at ${heap.length} places`;
  check(`${what}: memory stays as it is`, heap.length > 10 && most - least < 2, seen);
  check(
    `${what}: what comes twice is bounded`,
    again <= happened * PAGES * 1000 && happened > 0 === probabilities.death > 0,
    `${again} twice, ${deaths} deaths, ${errors} errors, ${doubles} doubles, ${stalls} stalls`,
  );
}
finish();
