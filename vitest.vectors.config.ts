import { defineConfig } from "vitest/config";

/** The kernels' laws, the goldens and the int8 digests with V8 packing pairs of SIMD operations. */
export default defineConfig({
  test: {
    include: ["kernels-f32", "kernels-i8", "golden", "int8", "logits", "vectors"].map((name) => `test/${name}.test.ts`),
    setupFiles: ["test/with-vectors.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
