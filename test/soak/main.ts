/**
 * `npm run soak`: the service under slow, gone, broken and hostile clients, in Node, Deno, Bun and workerd, against itself
 * with honest clients alone. Bounded in requests and in time; loopback only.
 *
 *     node test/soak/main.ts [--requests 20000] [--runtimes node,deno,bun,workerd] [--model FILE] [--bombs DIR] [--minutes 10]
 *
 * Of the requests, a fifth are honest ones on the idle service; of the rest, under attack, three quarters are honest.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { jpeg, png, smallModel } from "../../examples/small.ts";
import { percentile } from "../../src/cli/statistics.ts";
import { table } from "../../src/cli/terminal.ts";
import { aborted, broken, cut, health, honest, type Seen, slow, type Target } from "./clients.ts";
import { RUNTIMES, type Service, startControl } from "./services.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "20000" },
    runtimes: { type: "string", default: "node,deno,bun,workerd" },
    model: { type: "string" },
    bombs: { type: "string" },
    minutes: { type: "string", default: "10" },
  },
});
const requests = Number(values.requests);
/** Clients that wait for their answer, and a little, before they ask again: the service is busy, not saturated. */
const CLIENTS = 4;
const PAUSE_MS = 40;
const SLOW = 64;
const BOMBS_A_MINUTE = 4;
/** Below this an idle service's p99 says more about the scheduler than about the service: 11 to 50 ms were seen on one machine. */
const LEAST_P99_MS = 50;
/** Megabytes that a Worker may have. */
const WORKER_MB = 128;

const folder = mkdtempSync(join(tmpdir(), "resnet-wasm-soak-"));
const model = values.model ?? join(folder, "model.safetensors");
if (values.model === undefined) writeFileSync(model, await smallModel());

type Bytes = Uint8Array<ArrayBuffer>;
const photos: readonly Bytes[] = [await jpeg(400, 300), png(200, 150, 1), await jpeg(640, 480)].map((each) =>
  Uint8Array.from(each),
);
const half: Bytes = photos[0]!.slice(0, photos[0]!.length >> 1);
const refused: readonly Bytes[] = [
  half,
  new TextEncoder().encode("no photo"),
  new Uint8Array(0),
  Uint8Array.of(0x47, 0x49, 0x46, 0x38),
];

/** As many pixels as are allowed, from few bytes; a GIF whose code size of 28 asks for gigabytes; as many as a Worker
 * takes. */
const HOSTILE: readonly Bytes[] = [
  Uint8Array.from(png(5000, 5000)),
  Uint8Array.from(Buffer.from("47494638396101000100800000000000ffffff2c0000000001000100001c024401003b", "hex")),
  Uint8Array.from(png(1500, 1000)),
];

function bombsOf(directory: string | undefined): readonly Bytes[] {
  if (directory === undefined || !existsSync(directory)) return HOSTILE;
  const files = readdirSync(directory).filter((name) => /\.(gif|jpe?g|png|webp)$/.test(name));
  return [...files.map((name) => Uint8Array.from(readFileSync(join(directory, name)))), ...HOSTILE];
}
const bombs = bombsOf(values.bombs);

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Honest clients until there were `count` requests or the time is over. */
async function honestClients(service: Service, count: number, end: number): Promise<readonly Seen[]> {
  const seen: Seen[] = [];
  let left = count;
  const client = async (): Promise<void> => {
    while (left > 0 && performance.now() < end) {
      left -= 1;
      seen.push(
        await honest(service, photos[left % photos.length]!).catch((error) => ({
          ms: 60_000,
          status: 0,
          body: `${error}`,
        })),
      );
      await pause(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return seen;
}

interface Row {
  readonly name: string;
  readonly idle: readonly Seen[];
  readonly attacked: readonly Seen[];
  readonly health: readonly number[];
  /** What the server that does nothing took at the same times. */
  readonly controlHealth: readonly number[];
  readonly bombs: readonly number[];
  /** Requests that were not honest. */
  readonly others: number;
  readonly sentAway: number;
  readonly rss: readonly [before: number, most: number, after: number];
  /** Above what it had before it was asked anything. */
  readonly ownMost: number;
  readonly files: readonly [before: number, most: number, after: number];
}

async function soak(service: Service, control: Target): Promise<Row> {
  const end = performance.now() + 60_000 * Number(values.minutes);
  const own = service.own();
  // The model is loaded, code is compiled.
  await honestClients(service, 40, end);
  const idleEnd = performance.now() + 20_000 * Number(values.minutes);
  const idle = await honestClients(service, Math.ceil(requests / 5), idleEnd);
  const [rssBefore, filesBefore] = [service.rss(), service.files()];
  let [rssMost, ownMost, filesMost] = [0, 0, 0];
  const watch = setInterval(() => {
    rssMost = Math.max(rssMost, service.rss());
    ownMost = Math.max(ownMost, service.own() - own);
    filesMost = Math.max(filesMost, service.files());
  }, 100);
  const slowClients = slow(service, SLOW);
  let running = true;
  let others = 0;
  const [healthMs, controlMs]: [number[], number[]] = [[], []];
  const bombMs: number[] = [];
  const loop = async (work: (i: number) => Promise<unknown>, ms: number): Promise<void> => {
    for (let i = 0; running; ++i) {
      await work(i).catch(() => {});
      others += 1;
      await pause(ms);
    }
  };
  // Four clients ask about 20 times a second each; these three together about as a quarter of all.
  const nuisances = [
    loop((i) => aborted(service, photos[0]!, 1 + (i % 20)), 120),
    loop((i) => broken(service, refused[i % refused.length]!), 120),
    loop((i) => cut(service, 10 + (i % 50)), 120),
  ];
  const hostile = (async () => {
    for (let i = 0; running; ++i) {
      const start = performance.now();
      await broken(service, bombs[i % bombs.length]!).catch(() => {});
      bombMs.push(performance.now() - start);
      for (const next = start + 60_000 / BOMBS_A_MINUTE; running && performance.now() < next; ) await pause(200);
    }
  })();
  const healths = (async () => {
    while (running) {
      healthMs.push(await health(service).catch(() => Number.POSITIVE_INFINITY));
      await pause(60);
      controlMs.push(await health(control));
      await pause(60);
    }
  })();
  const attacked = await honestClients(service, Math.ceil((requests * 3) / 5), end);
  running = false;
  await Promise.all([...nuisances, hostile, healths]);
  slowClients.stop();
  await pause(3000);
  clearInterval(watch);
  return {
    ...{
      name: service.name,
      idle,
      attacked,
      health: healthMs,
      controlHealth: controlMs,
      bombs: bombMs,
      others,
      sentAway: slowClients.answered(),
    },
    ...{ rss: [rssBefore, rssMost, service.rss()], ownMost, files: [filesBefore, filesMost, service.files()] },
  };
}

/** What must hold, with what was seen. */
function verdicts(row: Row): readonly (readonly [name: string, holds: boolean, seen: string])[] {
  const p99 = (seen: readonly Seen[]): number =>
    percentile(
      seen.map(({ ms }) => ms),
      99,
    );
  const [before, after] = [p99(row.idle), p99(row.attacked)];
  const bad = [...row.idle, ...row.attacked].filter(({ status }) => status !== 200);
  const isWorker = row.name === "workerd";
  const [own, control] = [percentile(row.health, 95), percentile(row.controlHealth, 95)];
  return [
    [
      "every honest request is answered 200",
      bad.length === 0,
      bad.length === 0 ? "all" : `${bad.length} not: ${bad[0]!.status} ${bad[0]!.body.slice(0, 80)}`,
    ],
    [
      `honest p99 at most 3 × that of the idle service, or of ${LEAST_P99_MS} ms`,
      after <= 3 * Math.max(before, LEAST_P99_MS),
      `${before.toFixed(1)} → ${after.toFixed(1)} ms, × ${(after / before).toFixed(2)}`,
    ],
    ["file descriptors return", row.files[2] <= row.files[0] + 8, row.files.join(" → ")],
    isWorker
      ? [
          `the Worker's own memory below ${WORKER_MB} MB`,
          row.ownMost < WORKER_MB,
          `${row.ownMost.toFixed(0)} MB at most`,
        ]
      : [
          "/health within 50 ms (p95), or twice what a server that does nothing takes on this machine",
          own < Math.max(50, 2 * control),
          `${own.toFixed(1)} ms, that server ${control.toFixed(1)}`,
        ],
  ];
}

const control = await startControl();
let [passed, failed] = [0, 0];
for (const name of values.runtimes.split(",")) {
  const start = RUNTIMES[name];
  if (start === undefined) {
    process.stdout.write(`${name}: not installed\n`);
    continue;
  }
  const service = await start(model, join(folder, name));
  try {
    const row = await soak(service, control);
    const seconds = (seen: readonly Seen[], percent: number): string =>
      percentile(
        seen.map(({ ms }) => ms),
        percent,
      ).toFixed(1);
    process.stdout.write(
      `${name}: ${row.idle.length + row.attacked.length} honest requests, ${row.others} others, ${SLOW} slow clients (sent away ${row.sentAway} times), ${row.bombs.length} bombs of ${(Math.max(...row.bombs) / 1000).toFixed(1)} s at most\n`,
    );
    process.stdout.write(
      `${table([
        ["", "p50 ms", "p99 ms", "most ms"],
        ["idle", seconds(row.idle, 50), seconds(row.idle, 99), seconds(row.idle, 100)],
        ["under attack", seconds(row.attacked, 50), seconds(row.attacked, 99), seconds(row.attacked, 100)],
      ])}\nRSS ${row.rss.map((mb) => mb.toFixed(0)).join(" → ")} MB\n`,
    );
    for (const [what, holds, seen] of verdicts(row)) {
      if (holds) passed += 1;
      else failed += 1;
      process.stdout.write(`${holds ? "ok  " : "FAIL"} ${name}: ${what}: ${seen}\n`);
    }
  } finally {
    await service.stop();
  }
}
control.stop();
rmSync(folder, { recursive: true });
process.stdout.write(`checks: ${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
