import { defineConfig } from "vitest/config";
import { ForksPoolWorker, type PoolOptions } from "vitest/node";
import { ARM64_NODE, missingForArm64 } from "./test/runtimes/arm64.ts";

const [qemu, ...node] = ARM64_NODE as [string, ...string[]];

/**
 * Vitest's worker process, under another program. Only Vitest itself has native parts, and it stays on this machine's processor:
 * the worker gets the test files as JavaScript.
 */
class Arm64Worker extends ForksPoolWorker {
  override readonly name = "arm64";
  constructor(options: PoolOptions) {
    // Here and not when this file is read: tools read it that run nothing.
    const missing = missingForArm64();
    if (missing !== undefined) throw new Error(`npm run test:arm64: expected Node for arm64, got none: ${missing}`);
    super({ ...options, execArgv: [...node, ...options.execArgv] });
  }
  /** Vitest's forks `process.execPath` before it awaits anything. */
  override start(): Promise<void> {
    const { execPath } = process;
    process.execPath = qemu;
    const started = super.start();
    process.execPath = execPath;
    return started;
  }
}

/** The kernels' laws, the golden tensors and the int8 digests, one thread and two, in Node for arm64 under QEMU. */
export default defineConfig({
  test: {
    include: ["kernels-f32", "kernels-i8", "golden", "int8"].map((name) => `test/${name}.test.ts`),
    pool: { name: "arm64", createPoolWorker: (options) => new Arm64Worker(options) },
    testTimeout: 300_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
