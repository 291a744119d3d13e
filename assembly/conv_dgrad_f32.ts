/**
 * Gradient of the input of a convolution with a stride, phase by phase: every input pixel meets only the taps that
 * reached it.
 *
 *     dx[b, y, x, i] = (adds ? dx[b, y, x, i] : 0) + Σ_{v,u,j} dy[b, (y + top − v·dh)/sh, (x + left − u·dw)/sw, j] · w[v, u, i, j]
 *
 * over the taps where both divisions come dx even.
 *
 * - `scratch`            this thread's; `TAIL_BYTES + 4 · kh · kw · ⌈w/sw⌉` bytes
 * - `mr nr`              rows and columns (8 or 16) of a register tile
 * - `h w c`              the input [batch, h, w, c]
 * - `oh ow n`            the output [batch, oh, ow, n]
 * - `kh kw sh sw dh dw`  kernel, stride, dilation
 * - `top left`           zero padding before the first row and pixel
 * - `groups`             as of the convolution
 * - `adds`               1 adds to what `dx` holds, 0 overwrites it
 * - `dy`                 [batch, oh, ow, n] f32
 * - `panels`             as `pack_dgrad_f32` makes them
 * - `zeros`              `n / groups` f32 zeros
 * - `dx`                [batch, h, w, c] f32
 *
 * Unit: one row of `dx`; `batch · h` of them.
 *
 * Must hold: `dx` does not overlap `dy`.
 *
 * Why: a phase of one row has its outputs at even distances, which is all that the register tile asks for.
 */
import { tapsOf } from "./pack_dgrad_f32";
import { multiplyRows } from "./product";
import { BIAS_BYTES, CELL_BYTES, F32, PANEL_COLUMNS, TAIL_BYTES } from "./tile";

export function conv_dgrad_f32(
  from: i32, to: i32, scratch: usize,
  mr: i32, nr: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32,
  dw: i32, top: i32, left: i32, groups: i32, adds: i32,
  dy: usize, panels: usize, zeros: usize, dx: usize,
): void {
  const table = scratch + TAIL_BYTES;
  const deep = n / groups;
  const width = c / groups;
  const across = (width + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
  const tapStride = (<usize>((w + sw - 1) / sw)) << 2;
  const stride = (<usize>(sw * c)) << 2;
  for (let unit = from; unit < to; ++unit) {
    const image = unit / h;
    const y = unit - image * h;
    const py = (y + top) % sh;
    // Panels of the phases before this row's.
    let base = panels;
    for (let earlier = 0; earlier < py * sw; ++earlier) {
      const cells = tapsOf(kh, sh, dh, earlier / sw) * tapsOf(kw, sw, dw, earlier % sw) * deep;
      base += (<usize>BIAS_BYTES + <usize>cells * <usize>CELL_BYTES) * <usize>(groups * across);
    }
    for (let px = 0; px < sw; ++px) {
      const taps = tapsOf(kh, sh, dh, py) * tapsOf(kw, sw, dw, px);
      const panelBytes = <usize>BIAS_BYTES + <usize>(taps * deep) * <usize>CELL_BYTES;
      const x0 = (px - (left % sw) + sw) % sw;
      const rows = x0 < w ? (w - x0 + sw - 1) / sw : 0;
      for (let group = 0; rows > 0 && group < groups; ++group) {
        let slot = table;
        const source = dy + ((<usize>(group * deep)) << 2);
        for (let v = kh - 1; v >= 0; --v) {
          if ((v * dh) % sh != py) continue;
          // Divides evenly, also below zero.
          const oy = (y + top - v * dh) / sh;
          for (let u = kw - 1; u >= 0; --u) {
            if ((u * dw) % sw != px) continue;
            let ox = (x0 + left - u * dw) / sw;
            for (let r = 0; r < rows; ++r) {
              const inside = <u32>oy < <u32>oh && <u32>ox < <u32>ow;
              const pointer = inside ? source + ((<usize>((image * oh + oy) * ow + ox) * n) << 2) : zeros;
              store<u32>(slot + ((<usize>r) << 2), <u32>pointer);
              ++ox;
            }
            slot += tapStride;
          }
        }
        for (let i = 0; i < width; i += nr) {
          const at = (<usize>((image * h + y) * w + x0) * c + group * width + i) << 2;
          multiplyRows(
            F32, mr, rows, taps, deep, min(nr, width - i), panelBytes, stride, table, tapStride,
            base + <usize>(group * across + i / PANEL_COLUMNS) * panelBytes, adds ? dx + at : 0, dx + at, scratch,
            0, -Infinity, Infinity, 0,
          );
        }
      }
      base += panelBytes * <usize>(groups * across);
    }
  }
}
