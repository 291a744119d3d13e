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
  { nr, mc }: { nr: number; mc: number },
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
  const perGroup = Math.ceil(width / nr);
  for (let unit = from; unit < to; ++unit) {
    const chunk = Math.floor(unit / (perGroup * groups));
    const group = Math.floor((unit % (perGroup * groups)) / perGroup);
    const first = nr * (unit % perGroup);
    for (let row = chunk * mc; row < Math.min(m, (chunk + 1) * mc); ++row) {
      const image = Math.floor(row / (oh * ow));
      const y = Math.floor(row / ow) % oh;
      const x = row % ow;
      for (let o = first; o < Math.min(width, first + nr); ++o) {
        const panel = addresses.panels + (group * Math.ceil(width / 8) + Math.floor(o / 8)) * (kh * kw * k + 1) * 32;
        const j = o % 8;
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
        const at = row * n + group * width + o;
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
    const [_scratch, _batch, h, w, c, ty, tx, top, left, first, input, _zeros, out] = args as Tuple;
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
    const [_scratch, oh, ow, n, ty, tx, first, products, residual, out, lo, hi] = args as Tuple;
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
    const [_scratch, n, c, so, si, sv, su, weights, scale, shift, out] = args as Tuple;
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

/** Pixels of a slice. */
function slice(unit: number, rows: number, pixels: number): readonly number[] {
  return Array.from({ length: Math.min(rows, pixels - unit * rows) }, (_, i) => unit * rows + i);
}

/** Whether a clamp passes the gradient of a value: an open one passes everything. */
function passes(y: number, lo: number, hi: number): boolean {
  return (lo === Number.NEGATIVE_INFINITY && hi === Number.POSITIVE_INFINITY) || (y > lo && y < hi);
}

/** A matrix transposed. */
function turn(rows: Rows): Rows {
  return rows[0]!.map((_, j) => rows.map((row) => row[j]!));
}

/** Kernel positions of one phase of a convolution with a stride, last first. */
function tapsOfPhase(
  { kh, kw, sh, sw, dh, dw }: { kh: number; kw: number; sh: number; sw: number; dh: number; dw: number },
  phase: number,
): readonly { readonly v: number; readonly u: number }[] {
  const taps: { v: number; u: number }[] = [];
  for (let v = kh - 1; v >= 0; --v) {
    for (let u = kw - 1; u >= 0; --u) {
      if ((v * dh) % sh === Math.floor(phase / sw) && (u * dw) % sw === phase % sw) taps.push({ v, u });
    }
  }
  return taps;
}

/** A pool backwards, image by image: `share` gives a window's gradient to its elements. */
function unpooled(
  heap: DataView,
  [from, to]: readonly [number, number],
  [h, w, c, oh, ow, kh, kw, sh, sw, top, left]: readonly number[],
  adds: number,
  dy: number,
  out: number,
  share: (window: readonly number[], g: number, give: (at: number, g: number) => void) => void,
): void {
  const size = h! * w! * c!;
  for (let image = from; image < to; ++image) {
    const sums = Array.from({ length: size }, (_, i) => (adds === 1 ? get(heap, out, image * size + i) : 0));
    for (let o = 0; o < oh! * ow! * c!; ++o) {
      const y = Math.floor(o / c! / ow!);
      const x = Math.floor(o / c!) % ow!;
      const window: number[] = [];
      for (let v = 0; v < kh!; ++v) {
        for (let u = 0; u < kw!; ++u) {
          const iy = y * sh! + v - top!;
          const ix = x * sw! + u - left!;
          if (iy >= 0 && iy < h! && ix >= 0 && ix < w!) window.push(image * size + (iy * w! + ix) * c! + (o % c!));
        }
      }
      share(window, get(heap, dy, image * oh! * ow! * c! + o), (at, g) => {
        sums[at - image * size]! += g;
      });
    }
    for (const [i, sum] of sums.entries()) set(heap, out, image * size + i, sum);
  }
}

export const reference = {
  gemm_f32(heap, from, to, _scratch, _mr, nr, mc, m, n, k, groups, lda, ldo, a, panels, residual, out, lo, hi) {
    const perGroup = Math.ceil(n! / nr!);
    for (let unit = from; unit < to; ++unit) {
      const chunk = Math.floor(unit / (perGroup * groups!));
      const group = Math.floor((unit % (perGroup * groups!)) / perGroup);
      const first = nr! * (unit % perGroup);
      for (let row = chunk * mc!; row < Math.min(m!, (chunk + 1) * mc!); ++row) {
        for (let o = first; o < Math.min(n!, first + nr!); ++o) {
          const panel = panels! + (group * Math.ceil(n! / 8) + Math.floor(o / 8)) * (k! + 1) * 32;
          const j = o % 8;
          let sum = bias(heap, panel, j);
          for (let i = 0; i < k!; ++i) sum += get(heap, a!, row * lda! + group * k! + i) * weight(heap, panel, i, j);
          const at = row * ldo! + group * n! + o;
          if (residual !== 0) sum += get(heap, residual!, at);
          set(heap, out!, at, clamped(sum, lo!, hi!));
        }
      }
    }
  },
  conv_f32(heap, from, to, ...args) {
    const [_scratch, _mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups] = args as Tuple;
    const [input, panels, residual, _zeros, out, lo, hi] = args.slice(20) as Tuple;
    const sizes = { batch, h, w, c, oh, ow, n, kh, kw };
    convolve(
      heap,
      [from, to],
      { nr, mc },
      sizes,
      { sh, sw, dh, dw, top, left, groups },
      { input, panels, residual, out },
      [lo, hi],
    );
  },
  im2col_f32(heap, from, to, ...args) {
    const [_scratch, _mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, top, left] = args as Tuple;
    const [input, panels, residual, _pads, out, lo, hi] = args.slice(17) as Tuple;
    const slide = { sh, sw, dh: 1, dw: 1, top, left, groups: 1 };
    convolve(
      heap,
      [from, to],
      { nr, mc },
      { batch, h, w, c, oh, ow, n, kh, kw },
      slide,
      { input, panels, residual, out },
      [lo, hi],
    );
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
  winograd2_transform_input_f32: winogradInput(2),
  winograd4_transform_input_f32: winogradInput(4),
  winograd2_transform_output_f32: winogradOutput(2),
  winograd4_transform_output_f32: winogradOutput(4),
  winograd2_transform_weights_f32: winogradWeights(2),
  winograd4_transform_weights_f32: winogradWeights(4),
  peak_f32(heap, from, to, out, scale, shift) {
    for (let j = 0; j < 48; ++j) {
      let x = get(heap, out!, j);
      for (let i = 0; i < 1000 * (to - from); ++i) x = x * scale! + shift!;
      set(heap, out!, j, x);
    }
  },
  probe_pairs_f32(heap, from, to, out, factor) {
    for (let j = 0; j < 48; ++j) set(heap, out!, j, get(heap, out!, j) * factor! ** (1000 * (to - from)));
  },
  probe_apart_f32(heap, from, to, out, factor) {
    for (let j = 0; j < 96; ++j)
      if (j % 8 < 4) set(heap, out!, j, get(heap, out!, j) * factor! ** (1000 * (to - from)));
  },
  normalize_f32(heap, from, to, w, c, bgr, input, affine, out) {
    for (let at = from * w!; at < to * w!; ++at) {
      for (let i = 0; i < c!; ++i) {
        const value = heap.getUint8(input! + 4 * at + (bgr === 1 ? 2 - i : i));
        set(heap, out!, c! * at + i, value * get(heap, affine!, i) + get(heap, affine!, c! + i));
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
  // training
  gemm_wgrad_f32(heap, from, to, _scratch, mr, nr, _mc, m, n, k, _groups, lda, ldb, ldo, ogo, adds, a, b, out) {
    const across = Math.ceil(n! / nr!);
    const perGroup = across * Math.ceil(k! / mr!);
    for (let unit = from; unit < to; ++unit) {
      const group = Math.floor(unit / perGroup);
      const i0 = Math.floor((unit % perGroup) / across) * mr!;
      const j0 = ((unit % perGroup) % across) * nr!;
      for (let i = i0; i < Math.min(k!, i0 + mr!); ++i) {
        for (let j = j0; j < Math.min(n!, j0 + nr!); ++j) {
          const at = group * ogo! + i * ldo! + j;
          let sum = adds === 1 ? get(heap, out!, at) : 0;
          for (let r = 0; r < m!; ++r) {
            sum += get(heap, a!, r * lda! + group * k! + i) * get(heap, b!, r * ldb! + group * n! + j);
          }
          set(heap, out!, at, sum);
        }
      }
    }
  },
  conv_wgrad_f32(heap, from, to, ...args) {
    const [_scratch, mr, nr, _mc, batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups] = args as Tuple;
    const [input, dy, _zeros, out] = args.slice(20) as Tuple;
    const [deep, width] = [c / groups, n / groups];
    const k = kh * kw * deep;
    const across = Math.ceil(width / nr);
    const perGroup = across * Math.ceil(k / mr);
    for (let unit = from; unit < to; ++unit) {
      const group = Math.floor(unit / perGroup);
      const q0 = Math.floor((unit % perGroup) / across) * mr;
      const j0 = ((unit % perGroup) % across) * nr;
      for (let q = q0; q < Math.min(k, q0 + mr); ++q) {
        const v = Math.floor(q / deep / kw);
        const u = Math.floor(q / deep) % kw;
        for (let j = j0; j < Math.min(width, j0 + nr); ++j) {
          const at = q * n + group * width + j;
          let sum = get(heap, out, at);
          for (let p = 0; p < batch * oh * ow; ++p) {
            const image = Math.floor(p / (oh * ow));
            const iy = (Math.floor(p / ow) % oh) * sh + v * dh - top;
            const ix = (p % ow) * sw + u * dw - left;
            if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
            const x = get(heap, input, ((image * h + iy) * w + ix) * c + group * deep + (q % deep));
            sum += x * get(heap, dy, p * n + group * width + j);
          }
          set(heap, out, at, sum);
        }
      }
    }
  },
  pack_hwio_f32(heap, from, to, n, c, taps, groups, weights, shift, out) {
    const across = Math.ceil(n! / 8);
    for (let unit = from; unit < to; ++unit) {
      const panel = out! + unit * (taps! * c! + 1) * 32;
      for (let r = 0; r < 8; ++r) {
        const inGroup = 8 * (unit % across) + r;
        const o = Math.floor(unit / across) * n! + inGroup;
        const exists = inGroup < n!;
        set(heap, panel, r, exists && shift !== 0 ? get(heap, shift!, o) : 0);
        for (let cell = 0; cell < taps! * c!; ++cell) {
          set(heap, panel, 8 * (cell + 1) + r, exists ? get(heap, weights!, cell * groups! * n! + o) : 0);
        }
      }
    }
  },
  pack_dgrad_f32(heap, from, to, n, c, kh, kw, sh, sw, dh, dw, groups, weights, out) {
    const across = Math.ceil(c! / 8);
    const slide = { kh: kh!, kw: kw!, sh: sh!, sw: sw!, dh: dh!, dw: dw! };
    for (let unit = from; unit < to; ++unit) {
      const column = unit % (groups! * across);
      const phase = Math.floor(unit / (groups! * across));
      const taps = tapsOfPhase(slide, phase);
      let panel = out!;
      for (let earlier = 0; earlier < phase; ++earlier) {
        panel += groups! * across * (tapsOfPhase(slide, earlier).length * n! + 1) * 32;
      }
      panel += column * (taps.length * n! + 1) * 32;
      const group = Math.floor(column / across);
      for (let r = 0; r < 8; ++r) {
        const i = 8 * (column % across) + r;
        set(heap, panel, r, 0);
        for (const [t, { v, u }] of taps.entries()) {
          for (let j = 0; j < n!; ++j) {
            const at = ((v * kw! + u) * c! + i) * groups! * n! + group * n! + j;
            set(heap, panel, 8 * (t * n! + j + 1) + r, i < c! ? get(heap, weights!, at) : 0);
          }
        }
      }
    }
  },
  conv_dgrad_f32(heap, from, to, ...args) {
    const [_scratch, _mr, _nr, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups] = args as Tuple;
    const [adds, dy, panels, _zeros, out] = args.slice(18) as Tuple;
    const [deep, width] = [n / groups, c / groups];
    const across = Math.ceil(width / 8);
    const slide = { kh, kw, sh, sw, dh, dw };
    for (let at = from * w * c; at < to * w * c; ++at) {
      const y = Math.floor(at / c / w) % h;
      const x = Math.floor(at / c) % w;
      const image = Math.floor(at / c / w / h);
      const phase = ((y + top) % sh) * sw + ((x + left) % sw);
      let panel = panels;
      for (let earlier = 0; earlier < phase; ++earlier) {
        panel += groups * across * (tapsOfPhase(slide, earlier).length * deep + 1) * 32;
      }
      const taps = tapsOfPhase(slide, phase);
      const group = Math.floor((at % c) / width);
      const i = (at % c) % width;
      panel += (group * across + Math.floor(i / 8)) * (taps.length * deep + 1) * 32;
      let sum = bias(heap, panel, i % 8) + (adds === 0 ? 0 : get(heap, out, at));
      for (const [t, { v, u }] of taps.entries()) {
        const oy = (y + top - v * dh) / sh;
        const ox = (x + left - u * dw) / sw;
        if (oy < 0 || oy >= oh || ox < 0 || ox >= ow) continue;
        for (let j = 0; j < deep; ++j) {
          const g = get(heap, dy, ((image * oh + oy) * ow + ox) * n + group * deep + j);
          sum += g * weight(heap, panel, t * deep + j, i % 8);
        }
      }
      set(heap, out, at, sum);
    }
  },
  winograd4_transform_hwio_f32(heap, from, to, _scratch, n, c, turned, weights, shift, out) {
    const [columns, cells] = turned === 1 ? [c!, n!] : [n!, c!];
    for (let unit = from; unit < to; ++unit) {
      const panel = (p: number): number => out! + (p * Math.ceil(columns / 8) + unit) * (cells + 1) * 32;
      for (let r = 0; r < 8; ++r) {
        const column = 8 * unit + r;
        const exists = column < columns;
        const first = turned === 0 && exists && shift !== 0 ? get(heap, shift!, column) : 0;
        for (let p = 0; p < 36; ++p) set(heap, panel(p), r, p === 7 ? first : 0);
        for (let cell = 0; cell < cells; ++cell) {
          const g = square(3, (v, u) => {
            if (!exists) return 0;
            const [o, i, tap] = turned === 1 ? [cell, column, 8 - (v * 3 + u)] : [column, cell, v * 3 + u];
            return get(heap, weights!, (tap * c! + i) * n! + o);
          });
          const result = sandwich(WINOGRAD[4].g, g).flat();
          for (const [p, value] of result.entries()) set(heap, panel(p), 8 * (cell + 1) + r, value);
        }
      }
    }
  },
  winograd4_transform_dy_f32(heap, from, to, _scratch, oh, ow, n, ty, tx, first, dy, _zeros, out) {
    for (let unit = from; unit < to; ++unit) {
      const patch = first! + unit;
      const image = Math.floor(patch / (ty! * tx!));
      const y = (Math.floor(patch / tx!) % ty!) * 4;
      const x = (patch % tx!) * 4;
      for (let i = 0; i < n!; ++i) {
        const g = square(4, (v, u) => {
          const inside = y + v < oh! && x + u < ow!;
          return inside ? get(heap, dy!, ((image * oh! + y + v) * ow! + x + u) * n! + i) : 0;
        });
        const result = sandwich(turn(WINOGRAD[4].at), g).flat();
        for (const [p, value] of result.entries()) set(heap, out!, (unit * 36 + p) * n! + i, value);
      }
    }
  },
  winograd4_transform_wgrad_f32(heap, from, to, _scratch, n, c, products, out) {
    for (let i = from; i < to; ++i) {
      for (let j = 0; j < n!; ++j) {
        const u6 = square(6, (v, u) => get(heap, products!, ((v * 6 + u) * c! + i) * n! + j));
        for (const [tap, value] of sandwich(turn(WINOGRAD[4].g), u6).flat().entries()) {
          const at = (tap * c! + i) * n! + j;
          set(heap, out!, at, get(heap, out!, at) + value);
        }
      }
    }
  },
  norm_add_f32(heap, from, to, c, input, parameters, residual, out, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) {
      const y = get(heap, input!, at) * get(heap, parameters!, at % c!) + get(heap, parameters!, c! + (at % c!));
      set(heap, out!, at, clamped(y + get(heap, residual!, at), lo!, hi!));
    }
  },
  norm_stats_f32(heap, from, to, pixels, c, rows, input, partials) {
    for (let unit = from; unit < to; ++unit) {
      for (let i = 0; i < c!; ++i) {
        const values = slice(unit, rows!, pixels!).map((p) => get(heap, input!, p * c! + i));
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        set(heap, partials!, unit * 2 * c! + i, mean);
        set(
          heap,
          partials!,
          unit * 2 * c! + c! + i,
          values.reduce((sum, x) => sum + (x - mean) ** 2, 0),
        );
      }
    }
  },
  norm_batch_f32(heap, from, to, pixels, c, rows, partials, gamma, beta, statistics, mean, variance, epsilon) {
    for (let i = from; i < to; ++i) {
      let sum = 0;
      const slices = Math.ceil(pixels! / rows!);
      const part = (s: number, which: number): number => get(heap, partials!, (2 * s + which) * c! + i);
      for (let s = 0; s < slices; ++s) sum += part(s, 0) * slice(s, rows!, pixels!).length;
      const middle = sum / pixels!;
      let squares = 0;
      for (let s = 0; s < slices; ++s) {
        squares += part(s, 1) + (part(s, 0) - middle) ** 2 * slice(s, rows!, pixels!).length;
      }
      const inverse = 1 / Math.sqrt(squares / pixels! + epsilon!);
      const scale = get(heap, gamma!, i) * inverse;
      [scale, get(heap, beta!, i) - middle * scale, middle, inverse].forEach((value, row) => {
        set(heap, statistics!, row * c! + i, value);
      });
      set(heap, mean!, i, middle);
      set(heap, variance!, i, squares / Math.max(1, pixels! - 1));
    }
  },
  norm_running_f32(heap, from, to, c, gamma, beta, mean, variance, statistics, epsilon) {
    for (let i = from; i < to; ++i) {
      const inverse = 1 / Math.sqrt(get(heap, variance!, i) + epsilon!);
      const scale = get(heap, gamma!, i) * inverse;
      const middle = get(heap, mean!, i);
      [scale, get(heap, beta!, i) - middle * scale, middle, inverse].forEach((value, row) => {
        set(heap, statistics!, row * c! + i, value);
      });
    }
  },
  norm_grad_sums_f32(heap, from, to, pixels, c, rows, input, output, dy, statistics, masked, partials, lo, hi) {
    for (let unit = from; unit < to; ++unit) {
      for (let i = 0; i < c!; ++i) {
        let [sum, product] = [0, 0];
        for (const p of slice(unit, rows!, pixels!)) {
          const x = get(heap, input!, p * c! + i);
          const again = x * get(heap, statistics!, i) + get(heap, statistics!, c! + i);
          const y = output === 0 ? again : get(heap, output!, p * c! + i);
          const g = passes(y, lo!, hi!) ? get(heap, dy!, p * c! + i) : 0;
          sum += g;
          product += g * (x - get(heap, statistics!, 2 * c! + i));
          if (masked !== 0) set(heap, masked!, p * c! + i, g);
        }
        set(heap, partials!, unit * 2 * c! + i, sum);
        set(heap, partials!, unit * 2 * c! + c! + i, product);
      }
    }
  },
  norm_wgrad_f32(heap, from, to, pixels, c, rows, live, partials, statistics, dw, db, slopes) {
    for (let i = from; i < to; ++i) {
      let [sum, product] = [0, 0];
      for (let s = 0; s < Math.ceil(pixels! / rows!); ++s) {
        sum += get(heap, partials!, 2 * s * c! + i);
        product += get(heap, partials!, (2 * s + 1) * c! + i);
      }
      const scale = get(heap, statistics!, i);
      const inverse = get(heap, statistics!, 3 * c! + i);
      if (dw !== 0) set(heap, dw!, i, get(heap, dw!, i) + product * inverse);
      if (db !== 0) set(heap, db!, i, get(heap, db!, i) + sum);
      set(heap, slopes!, i, scale);
      set(heap, slopes!, c! + i, live === 1 ? (-scale * inverse ** 2 * product) / pixels! : 0);
      set(heap, slopes!, 2 * c! + i, live === 1 ? (-scale * sum) / pixels! : 0);
    }
  },
  norm_dgrad_f32(heap, from, to, c, adds, input, dy, statistics, slopes, out, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) {
      const i = at % c!;
      const x = get(heap, input!, at);
      const y = x * get(heap, statistics!, i) + get(heap, statistics!, c! + i);
      const g = passes(y, lo!, hi!) ? get(heap, dy!, at) : 0;
      let dx = get(heap, slopes!, i) * g + get(heap, slopes!, c! + i) * (x - get(heap, statistics!, 2 * c! + i));
      dx += get(heap, slopes!, 2 * c! + i) + (adds === 0 ? 0 : get(heap, out!, at));
      set(heap, out!, at, dx);
    }
  },
  clamp_dgrad_f32(heap, from, to, c, adds, output, dy, out, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) {
      const g = passes(get(heap, output!, at), lo!, hi!) ? get(heap, dy!, at) : 0;
      set(heap, out!, at, g + (adds === 0 ? 0 : get(heap, out!, at)));
    }
  },
  bias_grad_f32(heap, from, to, m, c, input, out) {
    for (let i = 16 * from; i < Math.min(c!, 16 * to); ++i) {
      let sum = get(heap, out!, i);
      for (let r = 0; r < m!; ++r) sum += get(heap, input!, r * c! + i);
      set(heap, out!, i, sum);
    }
  },
  maxpool_dgrad_f32(heap, from, to, ...args) {
    const [adds, input, dy, out] = args.slice(11) as Tuple;
    unpooled(heap, [from, to], args, adds, dy, out, (window, g, give) => {
      const values = window.map((at) => get(heap, input, at));
      give(window[values.indexOf(Math.max(...values))]!, g);
    });
  },
  avgpool_dgrad_f32(heap, from, to, ...args) {
    const [all, adds, dy, out] = args.slice(11) as Tuple;
    unpooled(heap, [from, to], args, adds, dy, out, (window, g, give) => {
      for (const at of window) give(at, g / (all === 1 ? args[5]! * args[6]! : window.length));
    });
  },
  globalpool_dgrad_f32(heap, from, to, pixels, c, adds, dy, out) {
    for (let at = from * pixels! * c!; at < to * pixels! * c!; ++at) {
      const dx = get(heap, dy!, Math.floor(at / (pixels! * c!)) * c! + (at % c!)) / pixels!;
      set(heap, out!, at, dx + (adds === 0 ? 0 : get(heap, out!, at)));
    }
  },
  shortcut_dgrad_f32(heap, from, to, h, w, c, oh, ow, n, s, before, adds, dy, out) {
    for (let at = from * w! * c!; at < to * w! * c!; ++at) {
      const y = Math.floor(at / c! / w!) % h!;
      const x = Math.floor(at / c!) % w!;
      const image = Math.floor(at / c! / w! / h!);
      const copied = y % s! === 0 && x % s! === 0;
      const from4 = ((image * oh! + y / s!) * ow! + x / s!) * n! + before! + (at % c!);
      set(heap, out!, at, (adds === 1 ? get(heap, out!, at) : 0) + (copied ? get(heap, dy!, from4) : 0));
    }
  },
  loss_f32(heap, from, to, n, input, targets, dx, losses, scale) {
    for (let unit = from; unit < to; ++unit) {
      const row = Array.from({ length: n! }, (_, i) => get(heap, input!, unit * n! + i));
      const q = row.map((_, i) => get(heap, targets!, unit * n! + i));
      const top = Math.max(...row);
      const log = top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
      const weight = q.reduce((sum, each) => sum + each, 0);
      for (const [i, x] of row.entries()) set(heap, dx!, unit * n! + i, (weight * Math.exp(x - log) - q[i]!) * scale!);
      set(
        heap,
        losses!,
        2 * unit,
        row.reduce((sum, x, i) => sum - q[i]! * (x - log), 0),
      );
      set(heap, losses!, 2 * unit + 1, row.indexOf(top) === q.indexOf(Math.max(...q)) ? 1 : 0);
    }
  },
  bce_f32(heap, from, to, n, input, targets, dx, losses, scale) {
    for (let unit = from; unit < to; ++unit) {
      let [loss, right] = [0, 0];
      for (let i = 0; i < n!; ++i) {
        const x = get(heap, input!, unit * n! + i);
        const t = get(heap, targets!, unit * n! + i);
        loss -= (t * -Math.log1p(Math.exp(-x)) + (1 - t) * -Math.log1p(Math.exp(x))) / n!;
        set(heap, dx!, unit * n! + i, ((1 / (1 + Math.exp(-x)) - t) * scale!) / n!);
        right += x > 0 === t > 0.5 ? 1 : 0;
      }
      set(heap, losses!, 2 * unit, loss);
      set(heap, losses!, 2 * unit + 1, right / n!);
    }
  },
  sum_squares_f32(heap, from, to, n, input, out) {
    for (let unit = from; unit < to; ++unit) {
      let sum = 0;
      for (let i = 4096 * unit; i < Math.min(n!, 4096 * (unit + 1)); ++i) sum += get(heap, input!, i) ** 2;
      set(heap, out!, unit, sum);
    }
  },
  clip_f32(heap, _from, _to, n, input, out, factor, limit) {
    let sum = 0;
    for (let i = 0; i < n!; ++i) sum += get(heap, input!, i);
    set(heap, out!, 0, Math.sqrt(sum));
    set(heap, factor!, 0, Math.min(1, limit! / (Math.sqrt(sum) + 1e-6)));
  },
  sgd_f32(heap, from, to, nesterov, hyper, dw, w, m, momentum, decay) {
    for (let i = 16 * from; i < 16 * to; ++i) {
      const g = get(heap, dw!, i) * get(heap, hyper!, 1) + decay! * get(heap, w!, i);
      const speed = momentum! * get(heap, m!, i) + g;
      set(heap, m!, i, speed);
      const step = nesterov === 1 ? g + momentum! * speed : speed;
      set(heap, w!, i, get(heap, w!, i) - get(heap, hyper!, 0) * step);
    }
  },
  adamw_f32(heap, from, to, hyper, dw, w, m, v, beta1, beta2, epsilon, decay) {
    for (let i = 16 * from; i < 16 * to; ++i) {
      const g = get(heap, dw!, i) * get(heap, hyper!, 1);
      const mean = beta1! * get(heap, m!, i) + (1 - beta1!) * g;
      const square2 = beta2! * get(heap, v!, i) + (1 - beta2!) * g * g;
      set(heap, m!, i, mean);
      set(heap, v!, i, square2);
      const step = (get(heap, hyper!, 2) * mean) / (Math.sqrt(square2) * get(heap, hyper!, 3) + epsilon!);
      set(heap, w!, i, get(heap, w!, i) * (1 - get(heap, hyper!, 0) * decay!) - step);
    }
  },
  lerp_f32(heap, from, to, share, input, out) {
    for (let i = 16 * from; i < 16 * to; ++i) {
      const x = get(heap, out!, i);
      set(heap, out!, i, x + get(heap, share!, 0) * (get(heap, input!, i) - x));
    }
  },
} satisfies Record<string, Kernel>;

type Tuple = [
  number,
  number,
  ...[number, number, number, number, number, number, number, number, number],
  ...[number, number, number, number, number, number, number, number, number],
];
