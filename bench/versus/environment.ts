/** On what was measured: without it, no number means anything. */
import { readFile } from "node:fs/promises";
import { arch, cpus, release, totalmem, type } from "node:os";
import process from "node:process";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMB: number;
  readonly os: string;
}

export interface Runtime {
  readonly node: string;
  readonly v8: string;
  /** Version of every rival's package, by name. */
  readonly packages: Readonly<Record<string, string>>;
}

const RIVALS = [
  "onnxruntime-web",
  "@tensorflow/tfjs-core",
  "@tensorflow/tfjs-backend-wasm",
  "onnxruntime-node",
  "sharp",
  "@litertjs/core",
];

export function machine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? "unknown",
    cores: all.length,
    memoryMB: Math.round(totalmem() / 1e6),
    os: `${type()} ${release()} ${arch()}`,
  };
}

export async function runtime(): Promise<Runtime> {
  const versions = RIVALS.map(async (name): Promise<[string, string]> => {
    const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
    return [name, JSON.parse(await readFile(file, "utf8")).version];
  });
  const { node, v8 } = process.versions;
  return { node, v8, packages: Object.fromEntries(await Promise.all(versions)) };
}
