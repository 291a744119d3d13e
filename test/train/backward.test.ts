/**
 * Every operation's backward, as the kernels compute it, against finite differences of the reference: small networks that
 * hold the operation between a convolution, which sees the gradient of its input, and a classifier.
 */
import { describe, expect, it } from "vitest";
import { type Graph, NO_CLAMP, type Node, RELU, type Shape, windowed } from "../../src/graph.ts";
import { run, type Tape } from "../../src/tape.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { layTraining, planStep, type TrainSpec } from "../../src/train/plan.ts";
import { reference } from "../reference.ts";
import { kernelsOf, RUNNABLE, randomly } from "../wasm.ts";

const BATCH = 3;
const CLASSES = 4;
const INPUT: Shape = [7, 6, 3];
const BASE = { clamp: NO_CLAMP, residual: false } as const;

interface Slide {
  readonly kernel?: readonly [number, number];
  readonly stride?: readonly [number, number];
  readonly dilation?: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
}

function slide(
  from: Node,
  c: number,
  { kernel = [3, 3], stride = [1, 1], dilation = [1, 1], pads = [1, 1, 1, 1] }: Slide,
) {
  const [h, w] = from.shape;
  const shape: Shape = [
    windowed(h, kernel[0], stride[0], dilation[0], pads[0] + pads[2]),
    windowed(w, kernel[1], stride[1], dilation[1], pads[1] + pads[3]),
    c,
  ];
  return { shape, kernel, stride, dilation, pads, inputs: [from.name] };
}

function conv(name: string, from: Node, c: number, more: Slide & { groups?: number; bias?: boolean } = {}): Node {
  const { groups = 1, bias = false } = more;
  return { ...BASE, ...slide(from, c, more), op: "conv", name, channels: from.shape[2], groups, bias };
}

const norm = (name: string, from: Node): Node => ({
  op: "norm",
  name,
  inputs: [from.name],
  shape: from.shape,
  epsilon: 1e-5,
  clamp: NO_CLAMP,
});
const relu = (name: string, from: Node): Node => ({
  op: "clamp",
  name,
  inputs: [from.name],
  shape: from.shape,
  clamp: RELU,
});
const add = (name: string, a: Node, b: Node): Node => ({
  op: "add",
  name,
  inputs: [a.name, b.name],
  shape: a.shape,
  clamp: NO_CLAMP,
});

/** What stands between the first convolution (8 channels) and the pooled classifier. */
type Middle = (before: Node) => readonly Node[];

const convs: Readonly<Record<string, Middle>> = {
  "convolution 3×3": (x) => [conv("op", x, 12)],
  "convolution 3×3 with bias": (x) => [conv("op", x, 5, { bias: true })],
  "convolution 3×3, stride 2": (x) => [conv("op", x, 9, { stride: [2, 2] })],
  "convolution 1×1": (x) => [conv("op", x, 11, { kernel: [1, 1], pads: [0, 0, 0, 0] })],
  "convolution 1×1, stride 2": (x) => [conv("op", x, 6, { kernel: [1, 1], stride: [2, 2], pads: [0, 0, 0, 0] })],
  "convolution 5×2, stride 3×1, uneven padding": (x) => [
    conv("op", x, 4, { kernel: [5, 2], stride: [3, 1], pads: [2, 1, 1, 0] }),
  ],
  "convolution, dilated": (x) => [conv("op", x, 4, { dilation: [2, 2], pads: [2, 2, 2, 2] })],
  "convolution, dilated, stride 2": (x) => [conv("op", x, 4, { stride: [2, 2], dilation: [2, 1], pads: [2, 1, 2, 1] })],
  "convolution without padding": (x) => [conv("op", x, 8, { pads: [0, 0, 0, 0] })],
  "grouped convolution": (x) => [conv("op", x, 12, { groups: 4 })],
  "grouped convolution, stride 2": (x) => [conv("op", x, 6, { groups: 2, stride: [2, 2] })],
  "depthwise convolution": (x) => [conv("op", x, 8, { groups: 8 })],
};

const others: Readonly<Record<string, Middle>> = {
  ReLU: (x) => [relu("op", x)],
  "batch norm": (x) => [norm("op", x)],
  "batch norm and ReLU": (x) => {
    const y = norm("op", x);
    return [y, relu("op.relu", y)];
  },
  "batch norm, residual and ReLU": (x) => {
    const y = conv("op.conv", x, 8);
    const z = norm("op", y);
    const sum = add("op.add", z, x);
    return [y, z, sum, relu("op.relu", sum)];
  },
  "projected residual": (x) => {
    const y = norm("op.bn2", conv("op.conv", x, 8));
    const s = norm("op.downsample.1", conv("op.downsample.0", x, 8));
    const sum = add("op.add", y, s);
    return [conv("op.conv", x, 8), y, conv("op.downsample.0", x, 8), s, sum, relu("op.relu", sum)];
  },
  "pre-activation: a norm whose input has two readers": (x) => {
    const y = norm("op", x);
    const a = relu("op.relu", y);
    const z = conv("op.conv", a, 8);
    return [y, a, z, add("op.add", z, x)];
  },
  "addition of one to itself": (x) => [add("op", x, x)],
  "three readers": (x) => {
    const a = conv("op.a", x, 8);
    const b = add("op.b", a, x);
    const c = relu("op.c", x);
    return [a, b, c, add("op.d", b, c)];
  },
  "max pool": (x) => [pool("maxpool", x, {})],
  "max pool of one that has another reader": (x) => {
    const y = pool("maxpool", x, { stride: [1, 1] });
    return [y, add("op.add", y, x)];
  },
  "average pool": (x) => [pool("avgpool", x, {})],
  "average pool, padding counted": (x) => [{ ...pool("avgpool", x, {}), countPads: true } as Node],
  "shortcut, option A": (x) => {
    const [h, w, c] = x.shape;
    const shape: Shape = [Math.ceil(h / 2), Math.ceil(w / 2), c + 4];
    return [{ op: "shortcut", name: "op", inputs: [x.name], shape, stride: 2, before: 2 }];
  },
};

function pool(op: "maxpool" | "avgpool", from: Node, more: Slide): Node {
  const { dilation: _, ...window } = slide(from, from.shape[2], { stride: [2, 2], ...more });
  return { op, name: "op", ...window, countPads: false, ceil: false };
}

function network(middle: Middle): Graph {
  const input: Node = { op: "input", name: "input", inputs: [], shape: INPUT };
  const pre = conv("pre", input, 8, { kernel: [1, 1], pads: [0, 0, 0, 0], bias: true });
  const between = middle(pre);
  const last = between.at(-1)!;
  const pooled: Node = { op: "globalpool", name: "pool", inputs: [last.name], shape: [1, 1, last.shape[2]] };
  const channels = last.shape[2];
  const fc: Node = { op: "linear", name: "fc", inputs: ["pool"], shape: [1, 1, CLASSES], channels, bias: true };
  return { name: "small", nodes: [input, pre, ...between, pooled, fc] };
}

/** Targets of three images: of one class, mixed of two, and of less weight, smoothed. They need not sum to 1. */
const TARGETS = [0, 0, 1, 0, 0.3, 0, 0, 0.7, 0.02, 0.02, 0.02, 0.44];

const SPEC: TrainSpec = {
  build: "baseline",
  threads: 1,
  trains: () => true,
  live: true,
  winograd: true,
  loss: "cross_entropy",
  optimizer: sgd(),
  decayNorms: true,
  clip: Number.POSITIVE_INFINITY,
  averages: false,
  layerDecay: 1,
};

type Kernel = (heap: DataView, from: number, to: number, ...args: readonly number[]) => void;

function runReference(heap: DataView, tape: Tape): void {
  for (const { kernel, units, args } of tape)
    (reference[kernel as keyof typeof reference] as Kernel)(heap, 0, units, ...args);
}

/** Unit directions tried for each tensor. */
const DIRECTIONS = 2;
const STEP = 1e-3;

async function check(graph: Graph, spec: TrainSpec): Promise<void> {
  const layout = layTraining(graph, spec, BATCH);
  const plan = planStep(layout, BATCH, BATCH, true);
  const forward = plan.compute.slice(0, plan.compute.findIndex(({ kernel }) => kernel === "loss_f32") + 1);
  const pages = Math.ceil(plan.end / 65536);
  const kernels = await kernelsOf(spec.build, pages);
  const random = randomly(5);
  const values = new Float32Array(kernels.memory.buffer);
  for (const [name, { address, shape }] of layout.held) {
    const count = shape.reduce((a, b) => a * b, 1);
    const positive = /\.running_var$/.test(name) || (/\.weight$/.test(name) && shape.length === 1);
    for (let i = 0; i < count; ++i) values[address / 4 + i] = positive ? 1 + random() / 2 : random();
  }
  for (let i = 0; i < BATCH * INPUT[0] * INPUT[1] * INPUT[2]; ++i) values[plan.input / 4 + i] = 2 * random();
  values.set(TARGETS, plan.goals / 4);
  const start = kernels.memory.buffer.slice(0);
  run(kernels.exports, plan.compute);

  const lossAt = (address: number, direction: readonly number[], by: number): number => {
    const heap = new DataView(start.slice(0));
    direction.forEach((d, i) => {
      heap.setFloat32(address + 4 * i, heap.getFloat32(address + 4 * i, true) + by * d, true);
    });
    runReference(heap, forward);
    let loss = 0;
    for (let b = 0; b < BATCH; ++b) loss += heap.getFloat32(plan.losses + 8 * b, true) / BATCH;
    return loss;
  };
  for (const [name, { address, shape, trained }] of layout.held) {
    if (!trained) continue;
    const count = shape.reduce((a, b) => a * b, 1);
    const gradient = values.subarray((address - layout.trained.address + layout.gradients.address) / 4);
    const size = Math.sqrt(gradient.subarray(0, count).reduce((sum, g) => sum + g * g, 0));
    for (let k = 0; k < DIRECTIONS; ++k) {
      const raw = Array.from({ length: count }, random);
      const length = Math.sqrt(raw.reduce((sum, x) => sum + x * x, 0));
      const direction = raw.map((x) => x / length);
      const seen = (lossAt(address, direction, STEP) - lossAt(address, direction, -STEP)) / (2 * STEP);
      const hints = direction.reduce((sum, d, i) => sum + d * gradient[i]!, 0);
      // Losses are rounded to f32: 2⁻²³ each over two steps; curvature and kinks are what remains.
      expect(Math.abs(seen - hints), `${name}: ${hints} against ${seen}`).toBeLessThan(3e-4 + 5e-3 * size);
    }
  }
}

describe.each(RUNNABLE)("%s", (build) => {
  describe.each(["winograd", "direct"])("%s", (way) => {
    it.each(Object.entries(convs))("%s", (_name, middle) =>
      check(network(middle), { ...SPEC, build, winograd: way === "winograd" }),
    );
  });
  describe.each(["live", "frozen"])("%s norms", (norms) => {
    it.each(Object.entries(others))("%s", (_name, middle) =>
      check(network(middle), { ...SPEC, build, live: norms === "live" }),
    );
  });
});

it("a frozen node costs no gradient", () => {
  const graph = network((x) => [conv("op", x, 12), conv("op2", { ...x, name: "op", shape: [7, 6, 12] }, 8)]);
  const labels = (trains: (name: string) => boolean): readonly string[] => {
    const layout = layTraining(graph, { ...SPEC, trains }, BATCH);
    const tape = planStep(layout, BATCH, BATCH, true).compute;
    const loss = tape.findIndex(({ kernel }) => kernel === "loss_f32");
    return [...new Set(tape.slice(loss + 1).map(({ label }) => label))];
  };
  expect(labels(() => true)).toEqual(["fc", "pool", "op2", "op", "pre", "gradients"]);
  expect(labels((name) => name === "fc")).toEqual(["fc", "gradients"]);
  expect(labels((name) => name === "op2" || name === "fc")).toEqual(["fc", "pool", "op2", "gradients"]);
  // Between two trained nodes a gradient passes, but none of its weights is computed.
  const layout = layTraining(graph, { ...SPEC, trains: (name) => name === "pre" }, BATCH);
  const tape = planStep(layout, BATCH, BATCH, true).compute;
  expect(tape.filter(({ kernel, label }) => kernel.startsWith("outer") && label !== "pre")).toEqual([]);
});
