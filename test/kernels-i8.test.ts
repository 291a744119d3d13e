/**
 * The kernel laws for int8, bit for bit: equal to the reference, any split of the range gives the same bytes, nothing is
 * written outside the output, both builds agree. And the law of the variants: all ways to compute a convolution give the
 * same bytes.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../src/kernels.ts";
import { STATIC_BYTES } from "../src/plan.ts";
import { type KernelName, type Step, step } from "../src/tape.ts";
import { EXACT_SUM } from "../src/variants.ts";
import { DOT8, DOT16, PATCH_BYTES, TAIL_BYTES, WEIGHT_BYTES } from "../wasm/tile.js";
import { referenceI8 } from "./reference-i8.ts";
import { fillCanaries, keptKernels, kernelsOf, RUNNABLE, randomly, strayedBytes } from "./wasm.ts";

const PAGES = 24;

/** Lays out one kernel call in memory. */
class Layout {
  free = STATIC_BYTES;
  readonly writable: { readonly address: number; readonly bytes: number }[] = [];
  readonly #inputs: { readonly address: number; readonly bytes: Uint8Array }[] = [];
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomly(seed);
  }
  #take(bytes: number): number {
    const address = this.free;
    // A gap of 100 bytes, so that a kernel that strays meets a canary.
    this.free = Math.ceil((address + bytes + 100) / 16) * 16;
    return address;
  }
  #put(values: Int8Array | Uint8Array | Int16Array | Int32Array | Float32Array): number {
    const address = this.#take(values.byteLength);
    this.#inputs.push({ address, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) });
    return address;
  }
  /** Whole numbers lo…hi, the ends among them. */
  #whole(count: number, lo: number, hi: number): number[] {
    return Array.from({ length: count }, (_, i) => {
      if (i % 13 === 5) return lo;
      if (i % 11 === 7) return hi;
      return lo + Math.floor(((this.#random() + 1) / 2) * (hi - lo + 1));
    });
  }
  i8(count: number, lo = -127, hi = 127): number {
    return this.#put(Int8Array.from(this.#whole(count, lo, hi)));
  }
  i16(count: number, lo: number, hi: number): number {
    return this.#put(Int16Array.from(this.#whole(count, lo, hi)));
  }
  i32(count: number, lo: number, hi: number): number {
    return this.#put(Int32Array.from(this.#whole(count, lo, hi)));
  }
  u8(count: number): number {
    return this.#put(Uint8Array.from(this.#whole(count, 0, 255)));
  }
  f32(count: number, of: (random: number, i: number) => number): number {
    return this.#put(Float32Array.from({ length: count }, (_, i) => of(this.#random(), i)));
  }
  zeros(bytes: number): number {
    return this.#put(new Uint8Array(bytes));
  }
  /** Panels as `pack_i8` makes them: `q` inputs a cell. */
  panels(groups: number, n: number, depth: number, q: number): number {
    const padded = Math.ceil(depth / q) * q;
    const each = (padded + 8) * 8;
    const count = groups * Math.ceil(n / 8);
    const bytes = new Uint8Array(count * each);
    for (let panel = 0; panel < count; ++panel) {
      const bias = Int32Array.from(this.#whole(8, -5000, 5000));
      const scale = Float32Array.from({ length: 8 }, () => (this.#random() + 1.5) * (0.4 / Math.sqrt(depth) / 60));
      bytes.set(new Uint8Array(bias.buffer), panel * each);
      bytes.set(new Uint8Array(scale.buffer), panel * each + 32);
      const cells = this.#whole(padded * 8, -127, 127);
      for (const [at, value] of cells.entries()) {
        const input = Math.floor(at / (8 * q)) * q + (at % q);
        bytes[panel * each + 64 + at] = input < depth ? value : 0;
      }
    }
    return this.#put(bytes);
  }
  out(bytes: number): number {
    const address = this.#take(bytes);
    this.writable.unshift({ address, bytes });
    return address;
  }
  scratch(bytes: number): number {
    const address = this.#take(bytes);
    this.writable.push({ address, bytes });
    return address;
  }
  /** Canaries everywhere (what no kernel writes then compares equal), then the inputs. */
  fill(memory: Pick<WebAssembly.Memory, "buffer">): void {
    const all = new Uint8Array(memory.buffer);
    fillCanaries(memory);
    for (const { address, bytes } of this.#inputs) all.set(bytes, address);
  }
}

interface Case {
  readonly name: string;
  /** `relaxed_dot` does not exist in the baseline build. */
  readonly relaxedOnly?: boolean;
  make(layout: Layout): Step;
}

const CONVS = [
  // batch h w c n kernel stride dilation pad groups
  [1, 5, 7, 4, 8, 3, 1, 1, 1, 1],
  [2, 7, 5, 16, 9, 3, 2, 1, 1, 1],
  [1, 9, 9, 8, 16, 3, 1, 2, 2, 2],
  [1, 8, 8, 32, 32, 3, 2, 1, 1, 8],
  [3, 4, 4, 12, 3, 1, 2, 1, 0, 1],
  [1, 1, 1, 64, 10, 1, 1, 1, 0, 1],
  [1, 3, 3, 4, 11, 5, 1, 1, 4, 1],
  [1, 4, 5, 8, 40, 3, 1, 1, 1, 1],
] as const;

/** Rows and columns of register tiles. */
const TILES = [
  [1, 8],
  [3, 8],
  [5, 8],
  [6, 8],
  [5, 16],
  [6, 16],
] as const;

const convs: Case[] = [0, 1].flatMap((kind) =>
  TILES.flatMap(([mr, nr]) =>
    CONVS.flatMap(([batch, h, w, c, n, k, s, d, p, groups]) =>
      (["plain", "residual", "dequantized"] as const).map((way): Case => {
        const sizes = `${batch}×${h}×${w}×${c} → ${n}, ${k}×${k} stride ${s} dilation ${d} pad ${p}`;
        return {
          name: `${kind === 1 ? "dot8" : "dot16"}, ${mr}×${nr} tile: ${sizes}, ${groups} groups, ${way}`,
          relaxedOnly: kind === 1,
          make(l) {
            const mc = 2 * mr;
            const [oh, ow] = [h, w].map((side) => Math.floor((side + 2 * p - d * (k - 1) - 1) / s) + 1) as [
              number,
              number,
            ];
            const input = kind === 1 ? l.i8(batch * h * w * c, 0, 127) : l.i16(batch * h * w * c, -128, 127);
            const panels = l.panels(groups, n / groups, (k * k * c) / groups, kind === 1 ? 4 : 2);
            const residual = way === "residual" ? l.i8(batch * oh * ow * n) : 0;
            const zeros = l.zeros(2 * c);
            const out = l.out(batch * oh * ow * n * (way === "dequantized" ? 4 : 1));
            const scratch = l.scratch(TAIL_BYTES + 4 * k * k * mc);
            const units = Math.ceil((batch * oh * ow) / mc) * groups * Math.ceil(n / groups / nr);
            return step("", "conv_i8", units, {
              kind,
              mr,
              nr,
              mc,
              batch,
              h,
              w,
              c,
              oh,
              ow,
              n,
              kh: k,
              kw: k,
              sh: s,
              sw: s,
              dh: d,
              dw: d,
              top: p,
              left: p,
              groups,
              dequantize: way === "dequantized" ? 1 : 0,
              input,
              panels,
              residual,
              zeros,
              out,
              scratch,
              rs: 0.37,
              lo: -127,
              hi: 100,
            });
          },
        };
      }),
    ),
  ),
);

const im2cols: Case[] = [0, 1].flatMap((kind) =>
  TILES.slice(1).flatMap(([mr, nr]) =>
    (
      [
        // batch h w c n kh kw stride top left bottom right
        [1, 14, 14, 3, 64, 7, 7, 2, 3, 3, 3, 3],
        [2, 6, 9, 1, 5, 3, 2, 1, 0, 1, 2, 0],
        [1, 5, 5, 5, 8, 3, 3, 2, 1, 1, 1, 1],
        [1, 2, 2, 3, 8, 5, 5, 1, 4, 4, 4, 4],
      ] as const
    ).map(([batch, h, w, c, n, kh, kw, s, top, left, bottom, right]): Case => {
      return {
        name: `${kind === 1 ? "dot8" : "dot16"}, ${mr}×${nr} tile: ${batch}×${h}×${w}×${c} → ${n}, ${kh}×${kw} stride ${s}`,
        relaxedOnly: kind === 1,
        make(l) {
          const [mc, q] = [2 * mr, kind === 1 ? 4 : 2];
          const oh = Math.floor((h + top + bottom - kh) / s) + 1;
          const ow = Math.floor((w + left + right - kw) / s) + 1;
          const least = kind === 1 ? 0 : -128;
          const input = l.i8(batch * h * w * c, least, 127);
          const panels = l.panels(1, n, kh * kw * c, q);
          const pads = l.i8(c, least, 127);
          const out = l.out(batch * oh * ow * n);
          const scratch = l.scratch(TAIL_BYTES + 4 * mc + 4 * mc * Math.ceil((kh * kw * c) / q));
          const units = Math.ceil((batch * oh * ow) / mc) * Math.ceil(n / nr);
          return step("", "im2col_i8", units, {
            kind,
            mr,
            nr,
            mc,
            batch,
            h,
            w,
            c,
            oh,
            ow,
            n,
            kh,
            kw,
            sh: s,
            sw: s,
            top,
            left,
            input,
            panels,
            residual: 0,
            pads,
            out,
            scratch,
            rs: 0,
            lo: 0,
            hi: 127,
          });
        },
      };
    }),
  ),
);

const pools = (kernel: "maxpool_i8" | "avgpool_i8"): Case[] =>
  (
    [
      [1, 8, 8, 16, 3, 3, 2, 1],
      [2, 7, 5, 6, 2, 3, 1, 1],
      [1, 4, 4, 19, 2, 2, 2, 0],
      [1, 1, 9, 1, 1, 3, 2, 0],
    ] as const
  ).map(([batch, h, w, c, kh, kw, s, p]): Case => {
    return {
      name: `${batch}×${h}×${w}×${c}, ${kh}×${kw} stride ${s} pad ${p}`,
      make(l) {
        const [oh, ow] = [Math.floor((h + 2 * p - kh) / s) + 1, Math.floor((w + 2 * p - kw) / s) + 1];
        const input = l.i8(batch * h * w * c);
        const out = l.out(batch * oh * ow * c);
        const window = { h, w, c, oh, ow, kh, kw, sh: s, sw: s, top: p, left: p, input, out };
        return kernel === "maxpool_i8"
          ? step("", kernel, batch * oh, window)
          : step("", kernel, batch * oh, { ...window, countPads: c & 1 });
      },
    };
  });

/** Patches of `batch` images of `h`×`w`: sizes that fill their last patches, and sizes that do not. */
const WINOGRADS = [
  [1, 4, 4, 16, 8],
  [2, 7, 5, 16, 24],
  [1, 9, 2, 48, 16],
] as const;

const CASES: { readonly [K in keyof typeof referenceI8]: readonly Case[] } = {
  conv_i8: convs,
  im2col_i8: im2cols,
  maxpool_i8: pools("maxpool_i8"),
  avgpool_i8: pools("avgpool_i8"),
  pack_i8: [
    [8, 3, 7, 1],
    [5, 4, 1, 2],
    [17, 6, 3, 1],
    [19, 12, 1, 1],
    [16, 4, 3, 2],
  ].flatMap(([n, c, k, groups]) =>
    [0, 1].map((kind) => ({
      name: `${n}×${c}×${k}×${k}, ${groups} groups, ${kind === 1 ? "dot8" : "dot16"}`,
      make(l: Layout): Step {
        const [count, depth, q] = [groups! * n!, k! * k! * c!, kind === 1 ? 4 : 2];
        const units = groups! * Math.ceil(n! / 8);
        return step("", "pack_i8", units, {
          kind,
          n: n!,
          c: c!,
          kh: k!,
          kw: k!,
          weights: l.i8(count * depth),
          bias: l.i32(count, -99, 99),
          scale: l.f32(count, (x) => x),
          out: l.out(units * (Math.ceil(depth / q) * q + 8) * 8),
        });
      },
    })),
  ),
  widen_i8: [1, 7, 8, 24].map((c) => ({
    name: `${c} channels`,
    make: (l) => step("", "widen_i8", 5, { c, input: l.i8(5 * c, -128, 127), out: l.out(10 * c) }),
  })),
  globalpool_i8: [1, 16, 40].map((c) => ({
    name: `${c} channels`,
    make: (l) =>
      step("", "globalpool_i8", 2 * Math.ceil(c / 16), {
        pixels: 49,
        c,
        input: l.i8(98 * c),
        out: l.out(2 * c),
        scale: 0.031,
        lo: -20,
        hi: 127,
      }),
  })),
  add_i8: [1, 16, 33].map((c) => ({
    name: `${c} channels`,
    make: (l) =>
      step("", "add_i8", 5, {
        c,
        a: l.i8(5 * c),
        b: l.i8(5 * c),
        out: l.out(5 * c),
        sa: 0.7,
        sb: 0.25,
        lo: 0,
        hi: 127,
      }),
  })),
  shortcut_i8: [
    [4, 4, 16, 32, 2, 8],
    [5, 3, 3, 8, 2, 2],
    [2, 2, 4, 4, 1, 0],
  ].map(([h, w, c, n, s, before]) => ({
    name: `${h}×${w}×${c} → ${n}, stride ${s}`,
    make(l) {
      const [oh, ow] = [Math.ceil(h! / s!), Math.ceil(w! / s!)];
      const input = l.i8(2 * h! * w! * c!);
      return step("", "shortcut_i8", 2 * oh, {
        h: h!,
        w: w!,
        c: c!,
        oh,
        ow,
        n: n!,
        s: s!,
        before: before!,
        input,
        out: l.out(2 * oh * ow * n!),
      });
    },
  })),
  luma_u8: [1, 4, 7].map((w) => ({
    name: `rows of ${w} pixels`,
    make: (l) => step("", "luma_u8", 3, { w, input: l.u8(12 * w), out: l.out(12 * w) }),
  })),
  pixels_i8: (
    [
      ["RGB", 3, 0],
      ["BGR", 3, 1],
      ["gray", 1, 0],
    ] as const
  ).map(([name, c, reverse]) => ({
    name,
    make: (l) => step("", "pixels_i8", 3, { w: 7, c, reverse, rgba: l.u8(84), out: l.out(21 * c) }),
  })),
  // Its units go on from one another; what they begin with is there before.
  probe_dot_i8: [DOT16, DOT8].map((kind) => ({
    name: kind === DOT8 ? "dot8" : "dot16",
    relaxedOnly: kind === DOT8,
    make: (l) => step("", "probe_dot_i8", 3, { kind, out: l.out(16) }),
  })),
  quantize_i8: [
    {
      name: "normal numbers, infinities and NaN",
      make(l) {
        const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5, 1.5, 2.5];
        const input = l.f32(63, (x, i) => odd[i - 20] ?? 3 * x);
        const affine = l.f32(24, (_, i) => (i < 12 ? 1 + 50 * ((i % 3) % 2) : (i % 3) + 0.5));
        return step("", "quantize_i8", 3, { c: 7, input, affine, out: l.out(63) });
      },
    },
  ],
  gemm_i16: TILES.flatMap(([mr, nr]) =>
    (
      [
        [1, 8, 2, 1],
        [mr + 1, 16, 6, 2],
        [2 * mr + 3, 24, 32, 3],
      ] as const
    ).map(([m, n, k, groups]) => ({
      name: `${mr}×${nr} tile: ${m}×${n}×${k}, ${groups} groups`,
      make(l: Layout): Step {
        // As wide as Winograd's operands come: the sums wrap.
        const a = l.i16(m * groups * k, -8636, 8636);
        const panels = l.i16(groups * n * k, -6223, 6223);
        const units = Math.ceil(m / (2 * mr)) * groups * Math.ceil(n / nr);
        return step("", "gemm_i16", units, {
          scratch: l.scratch(TAIL_BYTES + 8 * mr),
          mr,
          nr,
          mc: 2 * mr,
          m,
          n,
          k,
          groups,
          a,
          panels,
          out: l.out(4 * m * groups * n),
        });
      },
    })),
  ),
  winograd4_transform_input_i8: WINOGRADS.map(([batch, h, w, c]) => ({
    name: `${batch}×${h}×${w}×${c}`,
    make(l) {
      const [ty, tx] = [Math.ceil(h / 4), Math.ceil(w / 4)];
      const input = l.i8(batch * h * w * c);
      const zeros = l.zeros(c);
      const [count, first] = [batch * ty * tx, 0];
      const out = l.out(72 * count * c);
      return step("", "winograd4_transform_input_i8", count, {
        batch,
        h,
        w,
        c,
        ty,
        tx,
        top: 1,
        left: 1,
        first,
        input,
        zeros,
        out,
        scratch: l.scratch(36 * PATCH_BYTES),
      });
    },
  })),
  winograd4_transform_weights_i8: WINOGRADS.map(([, , , c, n]) => ({
    name: `${n}×${c}`,
    make: (l) =>
      step("", "winograd4_transform_weights_i8", n / 8, {
        scratch: l.scratch(WEIGHT_BYTES),
        n,
        c,
        weights: l.i8(n * c * 9),
        out: l.out(72 * n * c),
      }),
  })),
  winograd4_transform_output_i8: WINOGRADS.map(([batch, oh, ow, , n]) => ({
    name: `${batch}×${oh}×${ow}×${n}`,
    make(l) {
      const [ty, tx] = [Math.ceil(oh / 4), Math.ceil(ow / 4)];
      const count = batch * ty * tx;
      // Products whose transform is 576 times a whole number.
      const products = l.f32(count * 36 * n, () => 0);
      const header = l.f32(2 * n, (x, i) => (i < n ? 0 : (x + 1.5) / 60));
      const residual = l.i8(batch * oh * ow * n);
      const out = l.out(batch * oh * ow * n);
      return step("", "winograd4_transform_output_i8", count, {
        oh,
        ow,
        n,
        ty,
        tx,
        first: 0,
        products,
        header,
        residual,
        out,
        scratch: l.scratch(36 * PATCH_BYTES),
        rs: 0.4,
        lo: 0,
        hi: 127,
      });
    },
  })),
};

interface Run {
  readonly out: Uint8Array;
  /** Bytes outside the output and the scratch that changed. */
  readonly strayed: number;
}

function execute(kernels: Kernels, make: Case["make"], cuts: readonly number[] = []): Run {
  const layout = new Layout(7);
  const call = make(layout);
  expect(layout.free).toBeLessThan(kernels.memory.buffer.byteLength);
  layout.fill(kernels.memory);
  const before = new Uint8Array(kernels.memory.buffer.slice(0));
  const edges = [0, ...cuts, call.units].sort((a, b) => a - b);
  const kernel = kernels.exports[call.kernel] as (...args: number[]) => void;
  for (let i = 1; i < edges.length; ++i) kernel(edges[i - 1]!, edges[i]!, ...call.args);
  const after = new Uint8Array(kernels.memory.buffer);
  const [{ address, bytes }] = layout.writable as [(typeof layout.writable)[0]];
  const ascending = [...layout.writable].sort((a, b) => a.address - b.address);
  return { out: after.slice(address, address + bytes), strayed: strayedBytes(before, after, ascending) };
}

function expected(make: Case["make"]): Uint8Array {
  const memory = { buffer: new ArrayBuffer(PAGES * 65536) };
  const layout = new Layout(7);
  const call = make(layout);
  layout.fill(memory);
  const kernel = referenceI8[call.kernel as keyof typeof referenceI8] as (...args: unknown[]) => void;
  kernel(new DataView(memory.buffer), 0, call.units, ...call.args);
  const { address, bytes } = layout.writable[0]!;
  return new Uint8Array(memory.buffer).slice(address, address + bytes);
}

for (const build of RUNNABLE) {
  describe.each(Object.entries(CASES) as [KernelName, readonly Case[]][])(`${build} %s`, (_name, cases) => {
    const runnable = cases.filter(({ relaxedOnly }) => build === "relaxed" || relaxedOnly !== true);
    it.each(runnable.map((each) => [each.name, each] as const))("%s", async (_title, { make }) => {
      const kernels = await keptKernels(build, PAGES);
      const { out, strayed } = execute(kernels, make);
      expect(Buffer.from(out).equals(Buffer.from(expected(make))), "law 1: equals the reference").toBe(true);
      expect(strayed, "law 3: bytes changed outside the output").toBe(0);
      const { units } = make(new Layout(7));
      for (const cut of [1, units - 1, units >> 1].map((at) => Math.min(units, Math.max(0, at)))) {
        expect(Buffer.from(execute(kernels, make, [cut]).out).equals(Buffer.from(out)), `law 2: cut at ${cut}`).toBe(
          true,
        );
      }
    });
  });
}

describe("Winograd over int8", () => {
  it.each(RUNNABLE)("gives the bytes of direct sums where they are largest, %s", async (build) => {
    const { memory, exports } = await kernelsOf(build, 64);
    // The most that the bound of exactness allows: every weight and every activation at its limit.
    const [hw, c, n] = [8, 224, 8];
    expect(9 * c * 127).toBeLessThanOrEqual(EXACT_SUM);
    let free = STATIC_BYTES;
    const take = (bytes: number): number => {
      const address = free;
      free = Math.ceil((free + bytes) / 64) * 64;
      return address;
    };
    const [zeros, input, weights, header] = [take(2 * c), take(hw * hw * c), take(n * c * 9), take(8 * n)];
    const [wide, direct, out, scratch] = [take(2 * hw * hw * c), take((9 * c + 8) * 8), take(hw * hw * n), take(4096)];
    const [panels, v, m, other] = [take(72 * n * c), take(72 * 4 * c), take(144 * 4 * n), take(hw * hw * n)];
    new Int8Array(memory.buffer, zeros, 2 * c).fill(0);
    new Int32Array(memory.buffer, header, n).set([0, -7, 7, 1e6, -1e6, 0, 1, -1]);
    new Float32Array(memory.buffer, header + 4 * n, n).fill(127 / (9 * c * 127 * 127));
    for (const sign of [1, -1]) {
      new Int8Array(memory.buffer, input, hw * hw * c).fill(127);
      new Int8Array(memory.buffer, weights, n * c * 9).forEach((_, i, all) => {
        all[i] = i < c * 9 ? 127 * sign : ((i * 31) % 255) - 127;
      });
      exports.widen_i8(0, hw * hw, c, input, wide);
      exports.pack_i8(0, 1, 0, n, c, 3, 3, weights, header, header + 4 * n, direct);
      const sizes = [1, hw, hw, c, hw, hw, n, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0] as const;
      exports.conv_i8(0, 16, scratch, 0, 4, 8, 4, ...sizes, wide, direct, 0, zeros, other, 0, -127, 127);
      exports.winograd4_transform_weights_i8(0, 1, scratch, n, c, weights, panels);
      exports.winograd4_transform_input_i8(0, 4, scratch, 1, hw, hw, c, 2, 2, 1, 1, 0, input, zeros, v);
      exports.gemm_i16(0, 36, scratch, 4, 8, 4, 4, n, c, 36, v, panels, m);
      exports.winograd4_transform_output_i8(0, 4, scratch, hw, hw, n, 2, 2, 0, m, header, 0, out, 0, -127, 127);
      const bytes = (address: number): number[] => [...new Int8Array(memory.buffer, address, hw * hw * n)];
      expect(bytes(out)).toEqual(bytes(other));
      expect(Math.abs(bytes(other)[hw * n * 3 + n * 3]!)).toBe(127);
    }
  });
});

it("tests every int8 kernel the module exports", async () => {
  const { exports } = await kernelsOf("baseline", 1);
  const exported = Object.keys(exports).filter((name) => /_(i8|i16)$/.test(name));
  expect(exported.filter((name) => !(name in CASES))).toEqual([]);
});

describe.each(RUNNABLE)("code of the %s build", (build) => {
  it("has a loop for every height of an int8 tile", () => {
    // An optimizer may fold the heights into one loop that asks for the row count at every step: a quarter slower. Folded there
    // are 150 of these instructions.
    const module = readFileSync(new URL(`../wasm/${build}.wasm`, import.meta.url));
    const dot16 = "\xfd\xba\x01";
    expect(module.toString("latin1").split(dot16).length - 1).toBeGreaterThanOrEqual(220);
  });
});
