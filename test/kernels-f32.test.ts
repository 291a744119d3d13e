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
import { type KernelName, runStep, type Step, step } from "../src/tape.ts";
import { VARIANTS } from "../src/variants.ts";
import { KERNEL_ARGUMENTS } from "../wasm/arguments.js";
import { PATCH_BYTES, TAIL_BYTES, WEIGHT_BYTES } from "../wasm/tile.js";
import { reference } from "./reference.ts";
import { referenceI8 } from "./reference-i8.ts";
import { fillCanaries, keptKernels, kernelsOf, RUNNABLE, randomly, strayedBytes } from "./wasm.ts";

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
  /** Memory that a kernel adds to: random before, compared afterwards where it is the last that was laid out. */
  inout(count: number): number {
    const address = this.random(count);
    this.output = { address, count };
    this.writable.push({ address, bytes: 4 * count });
    return address;
  }
  floats(values: readonly number[]): number {
    return this.bytes(new Uint8Array(Float32Array.from(values).buffer));
  }
  scratch(bytes: number): number {
    const address = this.#take(bytes);
    this.writable.push({ address, bytes });
    return address;
  }
  /** Canaries everywhere (what no kernel writes then compares equal), then the inputs. */
  fill(memory: Pick<WebAssembly.Memory, "buffer">): void {
    const bytes = new Uint8Array(memory.buffer);
    fillCanaries(memory);
    for (const { address, values } of this.#inputs) {
      const target = values instanceof Uint8Array ? bytes : new Float32Array(memory.buffer);
      target.set(values, values instanceof Uint8Array ? address : address / 4);
    }
  }
}

type Case = readonly [name: string, make: (layout: Layout) => Step];

const panelBytes = (cells: number): number => (cells + 1) * 32;
const boundOf = (depth: number): number => (depth + 4) * depth * HALF_ULP;

/** Rows and columns of register tiles. */
const TILES = [
  [1, 8],
  [2, 8],
  [3, 8],
  [4, 8],
  [5, 8],
  [6, 8],
  [4, 16],
  [5, 16],
  [6, 16],
] as const;

const gemms: Case[] = TILES.flatMap(([mr, nr]) =>
  (
    [
      [1, 1, 1, 1],
      [mr, 8, 3, 1],
      [mr + 1, 9, 5, 1],
      [2 * mr - 1, 7, 16, 2],
      [2 * mr + 3, 24, 31, 3],
      [mr + 2, 32, 6, 2],
      [29, 10, 64, 1],
    ] as const
  ).flatMap(([m, n, k, groups]) =>
    [false, true].map(
      (residual): Case => [
        `${mr}×${nr} tile: ${m}×${n}×${k}, ${groups} groups${residual ? ", residual" : ""}`,
        (l) => {
          const mc = 2 * mr;
          const [lda, ldo] = [groups * k + 3, groups * n + 5];
          const perGroup = Math.ceil(n / 8);
          const a = l.random(m * lda);
          const panels = l.random((groups * perGroup * panelBytes(k)) / 4);
          const other = residual ? l.random(m * ldo) : 0;
          const scratch = l.scratch(TAIL_BYTES + 4 * mc);
          l.bound = boundOf(k + 2);
          const out = l.out(m * ldo);
          const units = Math.ceil(m / mc) * groups * Math.ceil(n / nr);
          return step("", "gemm_f32", units, {
            mr,
            nr,
            mc,
            m,
            n,
            k,
            groups,
            lda,
            ldo,
            a,
            panels,
            residual: other,
            out,
            scratch,
            lo: -0.5,
            hi: 1e9,
          });
        },
      ],
    ),
  ),
);

const convs: Case[] = TILES.slice(2).flatMap(([mr, nr]) =>
  (
    [
      // batch h w c n kernel stride dilation pad groups
      [1, 5, 7, 4, 8, 3, 1, 1, 1, 1],
      [2, 7, 5, 16, 9, 3, 2, 1, 1, 1],
      [1, 9, 9, 8, 16, 3, 1, 2, 2, 2],
      [1, 8, 8, 32, 32, 3, 2, 1, 1, 8],
      [3, 4, 4, 5, 3, 1, 2, 1, 0, 1],
      [1, 3, 3, 2, 11, 5, 1, 1, 4, 1],
      [1, 6, 5, 4, 40, 3, 1, 1, 1, 1],
    ] as const
  ).map(
    ([batch, h, w, c, n, k, s, d, p, groups]): Case => [
      `${mr}×${nr} tile: ${batch}×${h}×${w}×${c} → ${n}, ${k}×${k} stride ${s} dilation ${d} pad ${p}, ${groups} groups`,
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
        const scratch = l.scratch(TAIL_BYTES + 4 * k * k * mc);
        l.bound = boundOf(cells + 2);
        const out = l.out(batch * oh * ow * n);
        const units = Math.ceil((batch * oh * ow) / mc) * groups * Math.ceil(n / groups / nr);
        return step("", "conv_f32", units, {
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
          input,
          panels,
          residual,
          zeros,
          out,
          scratch,
          lo: -0.5,
          hi: 2,
        });
      },
    ],
  ),
);

const im2cols: Case[] = TILES.slice(2).flatMap(([mr, nr]) =>
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
      `${mr}×${nr} tile: ${batch}×${h}×${w}×${c} → ${n}, ${kh}×${kw} stride ${s}`,
      (l) => {
        const mc = 2 * mr;
        const oh = Math.floor((h + top + bottom - kh) / s) + 1;
        const ow = Math.floor((w + left + right - kw) / s) + 1;
        const input = l.random(batch * h * w * c);
        const panels = l.random((Math.ceil(n / 8) * panelBytes(kh * kw * c)) / 4);
        const scratch = l.scratch(TAIL_BYTES + 4 * mc * (1 + kh * kw * c));
        l.bound = boundOf(kh * kw * c + 2);
        const out = l.out(batch * oh * ow * n);
        const units = Math.ceil((batch * oh * ow) / mc) * Math.ceil(n / nr);
        return step("", "im2col_f32", units, {
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
          pads: l.zeros(c),
          out,
          scratch,
          lo: 0,
          hi: 6,
        });
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
          const window = { h, w, c, oh, ow, kh, kw, sh: s, sw: s, top: p, left: p, input, out };
          return kernel === "maxpool_f32"
            ? step("", kernel, batch * oh, window)
            : step("", kernel, batch * oh, { ...window, countPads: whole });
        },
      ],
    ),
  );

/** Sizes of the images that Winograd's patches are cut from: whole patches, and not. */
const PATCHED = [
  // batch h w channels padding first count
  [1, 8, 8, 8, 1, 0, undefined],
  [2, 7, 5, 16, 1, 1, 3],
  [1, 3, 10, 8, 0, 0, undefined],
  [1, 1, 1, 24, 1, 0, undefined],
] as const;

const winogradInputs = (o: 2 | 4): Case[] =>
  PATCHED.map(([batch, h, w, c, pad, first, some]) => [
    `${batch}×${h}×${w}×${c}, padding ${pad}, from patch ${first}`,
    (l) => {
      const positions = (o + 2) ** 2;
      const [ty, tx] = [Math.ceil((h + 2 * pad - 2) / o), Math.ceil((w + 2 * pad - 2) / o)];
      const count = some ?? batch * ty * tx;
      const [input, zeros, scratch] = [l.random(batch * h * w * c), l.zeros(c), l.scratch(positions * PATCH_BYTES)];
      // Sums of |Bᵀ| rows: 10 for F(4), 2 for F(2), twice.
      l.bound = boundOf(o === 4 ? 14 : 5) * 2;
      const out = l.out(count * positions * c);
      return step("", `winograd${o}_transform_input_f32`, count, {
        batch,
        h,
        w,
        c,
        ty,
        tx,
        top: pad,
        left: pad,
        first,
        input,
        zeros,
        out,
        scratch,
      });
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
          const scratch = l.scratch(positions * PATCH_BYTES);
          // Sums of |Aᵀ| rows: 19 for F(4), 3 for F(2); twice.
          l.bound = HALF_ULP * (o === 4 ? 19 ** 2 * 16 : 9 * 8);
          const out = l.out(batch * oh * ow * n);
          return step("", `winograd${o}_transform_output_f32`, count, {
            oh,
            ow,
            n,
            ty,
            tx,
            first,
            products,
            residual: other,
            out,
            scratch,
            lo: -1,
            hi: 1e9,
          });
        },
      ],
    ),
  );

const winogradWeights = (o: 2 | 4): Case[] =>
  (
    [
      [8, 3, "oihw"],
      [16, 4, "hwio"],
      [24, 2, "oihw"],
    ] as const
  ).map(([n, c, order]) => [
    `${c} → ${n}, ${order}`,
    (l) => {
      const [so, si, sv, su] = order === "oihw" ? [c * 9, 9, 3, 1] : [1, n, 3 * c * n, c * n];
      l.bound = boundOf(2);
      const out = l.out(((o + 2) ** 2 * Math.ceil(n / 8) * panelBytes(c)) / 4);
      return step("", `winograd${o}_transform_weights_f32`, n / 8, {
        scratch: l.scratch(WEIGHT_BYTES),
        n,
        c,
        so: so!,
        si: si!,
        sv: sv!,
        su: su!,
        weights: l.random(n * c * 9),
        scale: l.random(n),
        bias: l.random(n),
        out,
      });
    },
  ]);

const wgrads: Case[] = TILES.flatMap(([mr, nr]) =>
  (
    [
      // m n k groups
      [1, 1, 1, 1],
      [7, 8, mr, 1],
      [23, 9, mr + 1, 2],
      [10, 15, 2 * mr - 1, 3],
      [37, 43, 41, 1],
      [21, 32, 36, 2],
      [5, 32, 7, 2],
    ] as const
  ).flatMap(([m, n, k, groups]) =>
    [0, 1].map(
      (adds): Case => [
        `${mr}×${nr} tile: ${m} products of ${k} by ${n}, ${groups} groups${adds ? ", added" : ""}`,
        (l) => {
          const mc = 9;
          const [lda, ldb, ldo] = [groups * k + 3, groups * n + 1, n + 2];
          const [a, b] = [l.random(m * lda), l.random(m * ldb + 7)];
          const scratch = l.scratch(TAIL_BYTES + 4 * mc * (Math.ceil(k / mr) * mr + Math.ceil(n / nr) * nr));
          l.bound = boundOf(m + 1);
          const out = l.inout(groups * k * ldo);
          const units = groups * Math.ceil(k / mr) * Math.ceil(n / nr);
          return step("", "gemm_wgrad_f32", units, {
            mr,
            nr,
            mc,
            m,
            n,
            k,
            groups,
            lda,
            ldb,
            ldo,
            ogo: k * ldo,
            adds,
            input: a,
            dy: b,
            dw: out,
            scratch,
          });
        },
      ],
    ),
  ),
);

/** Convolutions whose gradients are taken: strides that leave pixels out, dilation, groups, odd channels. */
const SLIDES = [
  // batch h w c n kh kw sh sw dh dw top left groups
  [2, 7, 6, 3, 8, 3, 3, 2, 2, 1, 1, 1, 1, 1],
  [1, 9, 8, 4, 10, 7, 7, 2, 2, 1, 1, 3, 3, 1],
  [1, 6, 5, 8, 12, 3, 3, 1, 1, 2, 2, 2, 2, 2],
  [2, 5, 7, 6, 4, 1, 1, 2, 2, 1, 1, 0, 0, 1],
  [1, 8, 9, 16, 16, 3, 3, 2, 2, 1, 1, 1, 1, 4],
  [1, 7, 11, 5, 9, 3, 2, 3, 1, 1, 2, 0, 1, 1],
  [1, 6, 7, 3, 40, 3, 3, 2, 2, 1, 1, 1, 1, 1],
] as const;

function slid(at: (typeof SLIDES)[number]): { oh: number; ow: number; title: string } {
  const [batch, h, w, c, n, kh, kw, sh, sw, dh, dw, top, left, groups] = at;
  return {
    oh: Math.floor((h + 2 * top - dh * (kh - 1) - 1) / sh) + 1,
    ow: Math.floor((w + 2 * left - dw * (kw - 1) - 1) / sw) + 1,
    title: `${batch}×${h}×${w}×${c} → ${n}, ${kh}×${kw} stride ${sh}×${sw} dilation ${dh}×${dw}, ${groups} groups`,
  };
}

const convWgrads: Case[] = TILES.slice(3).flatMap(([mr, nr]) =>
  SLIDES.map((each): Case => {
    const [batch, h, w, c, n, kh, kw, sh, sw, dh, dw, top, left, groups] = each;
    const { oh, ow, title } = slid(each);
    return [
      `${mr}×${nr} tile: ${title}`,
      (l) => {
        const mc = 11;
        const k = (kh * kw * c) / groups;
        const input = l.random(batch * h * w * c);
        const dy = l.random(batch * oh * ow * n + 7);
        const scratch = l.scratch(TAIL_BYTES + 4 * mc * k);
        l.bound = boundOf(batch * oh * ow + 1);
        const out = l.inout(k * n);
        const units = groups * Math.ceil(k / mr) * Math.ceil(n / groups / nr);
        return step("", "conv_wgrad_f32", units, {
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
          sh,
          sw,
          dh,
          dw,
          top,
          left,
          groups,
          input,
          dy,
          zeros: l.zeros(c),
          out,
          scratch,
        });
      },
    ];
  }),
);

const convInputs: Case[] = TILES.slice(3).flatMap(([mr, nr]) =>
  SLIDES.flatMap((each) =>
    [0, 1].map((adds): Case => {
      const [batch, h, w, c, n, kh, kw, sh, sw, dh, dw, top, left, groups] = each;
      const { oh, ow, title } = slid(each);
      return [
        `${mr}×${nr} tile: ${title}${adds ? ", added" : ""}`,
        (l) => {
          const panelCount = groups * Math.ceil(c / groups / 8);
          const dy = l.random(batch * oh * ow * n);
          const panels = l.random((panelCount * ((kh * kw * n) / groups + sh * sw) * 32) / 4);
          const zeros = l.zeros(n);
          const scratch = l.scratch(TAIL_BYTES + 4 * kh * kw * Math.ceil(w / sw));
          l.bound = boundOf((kh * kw * n) / groups + 2);
          const out = l.inout(batch * h * w * c);
          return step("", "conv_dgrad_f32", batch * h, {
            mr,
            nr,
            h,
            w,
            c,
            oh,
            ow,
            n,
            kh,
            kw,
            sh,
            sw,
            dh,
            dw,
            top,
            left,
            groups,
            adds,
            dy,
            panels,
            zeros,
            dx: out,
            scratch,
          });
        },
      ];
    }),
  ),
);

const packInputs: Case[] = SLIDES.map((each): Case => {
  const [, , , c, n, kh, kw, sh, sw, dh, dw, , , groups] = each;
  return [
    slid(each).title,
    (l) => {
      const panelCount = groups * Math.ceil(c / groups / 8);
      const weights = l.random((kh * kw * c * n) / groups);
      const out = l.out((panelCount * ((kh * kw * n) / groups + sh * sw) * 32) / 4);
      return step("", "pack_dgrad_f32", sh * sw * panelCount, {
        n: n / groups,
        c: c / groups,
        kh,
        kw,
        sh,
        sw,
        dh,
        dw,
        groups,
        weights,
        out,
      });
    },
  ];
});

/** Pixels, channels and pixels of a slice of batch norms. */
const NORMED = [
  [1, 1, 4],
  [7, 3, 4],
  [16, 8, 8],
  [37, 13, 10],
  [65, 20, 64],
] as const;

/** The clamp between norm and gradient, and how what passed it is known. */
const MASKED = [
  ["no clamp", Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, false],
  ["a clamp, computed again", 0, 0.75, false],
  ["a clamp, from the output", -0.25, Number.POSITIVE_INFINITY, true],
] as const;

const POOLED = [
  // batch h w c kh kw s p adds
  [2, 8, 8, 8, 3, 3, 2, 1, 0],
  [1, 7, 5, 6, 2, 3, 1, 1, 1],
  [1, 4, 4, 3, 2, 2, 2, 0, 0],
] as const;

const unpools = (kernel: "maxpool_dgrad_f32" | "avgpool_dgrad_f32"): Case[] =>
  POOLED.flatMap(([batch, h, w, c, kh, kw, s, p, adds]) =>
    (kernel === "avgpool_dgrad_f32" ? [0, 1] : [0]).map(
      (all): Case => [
        `${batch}×${h}×${w}×${c}, ${kh}×${kw} stride ${s} pad ${p}${all ? ", padding counted" : ""}${adds ? ", added" : ""}`,
        (l) => {
          const oh = Math.floor((h + 2 * p - kh) / s) + 1;
          const ow = Math.floor((w + 2 * p - kw) / s) + 1;
          const input = l.random(batch * h * w * c);
          const dy = l.random(batch * oh * ow * c);
          l.bound = boundOf(kh * kw + 2);
          const out = l.inout(batch * h * w * c);
          const window = { h, w, c, oh, ow, kh, kw, sh: s, sw: s, top: p, left: p, adds, dy, dx: out };
          return kernel === "maxpool_dgrad_f32"
            ? step("", kernel, batch, { ...window, input })
            : step("", kernel, batch, { ...window, countPads: all });
        },
      ],
    ),
  );

const TRAINING = {
  gemm_wgrad_f32: wgrads,
  conv_wgrad_f32: convWgrads,
  conv_dgrad_f32: convInputs,
  pack_dgrad_f32: packInputs,
  pack_hwio_f32: [
    [8, 3, 9, 1, 1],
    [5, 2, 1, 2, 1],
    [17, 4, 9, 1, 0],
    [16, 6, 4, 2, 0],
  ].map(([n, c, taps, groups, biased]) => [
    `${groups} groups of ${c} → ${n}, ${taps} taps${biased ? ", bias" : ""}`,
    (l) => {
      const units = groups! * Math.ceil(n! / 8);
      const weights = l.random(taps! * c! * groups! * n!);
      const shift = biased ? l.random(groups! * n!) : 0;
      const out = l.out((units * panelBytes(taps! * c!)) / 4);
      return step("", "pack_hwio_f32", units, {
        n: n!,
        c: c!,
        taps: taps!,
        groups: groups!,
        weights,
        bias: shift,
        out,
      });
    },
  ]),
  winograd4_transform_hwio_f32: [
    [8, 4, 0, 1],
    [12, 8, 0, 0],
    [4, 12, 1, 0],
    [16, 8, 1, 0],
  ].map(([n, c, turned, biased]) => [
    `${c} → ${n}${turned ? ", turned" : ""}${biased ? ", bias" : ""}`,
    (l) => {
      const [columns, cells] = turned ? [c!, n!] : [n!, c!];
      const weights = l.random(9 * n! * c!);
      const shift = biased ? l.random(n!) : 0;
      const scratch = l.scratch(288);
      l.bound = boundOf(8);
      const out = l.out(36 * Math.ceil(columns / 8) * (panelBytes(cells) / 4));
      return step("", "winograd4_transform_hwio_f32", Math.ceil(columns / 8), {
        n: n!,
        c: c!,
        turned: turned!,
        weights,
        bias: shift,
        out,
        scratch,
      });
    },
  ]),
  winograd4_transform_dy_f32: [
    [1, 8, 8, 8, 0, 4],
    [2, 7, 5, 16, 1, 3],
    [1, 1, 1, 24, 0, 1],
  ].map(([batch, oh, ow, n, first, count]) => [
    `${batch}×${oh}×${ow}×${n}, from patch ${first}`,
    (l) => {
      const dy = l.random(batch! * oh! * ow! * n!);
      const [zeros, scratch] = [l.zeros(n!), l.scratch(36 * PATCH_BYTES)];
      // Sums of |A| rows: 15, twice.
      l.bound = HALF_ULP * 15 ** 2 * 8;
      const out = l.out(count! * 36 * n!);
      return step("", "winograd4_transform_dy_f32", count!, {
        oh: oh!,
        ow: ow!,
        n: n!,
        ty: Math.ceil(oh! / 4),
        tx: Math.ceil(ow! / 4),
        first: first!,
        dy,
        zeros,
        out,
        scratch,
      });
    },
  ]),
  winograd4_transform_wgrad_f32: [
    [4, 3],
    [12, 5],
  ].map(([n, c]) => [
    `${c} → ${n}`,
    (l) => {
      const products = l.random(36 * n! * c!);
      const scratch = l.scratch(288);
      l.bound = boundOf(8);
      return step("", "winograd4_transform_wgrad_f32", c!, {
        n: n!,
        c: c!,
        products,
        dw: l.inout(9 * n! * c!),
        scratch,
      });
    },
  ]),
  norm_add_f32: [1, 4, 5, 17].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(3);
      return step("", "norm_add_f32", 5, {
        c,
        input: l.random(5 * c),
        parameters: l.random(2 * c),
        residual: l.random(5 * c),
        out: l.out(5 * c),
        lo: 0,
        hi: 0.75,
      });
    },
  ]),
  norm_stats_f32: NORMED.map(([pixels, c, rows]) => [
    `${pixels}×${c}, slices of ${rows}`,
    (l) => {
      const slices = Math.ceil(pixels / rows);
      l.bound = boundOf(rows);
      return step("", "norm_stats_f32", slices, {
        pixels,
        c,
        rows,
        input: l.random(pixels * c),
        partials: l.out(slices * 2 * c),
      });
    },
  ]),
  norm_batch_f32: NORMED.map(([pixels, c, rows]) => [
    `${pixels}×${c}, slices of ${rows}`,
    (l) => {
      // Random partial "squares" may be negative: an epsilon above what they can come to.
      const partials = l.random(Math.ceil(pixels / rows) * 2 * c);
      const [weight, shift] = [l.random(c), l.random(c)];
      l.bound = HALF_ULP * 8 * rows;
      const out = l.out(6 * c);
      return step("", "norm_batch_f32", c, {
        pixels,
        c,
        rows,
        partials,
        weight,
        bias: shift,
        statistics: out,
        fresh: out + 16 * c,
        freshVariance: out + 20 * c,
        epsilon: 2,
      });
    },
  ]),
  norm_running_f32: [1, 5].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = HALF_ULP * 8;
      return step("", "norm_running_f32", c, {
        c,
        weight: l.random(c),
        bias: l.random(c),
        mean: l.random(c),
        variance: l.random(c),
        statistics: l.out(4 * c),
        epsilon: 1.5,
      });
    },
  ]),
  norm_grad_sums_f32: NORMED.flatMap(([pixels, c, rows]) =>
    MASKED.flatMap(([way, lo, hi, fromOutput]) =>
      [false, true].map(
        (keeps): Case => [
          `${pixels}×${c}, slices of ${rows}, ${way}${keeps ? ", mask kept" : ""}`,
          (l) => {
            const slices = Math.ceil(pixels / rows);
            const count = pixels * c;
            const input = l.random(count);
            const output = fromOutput ? l.random(count) : 0;
            const [dy, statistics] = [l.random(count), l.random(4 * c)];
            l.bound = boundOf(rows + 1);
            const out = l.out((keeps ? count : 0) + slices * 2 * c);
            const [masked, partials] = keeps ? [out, out + 4 * count] : [0, out];
            return step("", "norm_grad_sums_f32", slices, {
              pixels,
              c,
              rows,
              input,
              output,
              dy,
              statistics,
              masked,
              partials,
              lo,
              hi,
            });
          },
        ],
      ),
    ),
  ),
  norm_wgrad_f32: NORMED.flatMap(([pixels, c, rows]) =>
    [0, 1].map(
      (live): Case => [
        `${pixels}×${c}, slices of ${rows}${live ? ", live" : ""}`,
        (l) => {
          const partials = l.random(Math.ceil(pixels / rows) * 2 * c);
          const statistics = l.random(4 * c);
          l.bound = HALF_ULP * 8 * Math.ceil(pixels / rows);
          const out = l.inout(5 * c);
          const [dw, db] = live ? [out, out + 4 * c] : [0, 0];
          return step("", "norm_wgrad_f32", c, {
            pixels,
            c,
            rows,
            live,
            partials,
            statistics,
            dw,
            db,
            slopes: out + 8 * c,
          });
        },
      ],
    ),
  ),
  norm_dgrad_f32: [1, 4, 5, 17].flatMap((c) =>
    MASKED.slice(0, 2).flatMap(([way, lo, hi]) =>
      [0, 1].map(
        (adds): Case => [
          `${c} channels, ${way}${adds ? ", added" : ""}`,
          (l) => {
            const [input, dy, statistics, slopes] = [
              l.random(5 * c),
              l.random(5 * c),
              l.random(4 * c),
              l.random(3 * c),
            ];
            l.bound = boundOf(4);
            const dx = l.inout(5 * c);
            return step("", "norm_dgrad_f32", 5, { c, adds, input, dy, statistics, slopes, dx, lo, hi });
          },
        ],
      ),
    ),
  ),
  clamp_dgrad_f32: [1, 3, 4, 7].flatMap((c) =>
    [0, 1].map(
      (adds): Case => [
        `${c} channels${adds ? ", added" : ""}`,
        (l) => {
          const [output, dy] = [l.random(5 * c), l.random(5 * c)];
          l.bound = boundOf(1);
          return step("", "clamp_dgrad_f32", 5, { c, adds, output, dy, dx: l.inout(5 * c), lo: 0, hi: 0.5 });
        },
      ],
    ),
  ),
  bias_grad_f32: [1, 16, 21].map((c) => [
    `${c} columns`,
    (l) => {
      l.bound = boundOf(4);
      return step("", "bias_grad_f32", Math.ceil(c / 16), { m: 9, c, dy: l.random(9 * c), db: l.inout(c) });
    },
  ]),
  maxpool_dgrad_f32: unpools("maxpool_dgrad_f32"),
  avgpool_dgrad_f32: unpools("avgpool_dgrad_f32"),
  globalpool_dgrad_f32: [1, 4, 7].flatMap((c) =>
    [0, 1].map(
      (adds): Case => [
        `${c} channels${adds ? ", added" : ""}`,
        (l) => {
          const dy = l.random(3 * c);
          l.bound = boundOf(2);
          return step("", "globalpool_dgrad_f32", 3, { pixels: 6, c, adds, dy, dx: l.inout(3 * 6 * c) });
        },
      ],
    ),
  ),
  shortcut_dgrad_f32: [
    [4, 4, 16, 32, 2, 8, 0],
    [5, 3, 3, 8, 2, 2, 1],
    [2, 2, 4, 4, 1, 0, 1],
  ].map(([h, w, c, n, s, before, adds]) => [
    `${h}×${w}×${c} → ${n}, stride ${s}${adds ? ", added" : ""}`,
    (l) => {
      const [oh, ow] = [Math.ceil(h! / s!), Math.ceil(w! / s!)];
      const dy = l.random(2 * oh * ow * n!);
      l.bound = boundOf(1);
      const out = l.inout(2 * h! * w! * c!);
      return step("", "shortcut_dgrad_f32", 2 * h!, {
        h: h!,
        w: w!,
        c: c!,
        oh,
        ow,
        n: n!,
        s: s!,
        before: before!,
        adds: adds!,
        dy,
        dx: out,
      });
    },
  ]),
  loss_f32: [2, 10, 1000].flatMap((n) =>
    (["one class", "smoothed", "mixed and weighted"] as const).map(
      (kind): Case => [
        `${n} classes, ${kind}`,
        (l) => {
          const input = l.random(3 * n);
          const rows = [0, n - 1, n >> 1].map((label) => {
            const [even, one] = kind === "one class" ? [0, 1] : kind === "smoothed" ? [0.1 / n, 0.9] : [0, 1.75];
            const row = new Array<number>(n).fill(even);
            row[label]! += one;
            if (kind === "mixed and weighted") row[(label + 1) % n]! += 0.5;
            return row;
          });
          const targets = l.floats(rows.flat());
          l.bound = 4e-6;
          const out = l.out(3 * n + 6);
          return step("", "loss_f32", 3, { n, input, targets, dx: out, losses: out + 12 * n, scale: 1 / 3 });
        },
      ],
    ),
  ),
  bce_f32: [1, 3, 80].flatMap((n) =>
    [0, 0.1, 0.6].map(
      (smoothing): Case => [
        `${n} classes, smoothed by ${smoothing}`,
        (l) => {
          const input = l.random(3 * n);
          const target = (i: number): number => (i % 3 === 1 ? 1 - smoothing / 2 : smoothing / 2);
          const targets = l.floats(Array.from({ length: 3 * n }, (_, i) => target(i)));
          l.bound = 2e-6;
          const out = l.out(3 * n + 6);
          return step("", "bce_f32", 3, { n, input, targets, dx: out, losses: out + 12 * n, scale: 1 / 3 });
        },
      ],
    ),
  ),
  sum_squares_f32: [4, 4096, 4100, 12288].map((n) => [
    `${n} elements`,
    (l) => {
      l.bound = boundOf(1024) * 4;
      return step("", "sum_squares_f32", Math.ceil(n / 4096), {
        n,
        input: l.random(n),
        out: l.out(Math.ceil(n / 4096)),
      });
    },
  ]),
  clip_f32: [0.5, Number.POSITIVE_INFINITY].map((limit) => [
    `to ${limit}`,
    (l) => {
      l.bound = 1e-6;
      // Of 9 numbers that come to more than nothing, whatever their signs.
      const input = l.bytes(new Uint8Array(Float32Array.from({ length: 9 }, (_, i) => i / 3).buffer));
      const out = l.out(2);
      return step("", "clip_f32", 1, { n: 9, input, out, factor: out + 4, limit });
    },
  ]),
  sgd_f32: [0, 1].map((nesterov) => [
    nesterov ? "Nesterov" : "momentum",
    (l) => {
      const [hyper, dw] = [l.random(2), l.random(48)];
      l.bound = boundOf(4);
      const out = l.inout(96);
      return step("", "sgd_f32", 3, { nesterov, hyper, dw, w: out, m: out + 4 * 48, momentum: 0.9, decay: 0.01 });
    },
  ]),
  adamw_f32: [
    [
      "a step",
      (l) => {
        const hyper = l.bytes(new Uint8Array(Float32Array.of(0.01, 0.5, 0.02, 3).buffer));
        const dw = l.random(48);
        // Squares are not negative.
        const out = l.bytes(new Uint8Array(Float32Array.from({ length: 144 }, (_, i) => (i % 7) / 7).buffer));
        l.output = { address: out, count: 144 };
        l.writable.push({ address: out, bytes: 4 * 144 });
        l.bound = boundOf(8);
        return step("", "adamw_f32", 3, {
          hyper,
          dw,
          w: out,
          m: out + 192,
          v: out + 384,
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-3,
          decay: 0.1,
        });
      },
    ],
  ],
  lerp_f32: [
    [
      "three lines",
      (l) => {
        l.bound = boundOf(2);
        return step("", "lerp_f32", 3, { share: l.random(1), input: l.random(48), out: l.inout(48) });
      },
    ],
  ],
} satisfies Partial<Record<KernelName, readonly Case[]>>;

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
      return step("", "globalpool_f32", 2 * Math.ceil(c / 16), {
        pixels: 7,
        c,
        input: l.random(2 * 7 * c),
        out: l.out(2 * c),
      });
    },
  ]),
  norm_f32: [1, 3, 4, 5, 17].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(2);
      return step("", "norm_f32", 5, {
        c,
        input: l.random(5 * c),
        parameters: l.random(2 * c),
        out: l.out(5 * c),
        lo: 0,
        hi: 0.75,
      });
    },
  ]),
  clamp_f32: [1, 3, 4, 7].map((c) => [
    `${c} channels`,
    (l) => step("", "clamp_f32", 5, { c, input: l.random(5 * c), out: l.out(5 * c), lo: -0.25, hi: 0.5 }),
  ]),
  add_f32: [1, 3, 4, 7].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(1);
      return step("", "add_f32", 5, { c, a: l.random(5 * c), b: l.random(5 * c), out: l.out(5 * c), lo: 0, hi: 1 });
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
      return step("", "shortcut_f32", 2 * oh, {
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
  ]),
  gate_f32: [1, 3, 4, 7].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = boundOf(1);
      return step("", "gate_f32", 6, {
        pixels: 3,
        c,
        input: l.random(6 * c),
        factors: l.random(2 * c),
        out: l.out(6 * c),
      });
    },
  ]),
  sigmoid_f32: [1, 3, 8].map((c) => [
    `${c} channels`,
    (l) => {
      l.bound = 1e-6;
      return step("", "sigmoid_f32", 5, { c, input: l.random(5 * c), out: l.out(5 * c) });
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
      return step("", "pack_f32", units, {
        n,
        c,
        kh,
        kw,
        so: so!,
        si: si!,
        sv: sv!,
        su: su!,
        weights: l.random(all * c * kh * kw),
        scale: l.random(all),
        bias: l.random(all),
        out: l.out((units * panelBytes(kh * kw * c)) / 4),
      });
    },
  ]),
  winograd2_transform_input_f32: winogradInputs(2),
  winograd4_transform_input_f32: winogradInputs(4),
  winograd2_transform_output_f32: winogradOutputs(2),
  winograd4_transform_output_f32: winogradOutputs(4),
  winograd2_transform_weights_f32: winogradWeights(2),
  winograd4_transform_weights_f32: winogradWeights(4),
  ...TRAINING,
  // Its units go on from one another, so a split range gives the bytes of the whole: both have come to the same number.
  peak_f32: [
    [
      "to the fixed point",
      (l) => {
        l.bound = 1e-6;
        return step("", "peak_f32", 4, { out: l.out(48), scale: 0.5, shift: 1 });
      },
    ],
  ],
  probe_pairs_f32: [["to zero", (l) => step("", "probe_pairs_f32", 1, { out: l.out(48), factor: 0.5 })]],
  probe_apart_f32: [["to zero", (l) => step("", "probe_apart_f32", 1, { out: l.out(96), factor: 0.5 })]],
  normalize_f32: (
    [
      ["RGB", 3, 0],
      ["BGR", 3, 1],
      ["gray", 1, 0],
    ] as const
  ).map(([name, c, bgr]) => [
    name,
    (l) => {
      l.bound = 256 * boundOf(1);
      const image = l.bytes(Uint8Array.from({ length: 3 * 7 * 4 }, (_, i) => (i * 89) & 255));
      return step("", "normalize_f32", 3, {
        w: 7,
        c,
        bgr,
        input: image,
        affine: l.random(2 * c),
        out: l.out(3 * 7 * c),
      });
    },
  ]),
  widen_f32: [10, 7].map((mantissa) => [
    mantissa === 10 ? "binary16" : "bfloat16",
    (l) => {
      const every = Uint8Array.from({ length: 2 * 65536 }, (_, i) => (i & 1 ? i >> 9 : (i >> 1) & 255));
      return step("", "widen_f32", 65536, { mantissa, input: l.bytes(every), out: l.out(65536) });
    },
  ]),
};

/** The whole range in one go, or in parts, on memory that is filled again before; returns the output and how many bytes outside it changed. */
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
  const { address, count } = layout.output;
  return {
    out: new Float32Array(kernels.memory.buffer, address, count).slice(),
    strayed: strayedBytes(before, after, layout.writable),
  };
}

function expected(make: Case[1]): { out: Float32Array; bound: number } {
  const memory = { buffer: new ArrayBuffer(PAGES * 65536) };
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
      const kernels = await keptKernels(build, PAGES);
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
        const other = execute(await keptKernels("baseline", PAGES), make);
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

describe("max pooling", () => {
  it.each(RUNNABLE)("keeps a NaN wherever it is in the window: %s", async (build) => {
    const { memory, exports } = await kernelsOf(build, PAGES);
    const [input, out] = [STATIC_BYTES, STATIC_BYTES + 4096];
    for (let at = 0; at < 9; ++at) {
      // Five channels: one vector, and one value by itself.
      const values = new Float32Array(memory.buffer, input, 45).fill(1);
      values[5 * at] = Number.NaN;
      values[5 * at + 4] = Number.NaN;
      const window = { h: 3, w: 3, c: 5, oh: 1, ow: 1, kh: 3, kw: 3, sh: 1, sw: 1, top: 0, left: 0, input, out };
      runStep(exports, step("", "maxpool_f32", 1, window));
      expect([...new Float32Array(memory.buffer, out, 5)]).toEqual([Number.NaN, 1, 1, 1, Number.NaN]);
    }
  });
});

describe("the exponential and the logarithm", () => {
  it.each(RUNNABLE)(
    "are right to the last bits of f32 from one end of their range to the other (%s)",
    async (build) => {
      const { memory, exports } = await kernelsOf(build, 1);
      const [input, out, targets, losses] = [
        STATIC_BYTES,
        STATIC_BYTES + 8192,
        STATIC_BYTES + 16384,
        STATIC_BYTES + 24576,
      ];
      const ends = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0, -0, 1e-30, 1e30, -1e30];
      const values = [...ends, ...Array.from({ length: 1600 }, (_, i) => i - 800 + Math.sin(i))].map(Math.fround);
      new Float32Array(memory.buffer, input).set(values);
      const off = (got: number, wanted: number): boolean => {
        return !(Object.is(got, wanted) || Math.abs(got - wanted) <= Math.abs(wanted) * 2 ** -23 + 2 ** -149);
      };
      runStep(exports, step("", "sigmoid_f32", 1, { c: values.length, input, out }));
      const sigmoids = [...new Float32Array(memory.buffer, out, values.length)];
      expect(values.filter((x, i) => off(sigmoids[i]!, Math.fround(1 / (1 + Math.exp(-x)))))).toEqual([]);
      // One class a row that is not shown: the loss is log(1 + exp(x)).
      const shown = values.filter(Number.isFinite);
      new Float32Array(memory.buffer, input).set(shown);
      new Float32Array(memory.buffer, targets).fill(0, 0, shown.length);
      runStep(exports, step("", "bce_f32", shown.length, { n: 1, input, targets, dx: out, losses, scale: 1 }));
      const got = new Float32Array(memory.buffer, losses, 2 * shown.length);
      const loss = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
      // The logarithm of 1 + a small number has the error of that sum.
      expect(shown.filter((x, i) => !(Math.abs(got[2 * i]! - loss(x)) <= 1e-7 * loss(x) + 1e-15))).toEqual([]);
    },
  );
});

describe("the table", () => {
  it("tests every f32 kernel the module exports", async () => {
    const { exports } = await kernelsOf("baseline", 1);
    const exported = Object.keys(exports).filter((name) => name.endsWith("_f32"));
    expect(exported.filter((name) => !(name in CASES)).sort()).toEqual([]);
  });
  it("has arguments in one order: range, scratch, sizes, addresses, scalars", async () => {
    const declared = await readFile(new URL("../wasm/baseline.d.ts", import.meta.url), "utf8");
    let kernels = 0;
    for (const [, list, name] of declared.matchAll(/((?: +\* @param .*\n)+) +\*\/\n +export function (\w+)/g)) {
      const [from, to, ...rest] = [...list!.matchAll(/@param (\w+) `(\w+)`/g)].map(
        ([, each, type]) => `${each} ${type}`,
      );
      expect([from, to], name!).toEqual(["from i32", "to i32"]);
      expect(rest.map((each) => (each === "scratch usize" ? "s" : each.split(" ")[1]![0])).join(""), name!).toMatch(
        /^s?i*u+f*$/,
      );
      expect([...KERNEL_ARGUMENTS[name as KernelName]], name!).toEqual(rest.map((each) => each.split(" ")[0]));
      kernels += 1;
    }
    expect(kernels).toBe(Object.keys(KERNEL_ARGUMENTS).length);
  });
  it("takes arguments by name: a wrong, a missing or an extra one does not compile", () => {
    const args = { c: 1, input: 4096, out: 4160, lo: 0, hi: 1 };
    expect(step("", "clamp_f32", 1, args).args).toEqual([1, 4096, 4160, 0, 1]);
    const { hi: _hi, ...missing } = args;
    // @ts-expect-error: hi is missing
    step("", "clamp_f32", 1, missing);
    // @ts-expect-error: one too many, even from a spread
    step("", "clamp_f32", 1, { ...args, n: 1 });
    // @ts-expect-error: a wrong name
    step("", "clamp_f32", 1, { ...missing, high: 1 });
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
    runStep(
      kernels.exports,
      step("", "clamp_f32", 2, { c: 2, input: STATIC_BYTES, out: STATIC_BYTES + 64, lo: 1, hi: 1 }),
    );
    expect([...new Float32Array(kernels.memory.buffer, STATIC_BYTES + 64, 4)]).toEqual([1, 1, 1, 1]);
  });
});
