/** What `inspect` announces is what `load` then uses. */
import { describe, expect, it } from "vitest";
import { resnetSpec } from "../src/models/resnet.ts";
import { inspect, load, quantize } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { RUNNABLE } from "./wasm.ts";

const PAGE_BYTES = 65536;
const f32 = goldenCheckpoint(resnetSpec("resnet20"), "bn2");
const gray = { width: 32, height: 32, data: new Uint8Array(32 * 32 * 4).fill(128) };
const int8 = (await quantize(f32, [gray])).bytes;

describe.each(RUNNABLE)("%s", (build) => {
  describe.each([
    ["f32", f32],
    ["int8", int8],
  ] as const)("%s", (_, bytes) => {
    it("uses the build, the vectors and the memory that inspect announces, on every load", async () => {
      const { vectors, memoryBytes, input } = await inspect(bytes, { build });
      const image = {
        data: new Float32Array(input[0] * input[1] * input[2]),
        shape: [1, ...input] as [number, number, number, number],
      };
      for (let i = 0; i < 3; ++i) {
        await using model = await load(bytes, { build });
        await model.logits(image);
        expect([model.build, model.vectors, model.memoryBytes]).toEqual([
          build,
          vectors,
          PAGE_BYTES * Math.ceil(memoryBytes / PAGE_BYTES),
        ]);
      }
    });
  });
});
