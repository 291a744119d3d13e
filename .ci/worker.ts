/**
 * examples/worker in real workerd over real HTTP: the answers of ResNet-50 in int8 are those of Node, what is malformed is
 * refused, memory stays within bounds and flat, photos of 108 megapixels among them, and a network of CIFAR's size needs less CPU than the
 * Free plan has.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { avif, png, profile, SAMPLES, smallModel, webp } from "../examples/small.ts";
import { startImagesWorker } from "../examples/worker/local-images.ts";
import { type RunningWorker, startWorker } from "../examples/worker/workerd.ts";
import { decodeImage } from "../src/decode/image.ts";
import { convert, load, nodeRuntime, type Prediction, quantize } from "../src/runtimes/node.ts";
import { check, finish, root } from "./checks.ts";

const main = join(root, "examples/worker/src/index.ts");
const data = join(root, "..", "shared", "data", "imagenet-val-300");
const home = mkdtempSync(join(tmpdir(), "resnet-wasm-worker-"));
/** A folder of assets with a model in it. */
function assetsOf(name: string, bytes: Uint8Array): string {
  const folder = join(home, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "model.safetensors"), bytes);
  return folder;
}

interface Memory {
  /** What the process has made itself: the isolate, and nothing of the runtime's program. */
  readonly own: number;
  readonly all: number;
  /** The largest that `all` has been. */
  readonly most: number;
}

/** MB of memory of a process. */
function memoryOf({ process: { pid } }: RunningWorker): Memory {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (key: string): number => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(text)![1]) * 1.024e-3;
  return { own: of("RssAnon"), all: of("VmRSS"), most: of("VmHWM") };
}

const ticks = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** Milliseconds of CPU that a process has had. */
function cpuOf({ process: { pid } }: RunningWorker): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticks;
}

interface Answer {
  readonly status: number;
  readonly predictions: readonly Prediction[];
  readonly code: string;
  readonly text: string;
}

/** Codes of a connection that ended before its answer came. */
const LOST: ReadonlySet<string> = new Set(["ECONNRESET", "UND_ERR_SOCKET"]);

async function ask(
  url: string,
  path: string,
  body?: BodyInit | null,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const method = body === undefined ? "GET" : "POST";
  // A connection for each: a kept one may be closed just as it is used again.
  const init = {
    method,
    headers: { ...headers, connection: "close" },
    ...(body === undefined ? {} : { body }),
    duplex: "half",
  } as RequestInit;
  let response: Response | undefined;
  for (let tries = 1; response === undefined; ++tries) {
    try {
      response = await fetch(url + path, init);
    } catch (error) {
      // The answer, 503, came before the body was read.
      const { cause } = error as { cause?: { code?: string } };
      if (!LOST.has(cause?.code ?? "") || body instanceof ReadableStream || tries === 5) throw error;
      await new Promise((done) => setTimeout(done, 200));
    }
  }
  const text = await response.text();
  let said: { predictions?: readonly Prediction[]; error?: { code: string } } = {};
  try {
    said = JSON.parse(text);
  } catch {}
  return { status: response.status, predictions: said.predictions ?? [], code: said.error?.code ?? "", text };
}

const classify = (url: string, body: BodyInit | null, query = ""): Promise<Answer> =>
  ask(url, `/classify${query}`, body);

/** Posts a photo, and hangs up when it is asked to. */
async function classifyUntil(url: string, signal: AbortSignal): Promise<void> {
  await fetch(`${url}/classify`, { method: "POST", body: samples[0]!, signal }).catch(() => {});
}

/** As many at once, all of them, in turn. */
async function inTurn<T>(count: number, atOnce: number, work: (i: number) => Promise<T>): Promise<readonly T[]> {
  const results: T[] = [];
  let next = 0;
  const line = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) results[i] = await work(i);
  };
  await Promise.all(Array.from({ length: atOnce }, line));
  return results;
}

/** Photos of 12 and 108 megapixels, as phones save them. */
function largePhotos(): Readonly<Record<string, Buffer<ArrayBuffer>>> {
  const folder = join(home, "large");
  mkdirSync(folder);
  const script = join(root, ".ci/large-photos.py");
  const files = JSON.parse(execFileSync("/usr/bin/python3", [script, data, folder], { encoding: "utf8" }));
  return Object.fromEntries(
    Object.entries(files as Record<string, string>).map(([name, path]) => [
      `${name.replace(" ", " megapixels, ")}`,
      readFileSync(path),
    ]),
  );
}

const statuses = (answers: readonly Answer[]): string => {
  const counts = new Map<number, number>();
  for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, count]) => `${count} × ${status}`).join(", ");
};

const photos = existsSync(data)
  ? readdirSync(data)
      .filter((name) => /\.jpe?g$/i.test(name))
      .slice(0, 50)
      .map((name) => join(data, name))
  : [];
if (photos.length === 0) process.stdout.write("left out: no ImageNet photos beside the checkout\n");
const samples = SAMPLES.map((path) => readFileSync(path));

// An empty Worker, for comparison.
const nothing = join(home, "nothing.js");
writeFileSync(nothing, 'export default { fetch: () => new Response("nothing") };\n');
const empty = await startWorker({ main: nothing, assets: home });
for (let i = 0; i < 50; ++i) await ask(empty.url, "/");
const base = memoryOf(empty);
/** The most memory of its own that a Worker has while something is done, and its CPU time for it. */
async function during<T>(
  worker: RunningWorker,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly own: number; readonly ms: number }> {
  let own = 0;
  const timer = setInterval(() => {
    own = Math.max(own, memoryOf(worker).own);
  }, 2);
  const before = cpuOf(worker);
  const result = await work();
  clearInterval(timer);
  return { result, own: Math.max(own, memoryOf(worker).own), ms: cpuOf(worker) - before };
}

/** A Worker's memory against an empty one's, both ways. */
function bounded(name: string, worker: RunningWorker, limit = 100, seenOwn = 0): void {
  const { own: now, all, most } = memoryOf(worker);
  const own = Math.max(now, seenOwn);
  const mb = (value: number): string => `${value.toFixed(0)} MB`;
  const above = own - base.own;
  const seen = `${mb(above)} of its own above an empty Worker's ${mb(base.own)}; resident in all ${mb(all)}, at most ${mb(most)}, an empty one ${mb(base.all)}`;
  check(`${name} within ${limit} MB`, above <= limit, seen);
}
await empty.stop();

// ResNet-50.
const { bytes: large } = await quantize("resnet50", photos.length === 0 ? SAMPLES : photos);
const pieces: Uint8Array[] = [];
for await (const piece of convert(large, { layout: "packed", build: "relaxed", winograd: false })) pieces.push(piece);
const packed = Buffer.concat(pieces);
check("the packed file is no larger than an asset may be", packed.length <= 25 * 2 ** 20, `${packed.length} bytes`);
const assets = assetsOf("resnet50", packed);
const node = await load(large);

const upstream = createServer(({ url }, response) => {
  if (url === "/alps.jpg") response.end(samples[0]);
  else if (url === "/moved") response.writeHead(302, { Location: "/alps.jpg" }).end();
  else if (url === "/large") response.end(Buffer.alloc(21_000_000));
  else response.writeHead(404).end();
});
await new Promise<void>((done) => upstream.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;

const worker = await startWorker({ main, assets, vars: { ORIGINS: origin }, allow: ["public", "private"] });
const { url } = worker;
{
  const began = performance.now();
  const cpu = cpuOf(worker);
  const first = await inTurn(8, 8, () => classify(url, samples[0]!));
  check(
    "the first eight requests at once load the model once, and all are answered",
    first.every(({ status }) => status === 200),
    `${statuses(first)}, ${(performance.now() - began).toFixed(0)} ms, ${(cpuOf(worker) - cpu).toFixed(0)} ms of CPU`,
  );
  check("the Alps are an alp", first[0]!.predictions[0]?.label === "alp", JSON.stringify(first[0]!.predictions[0]));
  bounded("the model, loaded by eight requests at once,", worker);
}
for (const path of [...SAMPLES, ...photos]) {
  const bytes = readFileSync(path);
  const [here, there] = [await node.classify(bytes, { decode: "fast" }), await classify(url, bytes)];
  const same = JSON.stringify(here) === JSON.stringify(there.predictions);
  const name = path.slice(path.lastIndexOf("/") + 1);
  check(`the same answer as Node's, to the last digit: ${name}`, same, there.text.slice(0, 100));
}
{
  const [at50, cpu] = [memoryOf(worker), cpuOf(worker)];
  const all = [...samples, ...photos.map((path) => readFileSync(path))];
  const began = performance.now();
  const answers = await inTurn(50, 1, (i) => classify(url, all[i % all.length]!));
  const each = (cpuOf(worker) - cpu) / 50;
  check(
    "50 more photos, one by one",
    answers.every(({ status }) => status === 200),
    `${((performance.now() - began) / 50).toFixed(0)} ms and ${each.toFixed(0)} ms of CPU each`,
  );
  const after = memoryOf(worker);
  check("memory is flat", after.all - at50.all < 16, `${at50.all.toFixed(0)} → ${after.all.toFixed(0)} MB`);
  bounded("photos", worker);
  // Photos of phones.
  const large = photos.length === 0 ? {} : largePhotos();
  for (const [name, bytes] of Object.entries(large)) {
    const count = bytes.length > 8e6 ? 3 : 20;
    const alone = await during(worker, () => inTurn(count, 1, () => classify(url, bytes)));
    const here = JSON.stringify(await node.classify(bytes, { decode: "fast" }));
    check(
      `${name}, ${(bytes.length / 1e6).toFixed(1)} MB: Node's answer`,
      alone.result.every(({ status, predictions }) => status === 200 && JSON.stringify(predictions) === here),
      `${statuses(alone.result)}, ${(alone.ms / count).toFixed(0)} ms of CPU each`,
    );
    const { result, own } = await during(worker, () => inTurn(6, 3, () => classify(url, bytes)));
    check(
      "three at once",
      result.every(({ status }) => status === 200),
      statuses(result),
    );
    bounded("three at once", worker, 100, own);
  }
  // As large as it takes other formats: pictures that are whole in memory.
  const pictures = {
    PNG: png(1200, 1000, 1),
    WebP: await webp(900, 900),
    "PNG in a form": formOf(new Blob([png(1200, 1000, 1)])),
  };
  // Encoding kept this thread busy: connections that the Worker has closed meanwhile must be seen before they are used.
  await new Promise((done) => setTimeout(done, 500));
  for (const [kind, body] of Object.entries(pictures)) {
    const { result, own } = await during(worker, () => inTurn(9, 3, () => classify(url, body)));
    const right = result.every(({ status }) => status === 200);
    check(`a ${kind} as large as it takes it, three at once`, right, statuses(result));
    // V8 collects buffers when 64 MB of them wait, whatever they were for.
    bounded("three at once", worker, 150, own);
  }
  const crowd = await inTurn(40, 40, () => classify(url, samples[0]!));
  const answered = crowd.filter(({ status }) => status === 200);
  const right = answered.every(({ predictions }) => predictions[0]?.label === "alp");
  check(
    "forty at once: answered, or asked to come back",
    right && answered.length >= 8 && crowd.every(({ status }) => status === 200 || status === 503),
    statuses(crowd),
  );
}

// What is malformed.
function formOf(value: string | Blob, parts = 1): FormData {
  const form = new FormData();
  for (let i = 0; i < parts; ++i) form.append(`part${i}`, value);
  return form;
}
/** A header that claims a size over the rest of a real photo. */
function claims(width: number, height: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(samples[1]!);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
}
const gif = Buffer.from("474946383961ffffffff800000000000ffffff2c00000000ffffffff00028401003b", "hex");
const riff = Buffer.from("52494646160000005745425056503858 0a00000000000000ffffffffffff3b".replace(" ", ""), "hex");
const jpegOf = (side: number): Buffer<ArrayBuffer> => {
  const bytes = Buffer.from(samples[0]!);
  for (let at = 2; ; at += 2 + bytes.readUInt16BE(at + 2)) {
    if (bytes[at + 1]! < 0xc0 || bytes[at + 1]! > 0xc2) continue;
    bytes.writeUInt16BE(side, at + 5);
    bytes.writeUInt16BE(side, at + 7);
    return bytes;
  }
};
const largeWebp = await webp(2000, 2000);
const heif = JSON.parse(readFileSync(join(root, "test/golden/heif.json"), "utf8")) as Record<string, string>;
const heic = Buffer.from(heif["plain.heic"]!, "base64");
const cases: readonly (readonly [string, () => Promise<Answer>, readonly number[]])[] = [
  ["no body", () => classify(url, ""), [400]],
  ["text", () => classify(url, "hello"), [415]],
  ["HTML", () => classify(url, "<!doctype html>"), [415]],
  ["a cut JPEG", () => classify(url, samples[0]!.subarray(0, 5000)), [422]],
  [
    "noise that begins like a JPEG",
    () =>
      classify(url, Buffer.concat([samples[0]!.subarray(0, 700), Buffer.alloc(5000, 0x5a), Buffer.from([0xff, 0xd9])])),
    [422],
  ],
  ["a form without a file", () => classify(url, formOf("text")), [400]],
  ["a form of 20,000 parts", () => classify(url, formOf("x", 20_000)), [400]],
  [
    "a form with a broken boundary",
    () => ask(url, "/classify", "--y\r\n", { "Content-Type": "multipart/form-data; boundary=x" }),
    [400],
  ],
  ["a form with a photo", () => classify(url, formOf(new Blob([samples[0]!]))), [200]],
  ["21 megabytes", () => classify(url, Buffer.alloc(21_000_000)), [413]],
  ["a JPEG of 200 megapixels", () => classify(url, jpegOf(14_142)), [413]],
  ["a WebP of 4 megapixels, which would take 48 MB", () => classify(url, largeWebp), [413]],
  ["a HEIC, where nothing makes a JPEG of it", () => classify(url, heic), [415]],
  ["a PNG that claims 2 billion pixels a side", () => classify(url, claims(2 ** 31 - 1, 2 ** 31 - 1)), [413]],
  ["a PNG that claims 1000 × 1000 and has fewer", () => classify(url, claims(1000, 1000)), [422]],
  ["a bomb: 10,000 × 10,000 black pixels in a PNG", () => classify(url, png(10_000, 10_000)), [413]],
  [
    "a bomb: a colour profile of 300 MB in a PNG",
    () => classify(url, png(64, 64, 1, [profile(300_000_000)])),
    [200, 422],
  ],
  ["a bomb: a GIF of 4 gigapixels", () => classify(url, gif), [413, 422]],
  ["a bomb: a WebP of 16 million a side", () => classify(url, riff), [413, 422]],
  ["a bomb: a JPEG of 65,535 a side", () => classify(url, jpegOf(65_535)), [413]],
  ["a JPEG that claims 1000 a side and has fewer", () => classify(url, jpegOf(1000)), [200, 422]],
  ["no classes", () => classify(url, samples[0]!, "?top=0"), [400]],
  ["GET where photos are posted", () => ask(url, "/classify"), [405]],
  ["an address where nothing is", () => ask(url, "/nothing"), [404]],
  ["the weights", () => ask(url, "/model.safetensors"), [404]],
  ["a url at an allowed origin", () => classify(url, "", `?url=${origin}/alps.jpg`), [200]],
  ["a url elsewhere", () => classify(url, "", "?url=http://127.0.0.1:1/x"), [403]],
  ["a url that is moved", () => classify(url, "", `?url=${origin}/moved`), [502]],
  ["a url that is too long", () => classify(url, "", `?url=${origin}/large`), [413]],
  ["a url of nothing", () => classify(url, "", `?url=${origin}/nothing`), [502]],
  ["the page", () => ask(url, "/"), [200]],
];
/** Resident MB after each round of refusals. */
const rounds: number[] = [];
for (const round of [1, 2, 3, 4, 5, 6]) {
  for (const [name, request, expected] of cases) {
    const { status, text } = await request().catch((error) => ({ status: 0, text: `${error}` }));
    const quiet = !/\n\s+at |\.js:\d|\.ts:\d/.test(text);
    const right = expected.includes(status) && quiet;
    if (round === 1 || !right) check(name, right, `${status} ${text.slice(0, 110).replaceAll("\n", " ")}`);
  }
  rounds.push(memoryOf(worker).all);
}
check(
  "rounds of refusals leave nothing behind",
  rounds[5]! - rounds[2]! < 32,
  `${rounds.map((mb) => mb.toFixed(0)).join(" → ")} MB`,
);
{
  const { hostname, port } = new URL(url);
  await inTurn(
    30,
    10,
    () =>
      new Promise<void>((done) => {
        const socket = connect(Number(port), hostname, () => {
          socket.write("POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc");
          setTimeout(() => socket.destroy(), 30);
        });
        socket.once("close", () => done());
        socket.once("error", () => done());
      }),
  );
  const after = await inTurn(4, 2, () => classify(url, samples[0]!));
  check(
    "thirty clients that hang up in the middle block nobody",
    after.every(({ status }) => status === 200),
    statuses(after),
  );
  const aborted = await inTurn(30, 4, async () => {
    const controller = new AbortController();
    const answer = classifyUntil(url, controller.signal);
    setTimeout(() => controller.abort(), 20);
    await answer;
  });
  // Those whose turn has not come when their client goes are computed all the same.
  await new Promise((done) => setTimeout(done, 3000));
  const then = await inTurn(8, 4, () => classify(url, samples[0]!));
  check(
    `${aborted.length} that do so while they wait for the answer neither`,
    then.every(({ status }) => status === 200),
    statuses(then),
  );
}
await worker.stop();
upstream.close();
// HEIC and AVIF by Cloudflare Images; what miniflare has in its place decodes AVIF.
{
  const images = await startImagesWorker(main, packed);
  const file = await avif(await decodeImage(samples[0]!, nodeRuntime(), "alps.jpg"));
  const { status, text } = await images.classify(file);
  const [here] = await node.classify(file);
  const [there] = status === 200 ? (JSON.parse(text) as { predictions: readonly Prediction[] }).predictions : [];
  const close = there?.label === here!.label && Math.abs(there.probability - here!.probability) < 0.05;
  check("an AVIF by the Images binding", close, `${status} ${text.slice(0, 90)}`);
  const broken = await images.classify(file.subarray(0, file.length / 2));
  check("half of it is refused", broken.status === 422, `${broken.status} ${broken.text}`);
  const jpeg = await images.classify(samples[0]!);
  check("JPEGs are decoded as before", jpeg.status === 200, `${jpeg.status} ${jpeg.text.slice(0, 90)}`);
  await images.stop();
}

await node.dispose();

// The one who asked first, and for whom the weights are loaded, hangs up.
for (const delay of [5, 60, 150]) {
  const young = await startWorker({ main, assets });
  const controller = new AbortController();
  const gone = classifyUntil(young.url, controller.signal);
  setTimeout(() => controller.abort(), delay);
  const others = inTurn(4, 4, () => classify(young.url, samples[0]!));
  await gone;
  const late = new Promise<readonly Answer[]>((_, fail) =>
    setTimeout(() => fail(new Error("no answer")), 20_000).unref(),
  );
  const answers = await Promise.race([others, late]).catch(() => []);
  const right = answers.length === 4 && answers.every(({ status }) => status === 200);
  check(`others are answered when the first hangs up after ${delay} ms`, right, statuses(answers));
  await young.stop();
}

// What a photo waits for in a new isolate: packed weights and ordinary ones, in turns.
{
  const kinds = { packed: assets, ordinary: assetsOf("ordinary", large) };
  const least: Record<string, readonly [number, number]> = {};
  for (let round = 0; round < 5; ++round) {
    for (const [kind, assets] of Object.entries(kinds)) {
      const young = await startWorker({ main, assets });
      await ask(young.url, "/nothing");
      const times: number[] = [];
      for (const _ of [1, 2]) {
        const began = performance.now();
        const { status, text } = await classify(young.url, samples[0]!);
        times.push(performance.now() - began);
        if (status !== 200) check(`a new isolate's answer, ${kind} weights`, false, text);
      }
      const [first, second] = times as [number, number];
      const [a, b] = least[kind] ?? [first, second];
      least[kind] = [Math.min(a, first), Math.min(b, second)];
      await young.stop();
    }
  }
  for (const [kind, [first, second]] of Object.entries(least)) {
    const times = `the first request ${first.toFixed(0)} ms, the second ${second.toFixed(0)} ms`;
    process.stdout.write(`       a new isolate, ${kind} weights: ${times}\n`);
  }
  const [[ours], [others]] = [least.packed!, least.ordinary!];
  // 200 : 230 where nothing else runs; on a busy machine either may be the larger.
  const seen = `${ours.toFixed(0)} : ${others.toFixed(0)} ms`;
  check("packed weights do not make the first request slower", ours < 1.15 * others, seen);
}

// Weights that are none.
const spoilt: readonly (readonly [string, Uint8Array])[] = [
  ["cut short", large.subarray(0, 9_000_000)],
  ["a web page", new TextEncoder().encode(`<!doctype html>${" ".repeat(2000)}`)],
  ["empty", new Uint8Array(0)],
];
for (const [name, bytes] of spoilt) {
  const broken = await startWorker({ main, assets: assetsOf(name.replaceAll(" ", "-"), bytes) });
  const answers = await inTurn(3, 3, () => classify(broken.url, samples[0]!));
  check(
    `weights that are ${name}`,
    answers.every(({ status, code }) => status === 500 && code === "model"),
    answers[0]!.text,
  );
  await broken.stop();
}

// A network of CIFAR's size under load, and a Worker that only reads what it is sent.
const echo = join(home, "echo.js");
writeFileSync(
  echo,
  `export default {
  async fetch(request) {
    let length = 0;
    for await (const chunk of request.body) length += chunk.byteLength;
    return Response.json({ length });
  },
};
`,
);
{
  const images = Array.from({ length: 20 }, (_, i) => png(32, 32, i));
  const assets = assetsOf("cifar", await smallModel());
  const [small, reader] = [await startWorker({ main, assets }), await startWorker({ main: echo, assets })];
  const began = performance.now();
  const cold = cpuOf(small);
  await classify(small.url, images[0]!);
  const first = `${(cpuOf(small) - cold).toFixed(0)} ms of CPU, ${(performance.now() - began).toFixed(0)} ms`;
  process.stdout.write(`       the first request, which loads the network: ${first}\n`);
  for (const each of [small, reader]) await inTurn(500, 4, (i) => classify(each.url, images[i % 20]!));
  const wasm = async (): Promise<string> => JSON.parse((await ask(small.url, "/health")).text).memoryMB;
  const [before, own, cpu, start] = [memoryOf(small).all, await wasm(), cpuOf(small), performance.now()];
  const answers = await inTurn(2000, 4, (i) => classify(small.url, images[i % 20]!));
  const [each, rate] = [(cpuOf(small) - cpu) / 2000, 2e6 / (performance.now() - start)];
  const after = memoryOf(small).all;
  check(
    "2,000 requests of a CIFAR network, all answered",
    answers.every(({ status }) => status === 200),
    `${statuses(answers)}, ${rate.toFixed(0)} a second`,
  );
  const same = answers.every(({ text }, i) => text === answers[i % 20]!.text);
  check("alike for like images", same, answers[0]!.text.slice(0, 90));
  check("CPU time of a warm request below 10 ms", each < 10, `${each.toFixed(2)} ms, HTTP and decoding included`);
  // The runtime itself collects late: what it keeps of 2,000 requests is seen in a Worker that does nothing with them. Beyond
  // that it keeps the streams that inflate PNGs for a while: 42 MB against 32 were seen.
  const idle = memoryOf(reader).all;
  const spent = cpuOf(reader);
  await inTurn(2000, 4, (i) => classify(reader.url, images[i % 20]!));
  const floor = memoryOf(reader).all - idle;
  check(
    "memory is flat over them but for what workerd keeps of any 2,000 requests",
    after - before <= floor + 32,
    `${before.toFixed(0)} → ${after.toFixed(0)} MB; a Worker that only reads its requests ${idle.toFixed(0)} → ${(idle + floor).toFixed(0)} MB`,
  );
  check("the kernels' memory does not grow", own === (await wasm()), `${own} MB`);
  process.stdout.write(`       of the CPU time workerd has ${((cpuOf(reader) - spent) / 2000).toFixed(2)} ms\n`);
  const mark = cpuOf(small);
  const alps = await inTurn(40, 4, () => classify(small.url, samples[0]!));
  const photo = `${((cpuOf(small) - mark) / 40).toFixed(1)} ms of CPU (${statuses(alps)})`;
  process.stdout.write(`       a photo of ${(samples[0]!.length / 1000).toFixed(0)} kB instead: ${photo}\n`);
  await small.stop();
  await reader.stop();
}
rmSync(home, { recursive: true });
finish();
