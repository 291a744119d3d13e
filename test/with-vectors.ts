/** Set-up of `npm run test:vectors`: the kernels' laws hold where V8 packs pairs of SIMD operations too. */
import { enableWideVectors } from "../src/runtimes/node-vectors.ts";

if (!enableWideVectors()) throw new Error("expected Node 24 or newer on x86-64, got an engine without wide vectors");
