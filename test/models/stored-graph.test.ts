/** A graph in a file's metadata: one test for each way in which a field can be wrong, and random ones. */
import { describe, expect, it } from "vitest";
import { ModelError } from "../../src/errors.ts";
import type { Graph } from "../../src/graph.ts";
import { graphToJson } from "../../src/models/metadata.ts";
import { resnet, resnetSpec } from "../../src/models/resnet.ts";
import { graphFromJson } from "../../src/models/stored-graph.ts";
import { randomly } from "../wasm.ts";

const GRAPHS = [
  resnet("basic", { ...resnetSpec("resnet20"), depths: [1, 1], width: 8 }),
  resnet("gates", { ...resnetSpec("seresnet50"), depths: [1, 1], width: 16 }, [64, 48, 3]),
  resnet("pools", { ...resnetSpec("resnet50d"), depths: [1, 1], width: 16 }, [64, 64, 1]),
];
const read = (value: unknown): Graph => graphFromJson("file", value);
type Stored = { name: string; nodes: Record<string, unknown>[] };
const stored = (graph = GRAPHS[0]!): Stored => JSON.parse(graphToJson(graph));

describe("a graph in metadata", () => {
  it.each(GRAPHS)("$name comes back as it was", (graph) => expect(read(stored(graph))).toEqual(graph));

  const conv = (graph: Stored) => graph.nodes.find(({ op }) => op === "conv")!;
  it.each<[string, (graph: Stored) => void, RegExp]>([
    [
      "one stride for two axes",
      (graph) => Object.assign(conv(graph), { stride: [1] }),
      /"conv1", stride: .* got \[1\]/,
    ],
    ["a stride of 0", (graph) => Object.assign(conv(graph), { stride: [0, 1] }), /stride/],
    ["a stride that is a text", (graph) => Object.assign(conv(graph), { stride: ["1", "1"] }), /stride/],
    ["no kernel", (graph) => Reflect.deleteProperty(conv(graph), "kernel"), /kernel: .* got nothing/],
    ["a kernel of 1e9", (graph) => Object.assign(conv(graph), { kernel: [1e9, 3] }), /kernel/],
    ["three pads", (graph) => Object.assign(conv(graph), { pads: [1, 1, 1] }), /pads/],
    ["groups that do not divide", (graph) => Object.assign(conv(graph), { groups: 2 }), /groups/],
    ["other channels than its input's", (graph) => Object.assign(conv(graph), { channels: 4 }), /channels: expected 3/],
    [
      "a shape that is not its own",
      (graph) => Object.assign(conv(graph), { shape: [31, 32, 8] }),
      /shape: expected \[32, 32, 8\]/,
    ],
    ["an epsilon below 0", (graph) => Object.assign(graph.nodes[2]!, { epsilon: -1 }), /epsilon/],
    ["bounds the wrong way round", (graph) => Object.assign(graph.nodes[3]!, { clamp: [1, 0] }), /clamp/],
    ["a bound that is NaN", (graph) => Object.assign(graph.nodes[3]!, { clamp: [null, 1] }), /clamp/],
    ["a node of no kind", (graph) => Object.assign(conv(graph), { op: "constructor" }), /op: expected one of/],
    ["two inputs", (graph) => Object.assign(graph.nodes[1]!, { op: "input", inputs: [] }), /op: expected one input/],
    [
      "an input from later",
      (graph) => Object.assign(conv(graph), { inputs: ["fc"] }),
      /inputs: expected 1 nodes before/,
    ],
    ["a name twice", (graph) => Object.assign(graph.nodes[2]!, { name: "conv1" }), /name: expected a name of its own/],
    ["images of four channels", (graph) => Object.assign(graph.nodes[0]!, { shape: [32, 32, 4] }), /1 or 3 channels/],
    ["no nodes", (graph) => Object.assign(graph, { nodes: [] }), /expected nodes/],
    ["an image at its end", (graph) => graph.nodes.splice(2), /one pixel of classes/],
  ])("with %s is refused", (_, change, message) => {
    const graph = stored();
    change(graph);
    expect(() => read(graph)).toThrow(ModelError);
    expect(() => read(graph)).toThrow(message);
  });

  it("with random values in random fields is a graph or a ModelError, and what is read reads again", () => {
    const random = randomly(5);
    const at = (count: number): number => Math.min(count - 1, Math.floor(((random() + 1) / 2) * count));
    const values = [
      0,
      -1,
      1,
      2,
      3,
      7,
      1e9,
      1.5,
      null,
      "x",
      "Infinity",
      [],
      {},
      [1],
      [1, 1],
      [0, 0, 0, 0],
      true,
      "conv1",
      2 ** 53,
    ];
    let good = 0;
    for (let round = 0; round < 5000; ++round) {
      const graph = stored(GRAPHS[round % GRAPHS.length]);
      const node = graph.nodes[at(graph.nodes.length)]!;
      const keys = Object.keys(node);
      node[keys[at(keys.length)]!] = values[at(values.length)];
      try {
        const result = read(graph);
        expect(read(JSON.parse(graphToJson(result)))).toEqual(result);
        good += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(ModelError);
      }
    }
    expect(good).toBeGreaterThan(50);
    expect(good).toBeLessThan(4000);
  });
});
