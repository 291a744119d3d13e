/**
 * The kernel laws, over every kernel and awkward shapes:
 * 1. equals the reference within a bound computed from the depth of the sum
 * 2. any split of the range gives the same bytes as the whole
 * 3. writes nothing outside its output (and its scratch)
 * 4. both builds agree, within twice the bound of law 1
 */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { BUILDS, type Kernels } from "../src/kernels.ts";
import { STATIC_BYTES } from "../src/plan.ts";
import { type KernelName, runStep, SCRATCH_ARG, type Step, step } from "../src/tape.ts";
import { VARIANTS } from "../src/variants.ts";
import { reference } from "./reference.ts";
import { referenceI8 } from "./reference-i8.ts";
import { kernelsOf, RUNNABLE, randomly } from "./wasm.ts";

const PAGES = 24;
const HALF_ULP = 2 ** -24;

/** Lays out one kernel call in memory. */
class Layout {
  free = STATIC_BYTES;
  readonly writable: { address: number; bytes: number }[] = [];
  readonly #inputs: { address: number; values: ArrayLike<number> }[] = [];
  readonly #random: () => number;
  /** An upper bound of |kernel − reference|. */
  bound = 0;
  output = { address: 0, count: 0 };

  constructor(seed: number) {
    this.#random = randomly(seed);
  }
  #take(bytes: number): number {
    const address = this.free;
    // A gap of 100 bytes, so that a kernel that strays meets a canary.
    this.free = Math.ceil((address + bytes + 100) / 16) * 16;
    return address;
  }
  random(count: number): number {
    const address = this.#take(4 * count);
    this.#inputs.push({ address, values: Float32Array.from({ length: count }, this.#random) });
    return address;
  }
  zeros(count: number): number {
    const address = this.#take(4 * count);
    this.#inputs.push({ address, values: new Float32Array(count) });
    return address;
  }
  bytes(values: Uint8Array): number {
    const address = this.#take(values.length);
    this.#inputs.push({ address, values });
    return address;
  }
  out(count: number): number {
    const address = this.#take(4 * count);
    this.output = { address, count };
    this.writable.push({ address, bytes: 4 * count });
    return address;
  }
  scratch(bytes: number): number {
    const address = this.#take(bytes);
    this.writable.push({ address, bytes });
    return address;
  }
  /** Canaries everywhere (what no kernel writes then compares equal), then the inputs. */
  fill(memory: WebAssembly.Memory): void {
    const bytes = new Uint8Array(memory.buffer);
    for (let i = STATIC_BYTES; i < bytes.length; ++i) bytes[i] = (i * 37 + 11) & 255;
    for (const { address, values } of this.#inputs) {
      const target = values instanceof Uint8Array ? bytes : new Float32Array(memory.buffer);
      target.set(values, values instanceof Uint8Array ? address : address / 4);
    }
  }
}

type Case = readonly [name: string, make: (layout: Layout) => Step];

const panelBytes = (cells: number): number => (cells + 1) * 32;
const boundOf = (depth: number): number => (depth + 4) * depth * HALF_ULP;

const gemms: Case[] = [1, 2, 3, 4, 5, 6].flatMap((mr) =>
  (
    [
      [1, 1, 1, 1],
      [mr, 8, 3, 1],
      [mr + 1, 9, 5, 1],
      [2 * mr - 1, 7, 16, 2],
      [2 * mr + 3, 24, 31, 3],
      [29, 10, 64, 1],
    ] as const
  ).flatMap(([m, n, k, groups]) =>
    [false, true].map(
      (residual): Case => [
        `${mr} rows: ${m}×${n}×${k}, ${groups} groups${residual ? ", residual" : ""}`,
        (l) => {
          const mc = 2 * mr;
          const [lda, ldo] = [groups * k + 3, groups * n + 5];
          const perGroup = Math.ceil(n / 8);
          const a = l.random(m * lda);
          const panels = l.random((groups * perGroup * panelBytes(k)) / 4);
          const other = residual ? l.random(m * ldo) : 0;
          const scratch = l.scratch(192 + 4 * mc);
          l.bound = boundOf(k + 2);
          const out = l.out(m * ldo);
          const units = Math.ceil(m / mc) * groups * perGroup;
          return step(
            "",
            "gemm_f32",
            units,
            mr,
            mc,
            m,
            n,
            k,
            groups,
            lda,
            ldo,
            a,
            panels,
            other,
            out,
            scratch,
            -0.5,
            1e9,
          );
        },
      ],
    ),
  ),
);

const convs: Case[] = [3, 4, 6].flatMap((mr) =>
  (
    [
      // batch h w c n kernel stride dilation pad groups
      [1, 5, 7, 4, 8, 3, 1, 1, 1, 1],
      [2, 7, 5, 16, 9, 3, 2, 1, 1, 1],
      [1, 9, 9, 8, 16, 3, 1, 2, 2, 2],
      [1, 8, 8, 32, 32, 3, 2, 1, 1, 8],
      [3, 4, 4, 5, 3, 1, 2, 1, 0, 1],
      [1, 3, 3, 2, 11, 5, 1, 1, 4, 1],
    ] as const
  ).map(
    ([batch, h, w, c, n, k, s, d, p, groups]): Case => [
      `${mr} rows: ${batch}×${h}×${w}×${c} → ${n}, ${k}×${k} stride ${s} dilation ${d} pad ${p}, ${groups} groups`,
      (l) => {
        const mc = 3 * mr;
        const oh = Math.floor((h + 2 * p - d * (k - 1) - 1) / s) + 1;
        const ow = Math.floor((w + 2 * p - d * (k - 1) - 1) / s) + 1;
        const perGroup = Math.ceil(n / groups / 8);
        const cells = (k * k * c) / groups;
        const input = l.random(batch * h * w * c);
        const panels = l.random((groups * perGroup * panelBytes(cells)) / 4);
        const residual = l.random(batch * oh * ow * n);
        const zeros = l.zeros(c);
        const scratch = l.scratch(192 + 4 * k * k * mc);
        l.bound = boundOf(cells + 2);
        const out = l.out(batch * oh * ow * n);
        const units = Math.ceil((batch * oh * ow) / mc) * groups * perGroup;
        return step(
          ...(["", "conv_f32", units, mr, mc, batch, h, w, c, oh, ow, n, k, k, s, s, d, d, p, p, groups] as const),
          ...([input, panels, residual, zeros, out, scratch, -0.5, 2] as const),
        );
      },
    ],
  ),
);

const im2cols: Case[] = [3, 4, 6].flatMap((mr) =>
  (
    [
      // batch h w c n kh kw stride top left bottom right
      [1, 14, 14, 3, 64, 7, 7, 2, 3, 3, 3, 3],
      [2, 6, 9, 1, 5, 3, 2, 1, 0, 1, 2, 0],
      [1, 5, 5, 4, 8, 3, 3, 2, 1, 1, 1, 1],
      [1, 3, 4, 32, 10, 1, 1, 1, 0, 0, 0, 0],
      [1, 2, 2, 3, 8, 5, 5, 1, 4, 4, 4, 4],
    ] as const
  ).map(
    ([batch, h, w, c, n, kh, kw, s, top, left, bottom, right]): Case => [
      `${mr} rows: ${batch}×${h}×${w}×${c} → ${n}, ${kh}×${kw} stride ${s}`,
      (l) => {
        const mc = 2 * mr;
        const oh = Math.floor((h + top + bottom - kh) / s) + 1;
        const ow = Math.floor((w + left + right - kw) / s) + 1;
        const input = l.random(batch * h * w * c);
        const panels = l.random((Math.ceil(n / 8) * panelBytes(kh * kw * c)) / 4);
        const scratch = l.scratch(192 + 4 * mc * (1 + kh * kw * c));
        l.bound = boundOf(kh * kw * c + 2);
        const out = l.out(batch * oh * ow * n);
        const units = Math.ceil((batch * oh * ow) / mc) * Math.ceil(n / 8);
        return step(
          ...(["", "im2col_f32", units, mr, mc, batch, h, w, c, oh, ow, n, kh, kw, s, s, top, left] as const),
          ...([input, panels, 0, out, scratch, 0, 6] as const),
        );
      },
    ],
  ),
);

const pools = (kernel: "maxpool_f32" | "avgpool_f32"): Case[] =>
  (
    [
      [1, 8, 8, 8, 3, 3, 2, 1],
      [2, 7, 5, 6, 2, 3, 1, 1],
      [1, 4, 4, 3, 2, 2, 2, 0],
      [1, 1, 9, 1, 1, 3, 2, 0],
    ] as const
  ).flatMap(([batch, h, w, c, kh, kw, s, p]) =>
    (kernel === "avgpool_f32" ? [0, 1] : [0]).map(
      (whole): Case => [
        `${batch}×${h}×${w}×${c}, ${kh}×${kw} stride ${s} pad ${p}${whole === 1 ? ", padding counted" : ""}`,
        (l) => {
          const oh = Math.floor((h + 2 * p - kh) / s) + 1;
          const ow = Math.floor((w + 2 * p - kw) / s) + 1;
          const input = l.random(batch * h * w * c);
          const out = l.out(batch * oh * ow * c);
          l.bound = kernel === "maxpool_f32" ? 0 : boundOf(kh * kw + 1);
          const sizes = [h, w, c, oh, ow, kh, kw, s, s, p, p] as const;
          return kernel === "maxpool_f32"
            ? step("", kernel, batch * oh, ...sizes, input, out)
            : step("", kernel, batch * oh, ...sizes, whole, input, out);
        },
      ],
    ),
  );

/** Sizes of the images that Winograd's patches are cut from: whole patches, and not. */
const PATCHED = [
  // batch h w channels padding first count
  [1, 8, 8, 4, 1, 0, undefined],
  [2, 7, 5, 8, 1, 1, 3],
  [1, 3, 10, 4, 0, 0, undefined],
  [1, 1, 1, 12, 1, 0, undefined],
] as const;

const winogradInputs = (o: 2 | 4): Case[] =>
  PATCHED.map(([batch, h, w, c, pad, first, some]) => [
    `${batch}×${h}×${w}×${c}, padding ${pad}, from patch ${first}`,
    (l) => {
      const positions = (o + 2) ** 2;
      const [ty, tx] = [Math.ceil((h + 2 * pad - 2) / o), Math.ceil((w + 2 * pad - 2) / o)];
      const count = some ?? batch * ty * tx;
      const sizes = [batch, h, w, c, ty, tx, pad, pad, first] as const;
      const [input, zeros, scratch] = [l.random(batch * h * w * c), l.zeros(c), l.scratch(positions * 20)];
      // Sums of |Bᵀ| rows: 10 for F(4), 2 for F(2), twice.
      l.bound = boundOf(o === 4 ? 14 : 5) * 2;
      const out = l.out(count * positions * c);
      return step("", `winograd${o}_input_f32`, count, ...sizes, input, zeros, out, scratch);
    },
  ]);

const winogradOutputs = (o: 2 | 4): Case[] =>
  PATCHED.flatMap(([batch, h, w, n, pad, first, some]) =>
    [false, true].map(
      (residual): Case => [
        `${batch}×${h}×${w}×${n}, padding ${pad}, from patch ${first}${residual ? ", residual" : ""}`,
        (l) => {
          const positions = (o + 2) ** 2;
          const [oh, ow] = [h + 2 * pad - 2, w + 2 * pad - 2];
          const [ty, tx] = [Math.ceil(oh / o), Math.ceil(ow / o)];
          const count = some ?? batch * ty * tx;
          const products = l.random(count * positions * n);
          const other = residual ? l.random(batch * oh * ow * n) : 0;
          const scratch = l.scratch(positions * 20);
          // Sums of |Aᵀ| rows: 19 for F(4), 3 for F(2); twice.
          l.bound = HALF_ULP * (o === 4 ? 19 ** 2 * 16 : 9 * 8);
          const out = l.out(batch * oh * ow * n);
          const sizes = [oh, ow, n, ty, tx, first] as const;
          return step("", `winograd${o}_output_f32`, count, ...sizes, products, other, out, scratch, -1, 1e9);
        },
      ],
    ),
  );

const winogradWeights = (o: 2 | 4): Case[] =>
  (
    [
      [8, 3, "oihw"],
      [5, 4, "hwio"],
      [17, 2, "oihw"],
    ] as const
  ).map(([n, c, order]) => [
    `${c} → ${n}, ${order}`,
    (l) => {
      const [so, si, sv, su] = order === "oihw" ? [c * 9, 9, 3, 1] : [1, n, 3 * c * n, c * n];
      l.bound = boundOf(2);
      const sources = [l.random(n * c * 9), l.random(n), l.random(n)] as const;
      const out = l.out(((o + 2) ** 2 * Math.ceil(n / 8) * panelBytes(c)) / 4);
      return step("", `winograd${o}_weights_f32`, Math.ceil(n / 8), n, c, so!, si!, sv!, su!, ...sources, out);
    },
  ]);

const CASES: Partial<Record<KernelName, readonly Case[]>> & {
  readonly [K in keyof typeof reference]: readonly Case[];
} = {
  gemm_f32: gemms,
  conv_f32: convs,
  im2col_f32: im2cols,
  maxpool_f32: pools("maxpool_f32"),
  avgpool_f32: pools("avgpool_f32"),
  globalpool_f32: [1, 15, 16, 17, 40].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(8);
      return step("", "globalpool_f32", 2 * Math.ceil(c / 16), 7, c, l.random(2 * 7 * c), l.out(2 * c));
    },
  ]),
  norm_f32: [1, 3, 4, 5, 17].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(2);
      return step("", "norm_f32", 5, c, l.random(5 * c), l.random(2 * c), l.out(5 * c), 0, 0.75);
    },
  ]),
  clamp_f32: [1, 3, 4, 7].map((c) => [
    `${c} channels`,
    (l) => step("", "clamp_f32", 5, c, l.random(5 * c), l.out(5 * c), -0.25, 0.5),
  ]),
  add_f32: [1, 3, 4, 7].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(1);
      return step("", "add_f32", 5, c, l.random(5 * c), l.random(5 * c), l.out(5 * c), 0, 1);
    },
  ]),
  shortcut_f32: [
    [4, 4, 16, 32, 2, 8],
    [5, 3, 3, 8, 2, 2],
    [2, 2, 4, 4, 1, 0],
  ].map(([h, w, c, n, s, before]) => [
    `${h}×${w}×${c} → ${n}, stride ${s}`,
    (l) => {
      const [oh, ow] = [Math.ceil(h! / s!), Math.ceil(w! / s!)];
      const input = l.random(2 * h! * w! * c!);
      return step("", "shortcut_f32", 2 * oh, h!, w!, c!, oh, ow, n!, s!, before!, input, l.out(2 * oh * ow * n!));
    },
  ]),
  gate_f32: [1, 3, 4, 7].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(1);
      return step("", "gate_f32", 6, 3, c, l.random(6 * c), l.random(2 * c), l.out(6 * c));
    },
  ]),
  sigmoid_f32: [1, 3, 8].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = 1e-6;
      return step("", "sigmoid_f32", 5, c, l.random(5 * c), l.out(5 * c));
    },
  ]),
  softmax_f32: [1, 2, 10, 1000].map((n) => [
    `${n} classes`,
    (l) => {
      l.bound = 1e-6;
      return step("", "softmax_f32", 3, n, l.random(3 * n), l.out(3 * n));
    },
  ]),
  pack_f32: (
    [
      [8, 3, 3, 3, 1, "oihw"],
      [5, 2, 1, 1, 2, "oihw"],
      [17, 4, 3, 3, 1, "hwio"],
      [10, 7, 1, 1, 1, "hwio"],
    ] as const
  ).map(([n, c, kh, kw, groups, order]) => [
    `${groups} groups of ${c} → ${n}, ${kh}×${kw}, ${order}`,
    (l) => {
      const [so, si, sv, su] = order === "oihw" ? [c * kh * kw, kh * kw, kw, 1] : [1, n, kw * c * n, c * n];
      const units = groups * Math.ceil(n / 8);
      l.bound = boundOf(1);
      const all = groups * n;
      return step(
        ...(["", "pack_f32", units, n, c, kh, kw, so!, si!, sv!, su!] as const),
        ...([l.random(all * c * kh * kw), l.random(all), l.random(all)] as const),
        l.out((units * panelBytes(kh * kw * c)) / 4),
      );
    },
  ]),
  winograd2_input_f32: winogradInputs(2),
  winograd4_input_f32: winogradInputs(4),
  winograd2_output_f32: winogradOutputs(2),
  winograd4_output_f32: winogradOutputs(4),
  winograd2_weights_f32: winogradWeights(2),
  winograd4_weights_f32: winogradWeights(4),
  // Its units go on from one another, so a split range gives the bytes of the whole: both have come to the same number.
  peak_f32: [
    [
      "to the fixed point",
      (l) => {
        l.bound = 1e-6;
        return step("", "peak_f32", 4, l.out(48), 0.5, 1);
      },
    ],
  ],
  normalize_f32: [0, 1].map((bgr) => [
    bgr === 1 ? "BGR" : "RGB",
    (l) => {
      l.bound = 256 * boundOf(1);
      const image = l.bytes(Uint8Array.from({ length: 3 * 7 * 4 }, (_, i) => (i * 89) & 255));
      return step("", "normalize_f32", 3, 7, bgr, image, l.random(6), l.out(3 * 7 * 3));
    },
  ]),
  widen_f32: [10, 7].map((mantissa) => [
    mantissa === 10 ? "binary16" : "bfloat16",
    (l) => {
      const every = Uint8Array.from({ length: 2 * 65536 }, (_, i) => (i & 1 ? i >> 9 : (i >> 1) & 255));
      return step("", "widen_f32", 65536, mantissa, l.bytes(every), l.out(65536));
    },
  ]),
};

/** The whole range in one go, on fresh memory; returns the output and how many bytes outside it changed. */
function execute(
  kernels: Kernels,
  make: Case[1],
  cuts: readonly number[] = [],
): { out: Float32Array; strayed: number } {
  const layout = new Layout(7);
  const call = make(layout);
  expect(layout.free).toBeLessThan(kernels.memory.buffer.byteLength);
  layout.fill(kernels.memory);
  const before = new Uint8Array(kernels.memory.buffer.slice(0));
  const edges = [0, ...cuts, call.units].sort((a, b) => a - b);
  const kernel = kernels.exports[call.kernel] as (...args: number[]) => void;
  for (let i = 1; i < edges.length; ++i) kernel(edges[i - 1]!, edges[i]!, ...call.args);
  const after = new Uint8Array(kernels.memory.buffer);
  let strayed = 0;
  let at = 0;
  for (const { address, bytes } of [...layout.writable, { address: after.length, bytes: 0 }]) {
    for (; at < address; ++at) if (before[at] !== after[at]) ++strayed;
    at = address + bytes;
  }
  const { address, count } = layout.output;
  return { out: new Float32Array(kernels.memory.buffer, address, count).slice(), strayed };
}

function expected(make: Case[1]): { out: Float32Array; bound: number } {
  const memory = new WebAssembly.Memory({ initial: PAGES });
  const layout = new Layout(7);
  const call = make(layout);
  layout.fill(memory);
  const kernel = reference[call.kernel as keyof typeof reference] as (...args: unknown[]) => void;
  kernel(new DataView(memory.buffer), 0, call.units, ...call.args);
  const { address, count } = layout.output;
  return { out: new Float32Array(memory.buffer, address, count), bound: layout.bound };
}

/** Largest difference; two NaN are equal, so are two equal infinities. */
function difference(a: Float32Array, b: Float32Array): number {
  let worst = 0;
  a.forEach((value, i) => {
    if (Object.is(value, b[i]) || value === b[i]) return;
    const gap = Math.abs(value - b[i]!);
    worst = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : Math.max(worst, gap);
  });
  return worst;
}

for (const build of RUNNABLE) {
  describe.each(Object.entries(CASES) as [KernelName, readonly Case[]][])(`${build} %s`, (_name, cases) => {
    it.each(cases)("%s", async (_title, make) => {
      const kernels = await kernelsOf(build, PAGES);
      const { out: want, bound } = expected(make);
      const { out, strayed } = execute(kernels, make);
      expect(difference(out, want), "law 1: equals the reference").toBeLessThanOrEqual(bound);
      expect(strayed, "law 3: bytes changed outside the output").toBe(0);
      const { units } = make(new Layout(7));
      for (const cuts of [[1], [units - 1], [units >> 1], [units >> 2, units - (units >> 2)]]) {
        const split = execute(
          kernels,
          make,
          cuts.map((cut) => Math.min(units, Math.max(0, cut))),
        );
        expect(Buffer.from(split.out.buffer).equals(Buffer.from(out.buffer)), `law 2: cut at ${cuts}`).toBe(true);
      }
      if (build === "relaxed") {
        const other = execute(await kernelsOf("baseline", PAGES), make);
        expect(difference(out, other.out), "law 4: builds agree").toBeLessThanOrEqual(2 * bound);
      }
    });
  });
}

const LEFT_OUT = BUILDS.filter((build) => !RUNNABLE.includes(build));
if (LEFT_OUT.length > 0) {
  describe("left out, because this engine cannot run it", () => {
    it.each(LEFT_OUT)("the %s build", async (build) => {
      const bytes = await readFile(new URL(`../wasm/${build}.wasm`, import.meta.url));
      expect(WebAssembly.validate(bytes)).toBe(false);
    });
  });
}

describe("the table", () => {
  it("tests every f32 kernel the module exports", async () => {
    const { exports } = await kernelsOf("baseline", 1);
    const exported = Object.keys(exports).filter((name) => name.endsWith("_f32"));
    expect(exported.filter((name) => !(name in CASES)).sort()).toEqual([]);
  });
  it("knows which argument is a thread's scratch", async () => {
    const declared = await readFile(new URL("../wasm/baseline.d.ts", import.meta.url), "utf8");
    for (const [, name, parameters] of declared.matchAll(/function (\w+)\(from: number, to: number, ([^)]*)\)/g)) {
      const at = parameters!.split(", ").findIndex((parameter) => parameter.startsWith("scratch:"));
      expect(SCRATCH_ARG[name as KernelName] ?? -1, name!).toBe(at);
    }
  });
  it("names only kernels that exist, all of them under the laws", () => {
    const known = [...Object.keys(CASES), ...Object.keys(referenceI8)];
    for (const { kernels } of VARIANTS) for (const kernel of kernels) expect(known).toContain(kernel);
  });
  it("keeps the module's own data below STATIC_BYTES", async () => {
    for (const build of ["baseline", "relaxed"]) {
      const bytes = await readFile(new URL(`../wasm/${build}.wasm`, import.meta.url));
      expect(bytes.byteLength).toBeLessThanOrEqual(100_000);
    }
    for (const build of RUNNABLE) {
      const { memory } = await kernelsOf(build, 1);
      expect(new Uint8Array(memory.buffer, STATIC_BYTES).every((byte) => byte === 0)).toBe(true);
    }
  });
  it("runs a step over its whole range", async () => {
    const kernels = await kernelsOf("baseline", 1);
    runStep(kernels.exports, step("", "clamp_f32", 2, 2, STATIC_BYTES, STATIC_BYTES + 64, 1, 1));
    expect([...new Float32Array(kernels.memory.buffer, STATIC_BYTES + 64, 4)]).toEqual([1, 1, 1, 1]);
  });
});
