/** One image in every shape a caller may have it in. */
import { createReadStream, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeImage } from "../../src/decode/image.ts";
import { BYTE_LIMIT, type ImageInput, toPixels } from "../../src/decode/input.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";

const path = new URL("../../node_modules/baboon-image/baboon.png", import.meta.url).pathname;
const bytes = new Uint8Array(readFileSync(path));
const runtime = nodeRuntime();
const wide = new Uint8Array(bytes.length + 7);
wide.set(bytes, 7);

async function* halves(): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, 1000);
  yield bytes.subarray(1000);
}

describe("the same pixels from", () => {
  it.each([
    ["a path", () => path],
    ["bytes", () => bytes],
    ["an ArrayBuffer", () => bytes.slice().buffer],
    ["a view into a larger buffer", () => new DataView(wide.buffer, 7)],
    ["a Blob", () => new Blob([bytes])],
    ["a File", () => new File([bytes], "baboon.png")],
    ["a response", () => new Response(bytes)],
    ["a web stream", () => new Blob([bytes]).stream()],
    ["a Node stream", () => createReadStream(path)],
    ["an async generator", halves],
  ] as const)("%s", async (_name, make) => {
    const { data } = await toPixels((make as () => ImageInput)(), runtime);
    expect(Buffer.from(data).equals(Buffer.from((await decodeImage(bytes, runtime, "x")).data))).toBe(true);
  });
  it("RGB", async () => {
    const { data } = await toPixels({ width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) }, runtime);
    expect([...data]).toEqual([1, 2, 3, 255, 4, 5, 6, 255]);
  });
  it("RGBA, as it is", async () => {
    const image = { width: 1, height: 1, data: new Uint8ClampedArray([1, 2, 3, 4]) };
    expect(await toPixels(image, runtime)).toBe(image);
  });
});

describe("refuses", () => {
  it("a response that is an error", async () => {
    const response = new Response("no", { status: 404 });
    await expect(toPixels(response, runtime)).rejects.toThrow(/expected a response with an image, got status 404/);
  });
  it("a stream of text", async () => {
    const stream = (async function* () {
      yield "hello" as unknown as Uint8Array;
    })();
    await expect(toPixels(stream, runtime)).rejects.toThrow(/image: expected a stream of bytes, got string/);
  });
  it("a stream without end, at the limit", async () => {
    const chunk = new Uint8Array(64e6);
    let closed = false;
    const stream = (async function* () {
      try {
        for (;;) yield chunk;
      } finally {
        closed = true;
      }
    })();
    await expect(toPixels(stream, runtime)).rejects.toThrow(`image: expected at most ${BYTE_LIMIT / 1e6} MB`);
    expect(closed).toBe(true);
  });
  it("more pixels than the caller allows", async () => {
    await expect(toPixels(bytes, runtime, 1e5)).rejects.toThrow("image: expected at most 0.1 megapixels, got 512×512");
  });
});
