/** On what something was measured: two results compare only where this agrees. */
import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";
import process from "node:process";

export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMB: number;
  readonly os: string;
  readonly runtime: string;
  readonly version: string;
  /** Processes that wanted a core in the minute before: above 0 the machine was not ours alone. */
  readonly loadBefore: number;
  readonly date: string;
}

/** The environment of this process, now. */
export function environment(): Environment {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const { node, v8, bun, deno } = process.versions as Record<string, string | undefined>;
  const runtime = deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryMB: Math.round(totalmem() / 1e6),
    os: `${type()} ${release()} ${arch()}`,
    runtime: v8 === undefined ? runtime : `${runtime}, V8 ${v8}`,
    version,
    loadBefore: loadavg()[0]!,
    date: new Date().toISOString(),
  };
}
