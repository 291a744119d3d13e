/**
 * The specification: every f32 kernel by the same name and arguments, in plain Float64 loops. Addresses are bytes into
 * `heap`; results are rounded to f32 only where they are stored.
 */

type Kernel = (heap: DataView, from: number, to: number, ...args: number[]) => void;

const get = (heap: DataView, address: number, index: number): number => heap.getFloat32(address + 4 * index, true);
const set = (heap: DataView, address: number, index: number, value: number): void =>
  heap.setFloat32(address + 4 * index, value, true);
const clamped = (x: number, lo: number, hi: number): number => Math.min(Math.max(x, lo), hi);

/** Column `j` of a panel: its bias and its weight in cell `cell`. */
const bias = (heap: DataView, panel: number, j: number): number => get(heap, panel, j);
const weight = (heap: DataView, panel: number, cell: number, j: number): number => get(heap, panel, 8 * (cell + 1) + j);

/** The part of a convolution that its three kernels share; `column` counts panels over groups. */
function convolve(
  heap: DataView,
  [from, to]: readonly [number, number],
  mc: number,
  sizes: { batch: number; h: number; w: number; c: number; oh: number; ow: number; n: number; kh: number; kw: number },
  slide: { sh: number; sw: number; dh: number; dw: number; top: number; left: number; groups: number },
  addresses: { input: number; panels: number; residual: number; out: number },
  [lo, hi]: readonly [number, number],
): void {
  const { batch, h, w, c, oh, ow, n, kh, kw } = sizes;
  const { sh, sw, dh, dw, top, left, groups } = slide;
  const m = batch * oh * ow;
  const k = c / groups;
  const width = n / groups;
  const perGroup = Math.ceil(width / 8);
  for (let unit = from; unit < to; ++unit) {
    const chunk = Math.floor(unit / (perGroup * groups));
    const column = unit % (perGroup * groups);
    const group = Math.floor(column / perGroup);
    const panel = addresses.panels + column * (kh * kw * k + 1) * 32;
    for (let row = chunk * mc; row < Math.min(m, (chunk + 1) * mc); ++row) {
      const image = Math.floor(row / (oh * ow));
      const y = Math.floor(row / ow) % oh;
      const x = row % ow;
      for (let j = 0; j < Math.min(8, width - 8 * (column % perGroup)); ++j) {
        let sum = bias(heap, panel, j);
        for (let v = 0; v < kh; ++v) {
          for (let u = 0; u < kw; ++u) {
            const iy = y * sh + v * dh - top;
            const ix = x * sw + u * dw - left;
            if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
            for (let i = 0; i < k; ++i) {
              const value = get(heap, addresses.input, ((image * h + iy) * w + ix) * c + group * k + i);
              sum += value * weight(heap, panel, (v * kw + u) * k + i, j);
            }
          }
        }
        const at = row * n + group * width + 8 * (column % perGroup) + j;
        if (addresses.residual !== 0) sum += get(heap, addresses.residual, at);
        set(heap, addresses.out, at, clamped(sum, lo, hi));
      }
    }
  }
}

/** A pool: `reduce` over the window's values. */
function pooled(
  heap: DataView,
  [from, to]: readonly [number, number],
  [h, w, c, oh, ow, kh, kw, sh, sw, top, left]: readonly number[],
  input: number,
  out: number,
  reduce: (values: readonly number[]) => number,
): void {
  for (let unit = from; unit < to; ++unit) {
    const image = Math.floor(unit / oh!);
    const y = unit % oh!;
    for (let x = 0; x < ow!; ++x) {
      for (let i = 0; i < c!; ++i) {
        const values: number[] = [];
        for (let v = 0; v < kh!; ++v) {
          for (let u = 0; u < kw!; ++u) {
            const iy = y * sh! + v - top!;
            const ix = x * sw! + u - left!;
            if (iy < 0 || iy >= h! || ix < 0 || ix >= w!) continue;
            values.push(get(heap, input, ((image * h! + iy) * w! + ix) * c! + i));
          }
        }
        set(heap, out, (unit * ow! + x) * c! + i, reduce(values));
      }
    }
  }
}

type Rows = readonly (readonly number[])[];

/** Winograd's matrices, as Lavin & Gray print them (arXiv 1509.09308, sections 4.1 and 4.3), by outputs a side. */
const WINOGRAD: Readonly<Record<2 | 4, { readonly bt: Rows; readonly g: Rows; readonly at: Rows }>> = {
  2: {
    bt: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1],
    ],
    g: [
      [1, 0, 0],
      [1 / 2, 1 / 2, 1 / 2],
      [1 / 2, -1 / 2, 1 / 2],
      [0, 0, 1],
    ],
    at: [
      [1, 1, 1, 0],
      [0, 1, -1, -1],
    ],
  },
  4: {
    bt: [
      [4, 0, -5, 0, 1, 0],
      [0, -4, -4, 1, 1, 0],
      [0, 4, -4, -1, 1, 0],
      [0, -2, -1, 2, 1, 0],
      [0, 2, -1, -2, 1, 0],
      [0, 4, 0, -5, 0, 1],
    ],
    g: [
      [1 / 4, 0, 0],
      [-1 / 6, -1 / 6, -1 / 6],
      [-1 / 6, 1 / 6, -1 / 6],
      [1 / 24, 1 / 12, 1 / 6],
      [1 / 24, -1 / 12, 1 / 6],
      [0, 0, 1],
    ],
    at: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 0],
      [0, 1, 1, 4, 4, 0],
      [0, 1, -1, 8, -8, 1],
    ],
  },
};

/** `L x Lᵀ`. */
function sandwich(l: Rows, x: Rows): Rows {
  const times = (a: Rows, b: Rows): Rows =>
    a.map((row) => b[0]!.map((_, j) => row.reduce((s, v, i) => s + v * b[i]![j]!, 0)));
  const transposed = l[0]!.map((_, j) => l.map((row) => row[j]!));
  return times(times(l, x), transposed);
}

const square = (side: number, at: (v: number, u: number) => number): Rows =>
  Array.from({ length: side }, (_, v) => Array.from({ length: side }, (_, u) => at(v, u)));

function winogradInput(o: 2 | 4): Kernel {
  const t = o + 2;
  return (heap, from, to, ...args) => {
    const [_batch, h, w, c, ty, tx, top, left, first, input, _zeros, out] = args as Tuple;
    for (let unit = from; unit < to; ++unit) {
      const patch = first + unit;
      const image = Math.floor(patch / (ty * tx));
      const y = (Math.floor(patch / tx) % ty) * o - top;
      const x = (patch % tx) * o - left;
      for (let i = 0; i < c; ++i) {
        const d = square(t, (v, u) => {
          const inside = y + v >= 0 && y + v < h && x + u >= 0 && x + u < w;
          return inside ? get(heap, input, ((image * h + y + v) * w + x + u) * c + i) : 0;
        });
        const result = sandwich(WINOGRAD[o].bt, d).flat();
        for (const [p, value] of result.entries()) set(heap, out, (unit * t * t + p) * c + i, value);
      }
    }
  };
}

function winogradOutput(o: 2 | 4): Kernel {
  const t = o + 2;
  return (heap, from, to, ...args) => {
    const [oh, ow, n, ty, tx, first, products, residual, out, _scratch, lo, hi] = args as Tuple;
    for (let unit = from; unit < to; ++unit) {
      const patch = first + unit;
      const image = Math.floor(patch / (ty * tx));
      const y = (Math.floor(patch / tx) % ty) * o;
      const x = (patch % tx) * o;
      for (let i = 0; i < n; ++i) {
        const result = sandwich(
          WINOGRAD[o].at,
          square(t, (v, u) => get(heap, products, (unit * t * t + v * t + u) * n + i)),
        );
        for (let v = 0; v < Math.min(o, oh - y); ++v) {
          for (let u = 0; u < Math.min(o, ow - x); ++u) {
            const at = ((image * oh + y + v) * ow + x + u) * n + i;
            const sum = result[v]![u]! + (residual === 0 ? 0 : get(heap, residual, at));
            set(heap, out, at, clamped(sum, lo, hi));
          }
        }
      }
    }
  };
}

function winogradWeights(o: 2 | 4): Kernel {
  const t = o + 2;
  return (heap, from, to, ...args) => {
    const [n, c, so, si, sv, su, weights, scale, shift, out] = args as Tuple;
    for (let unit = from; unit < to; ++unit) {
      for (let r = 0; r < 8; ++r) {
        const j = 8 * unit + r;
        const panel = (p: number): number => out + (p * Math.ceil(n / 8) + unit) * (c + 1) * 32;
        for (let p = 0; p < t * t; ++p) set(heap, panel(p), r, p === t + 1 && j < n ? get(heap, shift, j) : 0);
        for (let i = 0; i < c; ++i) {
          const g = square(3, (v, u) => (j < n ? get(heap, weights, j * so + i * si + v * sv + u * su) : 0));
          const factor = j < n ? get(heap, scale, j) : 0;
          const result = sandwich(WINOGRAD[o].g, g).flat();
          for (const [p, value] of result.entries()) set(heap, panel(p), 8 * (i + 1) + r, factor * value);
        }
      }
    }
  };
}

export const reference = {
  gemm_f32(heap, from, to, _mr, mc, m, n, k, groups, lda, ldo, a, panels, residual, out, _scratch, lo, hi) {
    const perGroup = Math.ceil(n! / 8);
    for (let unit = from; unit < to; ++unit) {
      const chunk = Math.floor(unit / (perGroup * groups!));
      const column = unit % (perGroup * groups!);
      const group = Math.floor(column / perGroup);
      const panel = panels! + column * (k! + 1) * 32;
      for (let row = chunk * mc!; row < Math.min(m!, (chunk + 1) * mc!); ++row) {
        for (let j = 0; j < Math.min(8, n! - 8 * (column % perGroup)); ++j) {
          let sum = bias(heap, panel, j);
          for (let i = 0; i < k!; ++i) sum += get(heap, a!, row * lda! + group * k! + i) * weight(heap, panel, i, j);
          const at = row * ldo! + group * n! + 8 * (column % perGroup) + j;
          if (residual !== 0) sum += get(heap, residual!, at);
          set(heap, out!, at, clamped(sum, lo!, hi!));
        }
      }
    }
  },
  conv_f32(heap, from, to, ...args) {
    const [_mr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups] = args as Tuple;
    const [input, panels, residual, _zeros, out, _scratch, lo, hi] = args.slice(18) as Tuple;
    const sizes = { batch, h, w, c, oh, ow, n, kh, kw };
    convolve(heap, [from, to], mc, sizes, { sh, sw, dh, dw, top, left, groups }, { input, panels, residual, out }, [
      lo,
      hi,
    ]);
  },
  im2col_f32(heap, from, to, ...args) {
    const [_mr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, top, left] = args as Tuple;
    const [input, panels, residual, out, _scratch, lo, hi] = args.slice(15) as Tuple;
    const slide = { sh, sw, dh: 1, dw: 1, top, left, groups: 1 };
    convolve(heap, [from, to], mc, { batch, h, w, c, oh, ow, n, kh, kw }, slide, { input, panels, residual, out }, [
      lo,
      hi,
    ]);
  },
  maxpool_f32(heap, from, to, ...args) {
    const [input, out] = args.slice(11) as Tuple;
    pooled(heap, [from, to], args, input, out, (values) => Math.max(...values));
  },
  avgpool_f32(heap, from, to, ...args) {
    const [whole, input, out] = args.slice(11) as Tuple;
    const window = args[5]! * args[6]!;
    pooled(heap, [from, to], args, input, out, (values) => {
      return values.reduce((a, b) => a + b, 0) / (whole === 1 ? window : values.length);
    });
  },
  globalpool_f32(heap, from, to, pixels, c, input, out) {
    const blocks = Math.ceil(c! / 16);
    for (let unit = from; unit < to; ++unit) {
      const image = Math.floor(unit / blocks);
      for (let i = 16 * (unit % blocks); i < Math.min(c!, 16 * (unit % blocks) + 16); ++i) {
        let sum = 0;
        for (let p = 0; p < pixels!; ++p) sum += get(heap, input!, (image * pixels! + p) * c! + i);
        set(heap, out!, image * c! + i, sum / pixels!);
      }
    }
  },
  norm_f32(heap, from, to, c, input, parameters, out, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) {
      const y = get(heap, input!, at) * get(heap, parameters!, at % c!) + get(heap, parameters!, c! + (at % c!));
      set(heap, out!, at, clamped(y, lo!, hi!));
    }
  },
  clamp_f32(heap, from, to, c, input, out, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) set(heap, out!, at, clamped(get(heap, input!, at), lo!, hi!));
  },
  add_f32(heap, from, to, c, a, b, out, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) {
      set(heap, out!, at, clamped(get(heap, a!, at) + get(heap, b!, at), lo!, hi!));
    }
  },
  shortcut_f32(heap, from, to, h, w, c, oh, ow, n, s, before, input, out) {
    for (let unit = from; unit < to; ++unit) {
      const image = Math.floor(unit / oh!);
      const y = unit % oh!;
      for (let x = 0; x < ow!; ++x) {
        for (let i = 0; i < n!; ++i) {
          const j = i - before!;
          const inside = j >= 0 && j < c!;
          const value = inside ? get(heap, input!, ((image * h! + y * s!) * w! + x * s!) * c! + j) : 0;
          set(heap, out!, (unit * ow! + x) * n! + i, value);
        }
      }
    }
  },
  gate_f32(heap, from, to, pixels, c, input, factors, out) {
    for (let at = from * c!; at < to * c!; ++at) {
      const image = Math.floor(at / c! / pixels!);
      set(heap, out!, at, get(heap, input!, at) * get(heap, factors!, image * c! + (at % c!)));
    }
  },
  sigmoid_f32(heap, from, to, c, input, out) {
    for (let at = from * c!; at < to * c!; ++at) set(heap, out!, at, 1 / (1 + Math.exp(-get(heap, input!, at))));
  },
  softmax_f32(heap, from, to, n, input, out) {
    for (let unit = from; unit < to; ++unit) {
      const row = Array.from({ length: n! }, (_, i) => get(heap, input!, unit * n! + i));
      const top = Math.max(...row);
      const sum = row.reduce((total, value) => total + Math.exp(value - top), 0);
      for (const [i, value] of row.entries()) set(heap, out!, unit * n! + i, Math.exp(value - top) / sum);
    }
  },
  pack_f32(heap, from, to, n, c, kh, kw, so, si, sv, su, weights, scale, shift, out) {
    const perGroup = Math.ceil(n! / 8);
    for (let unit = from; unit < to; ++unit) {
      const panel = out! + unit * (kh! * kw! * c! + 1) * 32;
      for (let r = 0; r < 8; ++r) {
        const inGroup = 8 * (unit % perGroup) + r;
        const exists = inGroup < n!;
        const o = Math.floor(unit / perGroup) * n! + inGroup;
        set(heap, panel, r, exists ? get(heap, shift!, o) : 0);
        for (let v = 0; v < kh!; ++v) {
          for (let u = 0; u < kw!; ++u) {
            for (let i = 0; i < c!; ++i) {
              const value = exists
                ? get(heap, weights!, o * so! + i * si! + v * sv! + u * su!) * get(heap, scale!, o)
                : 0;
              set(heap, panel, 8 * ((v * kw! + u) * c! + i + 1) + r, value);
            }
          }
        }
      }
    }
  },
  winograd2_input_f32: winogradInput(2),
  winograd4_input_f32: winogradInput(4),
  winograd2_output_f32: winogradOutput(2),
  winograd4_output_f32: winogradOutput(4),
  winograd2_weights_f32: winogradWeights(2),
  winograd4_weights_f32: winogradWeights(4),
  peak_f32(heap, from, to, out, scale, shift) {
    for (let j = 0; j < 48; ++j) {
      let x = get(heap, out!, j);
      for (let i = 0; i < 1000 * (to - from); ++i) x = x * scale! + shift!;
      set(heap, out!, j, x);
    }
  },
  normalize_f32(heap, from, to, w, bgr, input, affine, out) {
    for (let at = from * w!; at < to * w!; ++at) {
      for (let i = 0; i < 3; ++i) {
        const value = heap.getUint8(input! + 4 * at + (bgr === 1 ? 2 - i : i));
        set(heap, out!, 3 * at + i, value * get(heap, affine!, i) + get(heap, affine!, 3 + i));
      }
    }
  },
  widen_f32(heap, from, to, mantissa, input, out) {
    for (let i = from; i < to; ++i) {
      const bits = heap.getUint16(input! + 2 * i, true);
      const exponentBits = 15 - mantissa!;
      const exponent = (bits >> mantissa!) & ((1 << exponentBits) - 1);
      const fraction = (bits & ((1 << mantissa!) - 1)) / (1 << mantissa!);
      const offset = (1 << (exponentBits - 1)) - 1;
      const sign = bits >> 15 ? -1 : 1;
      let value = exponent === 0 ? fraction * 2 ** (1 - offset) : (1 + fraction) * 2 ** (exponent - offset);
      if (exponent === (1 << exponentBits) - 1) value = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
      set(heap, out!, i, sign * value);
    }
  },
} satisfies Record<string, Kernel>;

type Tuple = [
  ...[number, number, number, number, number, number, number, number, number],
  ...[number, number, number, number, number, number, number, number, number],
];
