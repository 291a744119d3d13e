/**
 * Images a second by threads that share each image, and by replicas that each run whole ones: in turns in one process. Where
 * other programs want the cores too, processor time still tells what two replicas take of each other. Then what more cores would
 * do, computed from the bytes that an image moves and from how fast this machine's memory is.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Classifier, LoadOptions } from "../src/classifier.ts";
import { table } from "../src/cli/terminal.ts";
import { fold } from "../src/fold.ts";
import { elementBytes, inputShape } from "../src/graph.ts";
import { inspect, load, nodeRuntime, openModel } from "../src/runtimes/node.ts";
import { step } from "../src/tape.ts";
import { startTeam } from "../src/threads.ts";
import { KERNEL_ARGUMENTS } from "../wasm/arguments.js";
import { type Dtype, randomModel } from "./lib/prepared.ts";

const WAYS = [
  { threads: 1 },
  { threads: 2 },
  { replicas: 1 },
  { replicas: 2 },
] as const satisfies readonly LoadOptions[];
const CORES = [2, 4, 8, 16] as const;

/** Milliseconds an image of one way, the least of some turns: of the clock, and of all processors together. */
interface Times {
  ms: number;
  processorMs: number;
}

/** Each way in turns of `images` images. Throws when ways differ in a byte. */
async function measure(bytes: Uint8Array, images: number, rounds: number): Promise<readonly Times[]> {
  const models: Classifier[] = [];
  for (const way of WAYS) models.push(await load(bytes, { ...way, vectors: 128 }));
  const [h, w, c] = inputShape(models[0]!.model.graph);
  const image = {
    data: Float32Array.from({ length: h * w * c }, (_, i) => Math.sin(i * i)),
    shape: [1, h, w, c],
  } as const;
  const best = WAYS.map((): Times => ({ ms: Number.POSITIVE_INFINITY, processorMs: Number.POSITIVE_INFINITY }));
  const logits: string[] = [];
  for (const model of models) {
    await model.warmup();
    logits.push(Buffer.from((await model.logits(image)).data.buffer).toString("hex"));
  }
  if (new Set(logits).size !== 1) throw new Error("replicas: expected the same bytes from each way, got others");
  for (let round = 0; round < rounds; ++round) {
    const order = [...models.keys()];
    for (const i of round % 2 === 0 ? order : order.reverse()) {
      const [start, before] = [performance.now(), process.cpuUsage()];
      await Promise.all(Array.from({ length: images }, () => models[i]!.logits(image)));
      const [ms, { user, system }] = [performance.now() - start, process.cpuUsage(before)];
      const least = best[i]!;
      least.ms = Math.min(least.ms, ms / images);
      least.processorMs = Math.min(least.processorMs, (user + system) / 1e3 / images);
    }
  }
  for (const model of models) await model.dispose();
  return best;
}

/** Bytes that one image reads and writes. */
interface Traffic {
  /** Packed weights: each as often as a step reads it. Winograd's are read once for each band of the image. */
  readonly weights: number;
  /** Activations: once as they are written, and once for each node that reads them. */
  readonly activations: number;
}

/** Workspaces and scratch are not counted: they stay in a core's own cache. */
async function traffic(bytes: Uint8Array): Promise<Traffic> {
  const { layers, tape } = await inspect(bytes, { vectors: 128 });
  const reads = (name: string): number =>
    tape.filter(({ label, kernel }) => label === name && KERNEL_ARGUMENTS[kernel].some((arg) => arg === "panels"))
      .length;
  const weights = layers.map(({ name, weightBytes }) => weightBytes * Math.max(1, reads(name)));
  await using model = await openModel(bytes);
  const { nodes } = fold(model.graph);
  const sizes = new Map(
    nodes.map((node) => [node.name, node.shape[0] * node.shape[1] * node.shape[2] * elementBytes(node)]),
  );
  const activations = nodes.map(({ name, inputs }) =>
    [name, ...inputs].reduce((sum, each) => sum + sizes.get(each)!, 0),
  );
  return { weights: total(weights), activations: total(activations) };
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** Bytes a second that `size` workers read together from memory, the most of some turns over more than any cache holds. */
async function bandwidth(size: number): Promise<number> {
  const [start, slice, n] = [65536, 4096, 6144 * 4096];
  const bytes = 4 * n;
  const out = start + bytes;
  const pages = Math.ceil((out + (4 * n) / slice) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  // Pages that nothing was written to are all one page of zeros.
  new Uint8Array(memory.buffer).fill(1);
  const runtime = nodeRuntime();
  const team = await startTeam(runtime, await runtime.module("baseline.shared"), memory, size);
  const id = team.add([step("read", "sum_squares_f32", n / slice, { n, input: start, out })], 0);
  let best = 0;
  for (let i = 0; i < 300; ++i) {
    const begin = performance.now();
    await team.run(id);
    best = Math.max(best, (1e3 * bytes) / (performance.now() - begin));
  }
  team.dispose();
  return best;
}

const rate = (ms: number): string => (1e3 / ms).toFixed(1);
const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** `bench replicas [--models resnet18,resnet50] [--dtypes f32,int8] [--images 4] [--rounds 15]` */
export async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: "resnet18,resnet50" },
      dtypes: { type: "string", default: "f32,int8" },
      images: { type: "string", default: "4" },
      rounds: { type: "string", default: "15" },
    },
  });
  // An odd number leaves one of two replicas idle at the end of a turn.
  const images = 2 * Math.ceil(Number(values.images) / 2);
  const cores = availableParallelism();
  const one = await bandwidth(1);
  const all = Math.max(one, await bandwidth(cores));
  const measured: string[][] = [];
  const computed: string[][] = [];
  for (const model of values.models.split(",")) {
    for (const dtype of values.dtypes.split(",") as Dtype[]) {
      const bytes = await randomModel(model, dtype);
      const [thread, threads, replica, replicas] = await measure(bytes, images, Number(values.rounds));
      const name = `${model} ${dtype}`;
      const times = [thread!, threads!, replica!, replicas!].map(({ ms }) => ms);
      const gains = [times[0]! / times[1]!, times[2]! / times[3]!, (2 * replica!.processorMs) / replicas!.processorMs];
      measured.push([name, ...times.map(rate), ...gains.map((gain) => gain.toFixed(2))]);
      const { weights, activations } = await traffic(bytes);
      // By processor time: of a replica that has its core to itself.
      const each = 1e3 / replica!.processorMs;
      const needed = each * (weights + activations);
      const rates = CORES.map((n) => (each * Math.min(n, all / needed)).toFixed(0));
      computed.push([name, mb(weights), mb(activations), each.toFixed(1), (needed / 1e9).toFixed(1), ...rates]);
    }
  }
  const heads = [
    "images/s",
    "1 thread",
    "2 threads",
    "1 replica",
    "2 replicas",
    "threads ×",
    "replicas ×",
    "by processor time",
  ];
  process.stdout.write(`${table([heads, ...measured])}\n\n`);
  const gb = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB/s`;
  process.stdout.write(`read from memory: ${gb(one)} by one core, ${gb(all)} by ${cores} at once\n`);
  process.stdout.write(`computed, not measured: n times one replica, until images need all of the ${gb(all)}\n\n`);
  const more = [
    ...["images/s", "weights MB", "activations MB", "1 replica, by processor time", "GB/s a core"],
    ...CORES.map((n) => `${n} cores`),
  ];
  process.stdout.write(`${table([more, ...computed])}\n`);
  return 0;
}
