/**
 * `npm run fuzz -- [TARGET…] [--minutes N | --count N] [--seed N]`: mutated inputs to the parsers, each target in a process of its own under
 * a watchdog, for so long or so many inputs.
 * `npm run fuzz -- TARGET --replay FILE` runs one input again.
 *
 * An input must be answered in finite numbers or refused by one of the library's errors, within 2 s of processor time and
 * with the process below 1 GB, and leave a valid file answered as before. All together must leave no memory behind. What does not is written to fuzz-failures/.
 * Mutations know the structure of their format; an input that is refused in a new way becomes a seed itself. Jazzer.js, which
 * would follow the code's branches, was tried: 4.0.0 needs glibc 2.38 (Debian 12 has 2.36), older ones download their binary.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { Held } from "./memory.ts";
import { TARGETS } from "./targets.ts";

const OUT = "fuzz-failures";
/** Processor seconds on one input after which its process is ended: it will not come back by itself. */
const HANG_SECONDS = 10;
/** Memory at which its process is ended. */
const KILL_RSS = 1.5e9;
/** What a process may hold more at last than after its first thousands of inputs. A decoder that is kept has 25 MB at most. */
const [LEAK_RSS, LEAK_WASM] = [150e6, 75e6];

interface Finding {
  readonly kind: string;
  readonly signature: string;
  readonly detail: string;
  readonly input?: string;
}
/** What a process has done so far, or when it ended. */
interface Count {
  readonly kind: "progress" | "end";
  readonly cases: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Counts of answers and codes of refusals, by what the target groups its inputs by. */
  readonly groups: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly outcomes: number;
  readonly maxRss: number;
  /** What the process held, from time to time. */
  readonly held: readonly Held[];
}
interface Total {
  /** The last count of each process. */
  readonly processes: Count[];
  readonly findings: Map<string, Finding>;
}

const child = join(import.meta.dirname, "child.ts");
const nodeArgs = ["--expose-gc", "--max-old-space-size=900", child];

/** Processor seconds and memory of a process, where the system tells (Linux). */
function usageOf(pid: number): { readonly seconds: number; readonly rss: number } | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return { seconds: (Number(fields[11]) + Number(fields[12])) / 100, rss: Number(fields[21]) * 4096 };
  } catch {
    return undefined;
  }
}

/** Ends a process that spends its time or memory on one input. Returns why it was ended, once it has. */
function watch(running: ChildProcess, caseFile: string): { readonly reason: () => string | undefined; stop(): void } {
  let reason: string | undefined;
  let last = "";
  let since = 0;
  const timer = setInterval(() => {
    const usage = usageOf(running.pid!);
    if (usage === undefined || !existsSync(caseFile)) return;
    const digest = createHash("sha1").update(readFileSync(caseFile)).digest("hex");
    if (digest !== last) [last, since] = [digest, usage.seconds];
    if (usage.seconds - since > HANG_SECONDS) reason = "hang";
    else if (usage.rss > KILL_RSS) reason = "memory";
    if (reason !== undefined) running.kill("SIGKILL");
  }, 500);
  return { reason: () => reason, stop: () => clearInterval(timer) };
}

interface Limits {
  readonly seconds: number;
  readonly count: number;
}

/** Runs a target until the time is over or so many inputs were run, in as many processes as it takes. */
async function fuzz(name: string, seed: number, limits: Limits, total: Total, scratch: string): Promise<void> {
  const end = performance.now() + 1000 * limits.seconds;
  const missing = (): number => limits.count - casesOf(total.processes);
  for (let round = 0; performance.now() < end - 1000 && missing() > 0; ++round) {
    const caseFile = join(scratch, `${name}-case`);
    rmSync(caseFile, { force: true });
    const left = (end - performance.now()) / 1000;
    const args = [...nodeArgs, name, `${seed + round}`, `${left}`, `${missing()}`, caseFile];
    const running = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    const watchdog = watch(running, caseFile);
    let errors = "";
    running.stderr.on("data", (chunk) => {
      errors = `${errors}${chunk}`.slice(-4000);
    });
    let last: Count = { kind: "progress", cases: 0, counts: {}, groups: {}, outcomes: 0, maxRss: 0, held: [] };
    for await (const line of createInterface(running.stdout)) {
      const report = JSON.parse(line) as Finding | Count;
      if (report.kind === "progress" || report.kind === "end") last = report as Count;
      else found(name, report as Finding, total);
    }
    watchdog.stop();
    if (last.kind === "end") {
      total.processes.push(last);
      const leak = leakOf(last);
      if (leak !== undefined) found(name, { kind: "leak", signature: "leak", detail: leak }, total);
      continue;
    }
    const kind = watchdog.reason() ?? "crash";
    if (!existsSync(caseFile)) throw new Error(`${name}: the process ended before its first input\n${errors}`);
    total.processes.push({ ...last, cases: last.cases + 1, counts: { ...last.counts, [kind]: 1 } });
    const first = errors.split("\n").find((text) => /Error/.test(text)) ?? "";
    const input = readFileSync(caseFile).toString("base64");
    found(name, { kind, signature: `${kind} ${first}`, detail: errors, input }, total);
  }
}

/** Keeps the first input of each kind of finding, and says how to run it again. */
function found(name: string, finding: Finding, total: Total): void {
  if (total.findings.has(finding.signature)) return;
  total.findings.set(finding.signature, finding);
  console.log(`${name}: ${finding.kind}: ${finding.detail.split("\n").slice(0, 6).join("\n  ")}`);
  if (finding.input === undefined) return;
  const bytes = Buffer.from(finding.input, "base64");
  const file = join(OUT, `${name}-${finding.kind}-${createHash("sha256").update(bytes).digest("hex").slice(0, 8)}`);
  mkdirSync(OUT, { recursive: true });
  writeFileSync(file, bytes);
  console.log(`  again: npm run fuzz -- ${name} --replay ${file}`);
}

/** What a process held more at last than at first, where that is too much. */
function leakOf({ held }: Count): string | undefined {
  const [first, last] = [held[0], held.at(-1)];
  const grew = (key: keyof Held): number => (last?.[key] ?? 0) - (first?.[key] ?? 0);
  return grew("rss") > LEAK_RSS || grew("wasm") > LEAK_WASM ? `it ${heldText(held)}` : undefined;
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

function heldText(held: readonly Held[]): string {
  const list = (key: keyof Held): string => held.map((each) => Math.round(each[key] / 1e6)).join(", ");
  return `held ${list("rss")} MB, of which WebAssembly ${list("wasm")}`;
}

/** Some counts, summed by their names. */
function summed(all: readonly Readonly<Record<string, number>>[]): string {
  const counts = new Map<string, number>();
  for (const [name, count] of all.flatMap(Object.entries<number>)) counts.set(name, (counts.get(name) ?? 0) + count);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
}

function linesOf(name: string, { processes }: Total): string {
  const most = (key: "outcomes" | "maxRss"): number => Math.max(...processes.map((each) => each[key]));
  const counts = summed(processes.map((each) => each.counts));
  const memory = `${megabytes(most("maxRss"))} at most`;
  const lines = [`${name.padEnd(12)} ${casesOf(processes)} inputs: ${counts}; ${most("outcomes")} outcomes; ${memory}`];
  for (const group of new Set(processes.flatMap(({ groups }) => Object.keys(groups)))) {
    lines.push(`  ${group}: ${summed(processes.map(({ groups }) => groups[group] ?? {}))}`);
  }
  for (const { held } of processes) if (held.length > 1) lines.push(`  ${heldText(held)}`);
  return lines.join("\n");
}

function casesOf(processes: readonly Count[]): number {
  return processes.reduce((sum, { cases }) => sum + cases, 0);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string" },
    count: { type: "string" },
    seed: { type: "string", default: `${Date.now() % 2 ** 31}` },
    replay: { type: "string" },
  },
});
const names = positionals.length === 0 ? TARGETS.map(({ name }) => name) : positionals;
const unknown = names.find((name) => !TARGETS.some((target) => target.name === name));
if (unknown !== undefined) {
  console.error(`fuzz: expected a target of ${TARGETS.map(({ name }) => name).join(", ")}, got ${unknown}`);
  process.exit(2);
}
if (values.replay !== undefined) {
  const replayed = spawn(process.execPath, [...nodeArgs, names[0]!, "--replay", values.replay], { stdio: "inherit" });
  replayed.on("exit", (code) => process.exit(code ?? 1));
} else {
  const scratch = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "resnet-wasm-fuzz-"));
  const { minutes = values.count === undefined ? 1 : Number.POSITIVE_INFINITY, count = Number.POSITIVE_INFINITY } =
    values;
  const limits: Limits = { seconds: 60 * Number(minutes), count: Number(count) };
  let failed = 0;
  let inputs = 0;
  for (const name of names) {
    const total: Total = { processes: [], findings: new Map() };
    await fuzz(name, Number(values.seed), limits, total, scratch);
    console.log(linesOf(name, total));
    inputs += casesOf(total.processes);
    failed += total.findings.size > 0 ? 1 : 0;
  }
  rmSync(scratch, { recursive: true });
  console.log(`${inputs} inputs, seed ${values.seed}`);
  console.log(`checks: ${names.length - failed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
}
