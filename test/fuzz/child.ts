/**
 * One target's cases, in a process of its own: `child.ts TARGET SEED SECONDS COUNT CASE_FILE`, or `child.ts TARGET --replay FILE`.
 * Each input is written to CASE_FILE before it is run, so that it outlives a crash. Prints a JSON line for each finding, and
 * one at the end.
 */

import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import * as errors from "../../src/errors.ts";
import { DivergedError } from "../../src/errors.ts";
import { HttpError } from "../../src/server/refusal.ts";
import { mutateBytes } from "./bytes.ts";
import { type Held, watchMemory } from "./memory.ts";
import { type Random, randomOf } from "./random.ts";
import type { Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

/** Processor time that one input may take. */
const LIMIT_MS = 2000;
/** Memory that the process may have had at any time. */
export const LIMIT_RSS = 1e9;
/** Memory at which the collector is asked to work before the next input, so that the limit is about one input. */
const COLLECT_RSS = 350e6;
/** Inputs between two checks that a valid file is still answered right. */
const PRISTINE_EVERY = 500;
/** Inputs between two looks at what the process holds. */
const HELD_EVERY = 10_000;
const MAX_CORPUS = 200;
const MAX_INPUT = 1 << 21;

/** The library's own errors. */
const TYPED: readonly unknown[] = [...Object.values(errors), HttpError, DivergedError];
const isTyped = (error: unknown): boolean =>
  TYPED.some((type) => typeof type === "function" && type.prototype instanceof Error && error instanceof type);

const isTrap = (cause: unknown): boolean => cause instanceof WebAssembly.RuntimeError || cause instanceof TypeError;

/** What one input did: it was answered, refused in a typed way, or something is wrong. */
interface Outcome {
  readonly kind: "answered" | "refused" | "untyped" | "not-finite" | "slow" | "memory" | "pristine";
  /** Alike for inputs that do the same: of refusals, their code and the message's shape. */
  readonly signature: string;
  readonly detail: string;
  /** Of a refusal, its error's. */
  readonly code?: string;
}

/** Message without what differs between inputs. */
function shapeOf(message: string): string {
  return message
    .replace(/"[^"]*"/g, '""')
    .replace(/begins (?:[0-9a-f]{2} ?)+/, "begins")
    .replace(/-?\d[\d.e+]*/g, "0")
    .slice(0, 160);
}

function frameOf(error: Error): string {
  const own = (error.stack ?? "").split("\n").find((line) => /\/(?:src|assembly)\//.test(line)) ?? "";
  return own.replace(/^.*\/(src\/[^)]*?):\d+\)?$/, "$1").trim();
}

function causeOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? `\n${error.cause.stack}` : "";
}

/** One input; again when it took too long, since the first run may have paid for the compiler or the collector. */
async function outcomeOf(target: Target, bytes: Uint8Array): Promise<Outcome> {
  const outcome = await runOnce(target, bytes);
  return outcome.kind === "slow" ? runOnce(target, bytes) : outcome;
}

async function runOnce(target: Target, bytes: Uint8Array): Promise<Outcome> {
  const before = process.cpuUsage();
  let outcome: Outcome;
  try {
    const answer = await target.run(bytes);
    const at = Array.prototype.findIndex.call(answer, (value: number) => !Number.isFinite(value));
    if (at < 0) outcome = { kind: "answered", signature: "answered", detail: "" };
    else outcome = { kind: "not-finite", signature: "not-finite", detail: `number ${at} of the answer: ${answer[at]}` };
  } catch (error) {
    const { name, message, code = "" } = error as Error & { code?: string };
    // A decoder that trapped is refused as a broken file; here it is what it is.
    const typed = isTyped(error) && !isTrap((error as Error).cause);
    const where = typed ? "" : ` at ${error instanceof Error ? frameOf(error) : "nowhere"}`;
    outcome = {
      kind: typed ? "refused" : "untyped",
      signature: `${name} ${code} ${typed ? shapeOf(`${message}`) : where}`,
      detail: typed
        ? `${name} (${code}): ${message}`
        : `${error instanceof Error ? error.stack : error}${causeOf(error)}`,
      code,
    };
  }
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  if (outcome.kind === "answered" || outcome.kind === "refused") {
    if (ms > LIMIT_MS)
      return {
        kind: "slow",
        signature: `slow ${outcome.signature}`,
        detail: `${Math.round(ms)} ms; ${outcome.detail}`,
      };
    const rss = 1024 * process.resourceUsage().maxRSS;
    if (rss > LIMIT_RSS)
      return { kind: "memory", signature: "memory", detail: `${Math.round(rss / 1e6)} MB; ${outcome.detail}` };
  }
  return outcome;
}

async function mutant(
  target: Target,
  seeds: readonly Uint8Array[],
  found: readonly Uint8Array[],
  random: Random,
): Promise<Uint8Array> {
  // Most begin from a valid input: what was refused once is mostly refused again.
  let bytes = random.pick(found.length > 0 && random.oneIn(3) ? found : seeds);
  for (let rounds = random.oneIn(2) ? 1 + random.below(3) : 1; rounds > 0; --rounds) {
    bytes = await random.pick([mutateBytes, ...target.mutators])(bytes, random);
  }
  return bytes.length > MAX_INPUT ? bytes.subarray(0, MAX_INPUT) : bytes;
}

const digestOf = (numbers: ArrayLike<number>): string =>
  createHash("sha256")
    .update(JSON.stringify(Array.from(numbers)))
    .digest("hex");

/** Fuzzes until the time is over, or so many inputs were run. */
async function fuzz(target: Target, seed: number, seconds: number, most: number, caseFile: string): Promise<void> {
  const look = watchMemory();
  const held: Held[] = [];
  const seeds = await target.seeds();
  const pristine = digestOf(await target.run(seeds[0]!));
  for (const each of seeds) await target.run(each).catch(() => {});
  const random = randomOf(seed);
  const corpus: Uint8Array[] = [];
  const seen = new Set<string>();
  const counts: Record<string, number> = {};
  const groups: Record<string, Record<string, number>> = {};
  const file = openSync(caseFile, "w");
  let current: Uint8Array = seeds[0]!;
  const report = (outcome: Outcome, bytes: Uint8Array): void => {
    const first = !seen.has(outcome.signature);
    seen.add(outcome.signature);
    counts[outcome.kind] = (counts[outcome.kind] ?? 0) + 1;
    if (target.group !== undefined) {
      const name = target.group(bytes);
      const key = outcome.kind === "refused" ? outcome.code! : outcome.kind;
      groups[name] = { ...groups[name], [key]: (groups[name]?.[key] ?? 0) + 1 };
    }
    if (outcome.kind === "answered" || outcome.kind === "refused") {
      // What is refused in a new way got further than others: more is made of it.
      if (first && corpus.length < MAX_CORPUS && bytes.length < 1 << 17) corpus.push(bytes.slice());
    } else if (first) print({ ...outcome, input: Buffer.from(bytes).toString("base64") });
  };
  process.on("unhandledRejection", (reason) => {
    const detail = `unhandled: ${reason instanceof Error ? reason.stack : reason}`;
    report({ kind: "untyped", signature: `unhandled ${shapeOf(`${reason}`)}`, detail }, current);
  });
  const end = performance.now() + 1000 * seconds;
  let cases = 0;
  const count = (kind: "progress" | "end"): void =>
    print({ kind, cases, counts, groups, outcomes: seen.size, maxRss: 1024 * process.resourceUsage().maxRSS, held });
  let counted = performance.now();
  for (; performance.now() < end && cases < most; ++cases) {
    current = await mutant(target, seeds, corpus, random);
    ftruncateSync(file, 0);
    writeSync(file, current, 0, current.length, 0);
    if (process.memoryUsage.rss() > COLLECT_RSS) globalThis.gc?.();
    const outcome = await outcomeOf(target, current);
    report(outcome, current);
    if (outcome.kind === "memory") break;
    if (cases % PRISTINE_EVERY === PRISTINE_EVERY - 1) {
      const now = await target.run(seeds[0]!).then(digestOf, String);
      if (now !== pristine) report({ kind: "pristine", signature: "pristine", detail: now }, current);
    }
    if (cases % HELD_EVERY === HELD_EVERY - 1) held.push(await look());
    // Timers and rejections get their turn.
    if (performance.now() - counted > 500) {
      count("progress");
      counted = performance.now();
    }
    if (cases % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  closeSync(file);
  count("end");
}

function print(line: unknown): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

const [name, ...rest] = process.argv.slice(2);
const target = TARGETS.find((each) => each.name === name)!;
if (rest[0] === "--replay") {
  await target.run((await target.seeds())[0]!);
  print(await outcomeOf(target, new Uint8Array(readFileSync(rest[1]!))));
} else await fuzz(target, Number(rest[0]), Number(rest[1]), Number(rest[2]), rest[3]!);
process.exit(0);
