/** Bytes from a stream: in order and never held, whatever the pieces; a network loaded from one is the same. */
import { describe, expect, it } from "vitest";
import { fromBytes, fromStream } from "../src/bytes.ts";
import { loadWith } from "../src/classifier.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import { nodeRuntime } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";
import { goldenInput } from "./golden/weights.ts";
import { randomly } from "./wasm.ts";

const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 5);

/** A stream of `whole` in pieces; a byte stream where `isBytes`. */
function streamOf(whole: Uint8Array, piece: number, isBytes = false): ReadableStream<Uint8Array> {
  let at = 0;
  const pull = (controller: ReadableStreamDefaultController | ReadableByteStreamController): void => {
    if (at >= whole.length) {
      controller.close();
      (controller as ReadableByteStreamController).byobRequest?.respond(0);
      return;
    }
    controller.enqueue(whole.slice(at, at + piece));
    at += piece;
  };
  return (
    isBytes ? new ReadableStream({ type: "bytes", pull }) : new ReadableStream({ pull })
  ) as ReadableStream<Uint8Array>;
}

describe.each([
  ["pieces", false],
  ["bytes", true],
])("a stream of %s", (_, isBytes) => {
  it.each([1000, 65_537, 400_000])("%i long gives the same bytes in order, with jumps and back", async (piece) => {
    for (const size of [bytes.length, undefined]) {
      const source = fromStream("x", streamOf(bytes, piece, isBytes), size);
      for (const [offset, length] of [
        [0, 512],
        [0, 8],
        [8, 3000],
        [5000, 100],
        [4000, 1000],
        [3008, 992],
        [5100, 250_000],
      ] as const) {
        expect(Buffer.compare(await source.read(offset, length), bytes.subarray(offset, offset + length))).toBe(0);
      }
      await source.close();
    }
  });
  it("fills the memory it is given", async () => {
    const source = fromStream("x", streamOf(bytes, 999, isBytes), bytes.length);
    const into = new Uint8Array(100_000);
    expect(await source.read(2000, into.length, into)).toBe(into);
    expect(into).toEqual(bytes.subarray(2000, 102_000));
  });
  it("loads a network that answers as the file does", async () => {
    const file = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" });
    const image = { data: goldenInput([1, 32, 32, 3]), shape: [1, 32, 32, 3] as const };
    const results = [];
    for (const source of [fromBytes("f", file), fromStream("f", streamOf(file, 10_000, isBytes))]) {
      const model = await loadWith(nodeRuntime(), source);
      results.push((await model.logits(image)).data);
      await model.dispose();
    }
    expect(results[1]).toEqual(results[0]);
  });
});

describe("refuses", () => {
  it("a stream that ends early, known to be longer or not", async () => {
    for (const size of [bytes.length + 1, undefined]) {
      const source = fromStream("x", streamOf(bytes, 999), size);
      await expect(source.read(299_000, 1001)).rejects.toThrow("x: expected at least 300001 bytes, got 300000");
    }
  });
  it("bytes beyond a known end", async () => {
    const source = fromStream("x", streamOf(bytes, 999), bytes.length);
    await expect((async () => source.read(bytes.length, 1))()).rejects.toThrow("at least 300001 bytes");
  });
  it("bytes that were read already", async () => {
    const source = fromStream("x", streamOf(bytes, 999));
    await source.read(2000, 500);
    await expect(source.read(2100, 10)).rejects.toThrow("not read yet");
  });
  it("to keep more than its share of what is passed over", async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 16)),
    });
    await expect(fromStream("x", endless).read(20 * 2 ** 20, 1)).rejects.toThrow("in the order of the stream");
  });
  it("to make room for a length that only the stream claims", async () => {
    await expect(fromStream("x", streamOf(bytes, 999)).read(0, 2 ** 40)).rejects.toThrow("got 300000");
  });
  it("what is no stream of bytes", async () => {
    const words = new ReadableStream({ pull: (controller) => controller.enqueue("word") });
    await expect(fromStream("x", words).read(0, 4)).rejects.toThrow(TypeError);
  });
  it("a network's file that is cut short, wherever", async () => {
    const file = goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" });
    const random = randomly(3);
    for (let i = 0; i < 20; ++i) {
      const cut = file.slice(0, Math.floor((random() * 0.49 + 0.5) * file.length));
      await expect(loadWith(nodeRuntime(), fromStream("f", streamOf(cut, 70_000)))).rejects.toThrow("ended early");
    }
  });
});
