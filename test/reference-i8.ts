/**
 * The specification of the int8 kernels, by the same name and arguments, in plain loops over whole numbers. Products and
 * sums of floats are rounded to f32 one by one, as the kernels round them: results must be equal, not near.
 */

import { DOT8 } from "../wasm/tile.js";

type Kernel = (heap: DataView, from: number, to: number, ...args: number[]) => void;
type Tuple = [number, number, number, number, number, number, number, number, number, number, number, number] &
  number[];

const f = Math.fround;

/** Python's and WebAssembly's rounding: half to even. */
function halfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

function requantized(
  sum: number,
  scale: number,
  residual: number | undefined,
  rs: number,
  lo: number,
  hi: number,
): number {
  const scaled = f(f(sum) * f(scale));
  const x = residual === undefined ? scaled : f(scaled + f(residual * f(rs)));
  return halfEven(Math.min(Math.max(x, lo), hi));
}

/** What the convolutions share: sums over a window, from panels of cells of `q` inputs. */
function convolve(
  heap: DataView,
  [from, to]: readonly [number, number],
  { nr, mc }: { readonly nr: number; readonly mc: number },
  [batch, h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, groups]: readonly number[],
  {
    q,
    dequantize,
    read,
    pad,
  }: {
    readonly q: number;
    readonly dequantize: number;
    read(index: number): number;
    pad(channel: number): number;
  },
  { panels, residual, out }: { readonly panels: number; readonly residual: number; readonly out: number },
  [rs, lo, hi]: readonly [number, number, number],
): void {
  const [k, width] = [c! / groups!, n! / groups!];
  const perGroup = Math.ceil(width / nr);
  const depth = Math.ceil((kh! * kw! * k) / q) * q;
  for (let unit = from; unit < to; ++unit) {
    const column = unit % (perGroup * groups!);
    const group = Math.floor(column / perGroup);
    const outputs = nr * (column % perGroup);
    const first = Math.floor(unit / (perGroup * groups!)) * mc;
    for (let row = first; row < Math.min(batch! * oh! * ow!, first + mc); ++row) {
      const image = Math.floor(row / (oh! * ow!));
      const [y, x] = [Math.floor(row / ow!) % oh!, row % ow!];
      for (let o = outputs; o < Math.min(width, outputs + nr); ++o) {
        const panel = panels + (group * Math.ceil(width / 8) + Math.floor(o / 8)) * (depth + 8) * 8;
        const j = o % 8;
        let sum = heap.getInt32(panel + 4 * j, true);
        for (let v = 0; v < kh!; ++v) {
          for (let u = 0; u < kw!; ++u) {
            const [iy, ix] = [y * sh! + v * dh! - top!, x * sw! + u * dw! - left!];
            const isInside = iy >= 0 && iy < h! && ix >= 0 && ix < w!;
            for (let i = 0; i < k; ++i) {
              const value = isInside ? read(((image * h! + iy) * w! + ix) * c! + group * k + i) : pad(i);
              const at = (v * kw! + u) * k + i;
              sum += value * heap.getInt8(panel + 64 + Math.floor(at / q) * q * 8 + j * q + (at % q));
            }
          }
        }
        const scale = heap.getFloat32(panel + 32 + 4 * j, true);
        const at = row * n! + group * width + o;
        if (dequantize === 1) heap.setFloat32(out + 4 * at, f(sum) * scale, true);
        else {
          const other = residual === 0 ? undefined : heap.getInt8(residual + at);
          heap.setInt8(out + at, requantized(sum, scale, other, rs, lo, hi));
        }
      }
    }
  }
}

/** A pool: `reduce` over the window's values. */
function pool(
  heap: DataView,
  [from, to]: readonly [number, number],
  [h, w, c, oh, ow, kh, kw, sh, sw, top, left]: readonly number[],
  input: number,
  out: number,
  reduce: (values: readonly number[]) => number,
): void {
  for (let unit = from; unit < to; ++unit) {
    const [image, y] = [Math.floor(unit / oh!), unit % oh!];
    for (let x = 0; x < ow!; ++x) {
      for (let i = 0; i < c!; ++i) {
        const values: number[] = [];
        for (let v = y * sh! - top!; v < y * sh! - top! + kh!; ++v) {
          for (let u = x * sw! - left!; u < x * sw! - left! + kw!; ++u) {
            if (v < 0 || v >= h! || u < 0 || u >= w!) continue;
            values.push(heap.getInt8(input + ((image * h! + v) * w! + u) * c! + i));
          }
        }
        heap.setInt8(out + (unit * ow! + x) * c! + i, reduce(values));
      }
    }
  }
}

/** F(4×4, 3×3) with whole numbers: `BT`, `G` and `AT` as the kernels' headers print them. */
const BT = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
] as const;
const G = [
  [1, 0, 0],
  [-1, -1, -1],
  [-1, 1, -1],
  [1, 2, 4],
  [1, -2, 4],
  [0, 0, 1],
] as const;
const AT = [
  [6, 4, 4, 1, 1, 0],
  [0, 4, -4, 2, -2, 0],
  [0, 4, 4, 4, 4, 0],
  [0, 4, -4, 8, -8, 24],
] as const;

/** `m · x · mᵀ` */
function sandwich(m: readonly (readonly number[])[], x: readonly (readonly number[])[]): number[][] {
  const half = m.map((row) => x[0]!.map((_, u) => row.reduce((sum, value, v) => sum + value * x[v]![u]!, 0)));
  return half.map((line) => m.map((row) => row.reduce((sum, value, u) => sum + value * line[u]!, 0)));
}

/** Patch `patch`'s image and corner. */
function corner(patch: number, ty: number, tx: number): readonly [image: number, y: number, x: number] {
  return [Math.floor(patch / (ty * tx)), 4 * (Math.floor(patch / tx) % ty), 4 * (patch % tx)];
}

export const referenceI8 = {
  conv_i8(heap, from, to, ...args) {
    const [_scratch, kind, _mr, nr, mc] = args as Tuple;
    const [dequantize, input, panels, residual, _zeros, out, rs, lo, hi] = args.slice(21) as Tuple;
    const read = (at: number): number => (kind === 1 ? heap.getInt8(input + at) : heap.getInt16(input + 2 * at, true));
    const source = { q: kind === 1 ? 4 : 2, dequantize, read, pad: () => 0 };
    convolve(heap, [from, to], { nr, mc }, args.slice(5, 21), source, { panels, residual, out }, [rs, lo, hi]);
  },
  im2col_i8(heap, from, to, _scratch, kind, ...args) {
    const [_mr, nr, mc, batch, h, w, c, oh, ow, n, kh, kw] = args as Tuple;
    const [sh, sw, top, left] = args.slice(12) as Tuple;
    const [input, panels, residual, pads, out, rs, lo, hi] = args.slice(16) as Tuple;
    const read = (at: number): number => heap.getInt8(input + at);
    const source = { q: kind === 1 ? 4 : 2, dequantize: 0, read, pad: (i: number) => heap.getInt8(pads + i) };
    const sizes = [batch, h, w, c, oh, ow, n, kh, kw, sh, sw, 1, 1, top, left, 1];
    convolve(heap, [from, to], { nr, mc }, sizes, source, { panels, residual, out }, [rs, lo, hi]);
  },
  pack_i8(heap, from, to, kind, n, c, kh, kw, weights, bias, scale, out) {
    const q = kind === 1 ? 4 : 2;
    const [taps, perGroup] = [kh! * kw!, Math.ceil(n! / 8)];
    const depth = Math.ceil((taps * c!) / q) * q;
    for (let unit = from; unit < to; ++unit) {
      const panel = out! + unit * (depth + 8) * 8;
      for (let j = 0; j < 8; ++j) {
        const inGroup = 8 * (unit % perGroup) + j;
        const exists = inGroup < n!;
        const o = Math.floor(unit / perGroup) * n! + inGroup;
        heap.setInt32(panel + 4 * j, exists ? heap.getInt32(bias! + 4 * o, true) : 0, true);
        heap.setFloat32(panel + 32 + 4 * j, exists ? heap.getFloat32(scale! + 4 * o, true) : 0, true);
        for (let at = 0; at < depth; ++at) {
          const [tap, i] = [Math.floor(at / c!), at % c!];
          const value = exists && tap < taps ? heap.getInt8(weights! + (o * c! + i) * taps + tap) : 0;
          heap.setInt8(panel + 64 + Math.floor(at / q) * q * 8 + j * q + (at % q), value);
        }
      }
    }
  },
  probe_dot_i8(heap, from, to, kind, out) {
    for (let i = 128 * (to - from); i > 0; --i) {
      for (let cell = out!; cell < out! + 16; cell += 4) {
        const parts =
          kind === DOT8
            ? [0, 1, 2, 3].map((at) => heap.getInt8(cell + at) * [1, 2, 3, 5][at]!)
            : [0, 1].map((at) => heap.getInt16(cell + 2 * at, true) * [0x0201, 0x0503][at]!);
        heap.setInt32(
          cell,
          parts.reduce((sum, part) => (sum + part) | 0, 0),
          true,
        );
      }
    }
  },
  widen_i8(heap, from, to, c, input, out) {
    for (let at = from * c!; at < to * c!; ++at) heap.setInt16(out! + 2 * at, heap.getInt8(input! + at), true);
  },
  maxpool_i8(heap, from, to, ...args) {
    const [input, out] = args.slice(11) as Tuple;
    pool(heap, [from, to], args, input, out, (values) => Math.max(...values));
  },
  avgpool_i8(heap, from, to, ...args) {
    const [whole, input, out] = args.slice(11) as Tuple;
    pool(heap, [from, to], args, input, out, (values) => {
      const part = f(1 / (whole === 1 ? args[5]! * args[6]! : values.length));
      return requantized(
        values.reduce((a, b) => a + b, 0),
        part,
        undefined,
        0,
        -127,
        127,
      );
    });
  },
  globalpool_i8(heap, from, to, pixels, c, input, out, scale, lo, hi) {
    const blocks = Math.ceil(c! / 16);
    for (let unit = from; unit < to; ++unit) {
      const image = Math.floor(unit / blocks);
      for (let i = 16 * (unit % blocks); i < Math.min(c!, 16 * (unit % blocks) + 16); ++i) {
        let sum = 0;
        for (let p = 0; p < pixels!; ++p) sum += heap.getInt8(input! + (image * pixels! + p) * c! + i);
        heap.setInt8(out! + image * c! + i, requantized(sum, scale!, undefined, 0, lo!, hi!));
      }
    }
  },
  add_i8(heap, from, to, c, a, b, out, sa, sb, lo, hi) {
    for (let at = from * c!; at < to * c!; ++at) {
      heap.setInt8(out! + at, requantized(heap.getInt8(a! + at), sa!, heap.getInt8(b! + at), sb!, lo!, hi!));
    }
  },
  shortcut_i8(heap, from, to, h, w, c, oh, ow, n, s, before, input, out) {
    for (let unit = from; unit < to; ++unit) {
      const [image, y] = [Math.floor(unit / oh!), unit % oh!];
      for (let x = 0; x < ow!; ++x) {
        for (let j = 0; j < n!; ++j) {
          const i = j - before!;
          const at = ((image * h! + y * s!) * w! + x * s!) * c! + i;
          heap.setInt8(out! + (unit * ow! + x) * n! + j, i >= 0 && i < c! ? heap.getInt8(input! + at) : 0);
        }
      }
    }
  },
  luma_u8(heap, from, to, w, input, out) {
    for (let p = from * w!; p < to * w!; ++p) {
      const [r, g, b] = [0, 1, 2].map((i) => heap.getUint8(input! + 4 * p + i));
      const gray = Math.floor((19595 * r! + 38470 * g! + 7471 * b! + 32768) / 65536);
      heap.setUint32(out! + 4 * p, gray * 0x10101, true);
    }
  },
  pixels_i8(heap, from, to, w, c, reverse, rgba, out) {
    for (let p = from * w!; p < to * w!; ++p) {
      for (let i = 0; i < c!; ++i) {
        heap.setInt8(out! + c! * p + i, heap.getUint8(rgba! + 4 * p + (reverse === 1 ? 2 - i : i)) >> 1);
      }
    }
  },
  quantize_i8(heap, from, to, c, input, affine, out) {
    for (let at = from * c! * 3; at < to * c! * 3; ++at) {
      const scaled = f(heap.getFloat32(input! + 4 * at, true) * heap.getFloat32(affine! + 4 * (at % 3), true));
      const x = f(scaled + heap.getFloat32(affine! + 48 + 4 * (at % 3), true));
      heap.setInt8(out! + at, Number.isNaN(x) ? 0 : halfEven(Math.min(Math.max(x, 0), 127)));
    }
  },
  gemm_i16(heap, from, to, _scratch, _mr, nr, mc, m, n, k, groups, a, panels, out) {
    const perGroup = Math.ceil(n! / nr!);
    for (let unit = from; unit < to; ++unit) {
      const group = Math.floor((unit % (perGroup * groups!)) / perGroup);
      const outputs = nr! * (unit % perGroup);
      const first = Math.floor(unit / (perGroup * groups!)) * mc!;
      for (let row = first; row < Math.min(m!, first + mc!); ++row) {
        for (let o = outputs; o < Math.min(n!, outputs + nr!); ++o) {
          const panel = panels! + (group * (n! / 8) + Math.floor(o / 8)) * k! * 16;
          let sum = 0;
          for (let i = 0; i < k!; ++i) {
            const cell = panel + 32 * (i >> 1) + 4 * (o % 8) + 2 * (i & 1);
            sum += heap.getInt16(a! + 2 * ((row * groups! + group) * k! + i), true) * heap.getInt16(cell, true);
          }
          heap.setInt32(out! + 4 * ((row * groups! + group) * n! + o), sum | 0, true);
        }
      }
    }
  },
  winograd4_transform_input_i8(
    heap,
    from,
    to,
    _scratch,
    _batch,
    h,
    w,
    c,
    ty,
    tx,
    top,
    left,
    first,
    input,
    _zeros,
    out,
  ) {
    for (let unit = from; unit < to; ++unit) {
      const [image, y, x] = corner(first! + unit, ty!, tx!);
      for (let i = 0; i < c!; ++i) {
        const patch = BT.map((_, v) =>
          BT.map((__, u) => {
            const [iy, ix] = [y + v - top!, x + u - left!];
            const isInside = iy >= 0 && iy < h! && ix >= 0 && ix < w!;
            return isInside ? heap.getInt8(input! + ((image * h! + iy) * w! + ix) * c! + i) : 0;
          }),
        );
        sandwich(BT, patch)
          .flat()
          .forEach((value, position) => {
            heap.setInt16(out! + 2 * ((unit * 36 + position) * c! + i), value, true);
          });
      }
    }
  },
  winograd4_transform_weights_i8(heap, from, to, _scratch, n, c, weights, out) {
    for (let o = 8 * from; o < 8 * to; ++o) {
      for (let i = 0; i < c!; ++i) {
        const g = [0, 3, 6].map((row) => [0, 1, 2].map((u) => heap.getInt8(weights! + (o * c! + i) * 9 + row + u)));
        sandwich(G, g)
          .flat()
          .forEach((value, position) => {
            const panel = out! + (position * (n! / 8) + (o >> 3)) * c! * 16;
            heap.setInt16(panel + 32 * (i >> 1) + 4 * (o & 7) + 2 * (i & 1), value, true);
          });
      }
    }
  },
  winograd4_transform_output_i8(heap, from, to, ...args) {
    const [_scratch, oh, ow, n, ty, tx, first, products, header, residual, out, rs] = args as Tuple;
    const [lo, hi] = args.slice(12) as Tuple;
    for (let unit = from; unit < to; ++unit) {
      const [image, y, x] = corner(first + unit, ty, tx);
      for (let j = 0; j < n; ++j) {
        const m = AT[0].map((_, v) =>
          AT[0].map((__, u) => heap.getInt32(products + 4 * ((unit * 36 + 6 * v + u) * n + j), true)),
        );
        sandwich(AT, m).forEach((line, v) => {
          line.forEach((value, u) => {
            if (y + v >= oh || x + u >= ow) return;
            const sum = value / 576 + heap.getInt32(header + 4 * j, true);
            const scale = heap.getFloat32(header + 4 * (n + j), true);
            const at = ((image * oh + y + v) * ow + x + u) * n + j;
            const other = residual === 0 ? undefined : heap.getInt8(residual + at);
            heap.setInt8(out + at, requantized(sum, scale, other, rs, lo, hi));
          });
        });
      }
    }
  },
} satisfies Readonly<Record<string, Kernel>>;
