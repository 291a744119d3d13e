/** Rows of the image, from the components' samples: to the width of the image, to RGB, and on to whoever wants them. */
import { interleave, luma, under_black, ycc_to_rgb } from "./colour";
import { Component, component_at, components, firstMcu, lastMcu } from "./frame";
import { resize_row } from "./resize";
import { fancy_h1v2, fancy_h2v1, fancy_h2v2, repeat } from "./upsample";

/** Ways to the image's width: the plane's own row, three triangle filters, or copies. */
const PLAIN: i32 = 0;
const H2V1: i32 = 1;
const H1V2: i32 = 2;
const H2V2: i32 = 3;

/** Colours: gray, YCbCr, RGB, inverted CMYK, inverted YCCK. */
const GRAY: i32 = 0;
const YCC: i32 = 1;
const CMYK: i32 = 3;
const YCCK: i32 = 4;

let colour: i32 = 0;
let width: i32 = 0;
let isGrayWanted: bool = false;
/** Three planes of a row, `planeBytes` apart. */
let red: usize = 0;
let planeBytes: usize = 0;
/** RGBA rows of `width`, or 0: then rows are resized. */
let strip: usize = 0;

/** @param gray 1 when luma is wanted in place of each colour */
export function set_rows(colours: i32, pixels: i32, gray: i32, planes: usize, bytes: i32, target: usize): void {
  colour = colours;
  width = pixels;
  isGrayWanted = gray != 0;
  red = planes;
  planeBytes = bytes;
  strip = target;
}

// @ts-ignore: decorator
@inline
function plane_row(component: Component, y: i32): usize {
  const within = min(max(y, 0), component.height - 1);
  return component.plane + (within % component.rows) * component.stride;
}

/** `plane_row`, with neighbours of its first and last sample that equal them. */
function edged(component: Component, y: i32): usize {
  const row = plane_row(component, y);
  store<u8>(row - 1, load<u8>(row));
  store<u8>(row + component.width, load<u8>(row + component.width - 1));
  return row;
}

/** Where pixel 0 of the component's row `y` of the image is. */
function full_row(index: i32, y: i32): usize {
  const component = component_at(index);
  if (component.kind == PLAIN) return plane_row(component, y);
  const perMcu = component.h * component.size;
  const from = firstMcu * perMcu;
  const count = (lastMcu - firstMcu) * perMcu;
  const out = component.row + from * component.across;
  if (component.kind == H2V1) fancy_h2v1(edged(component, y) + from, count, out);
  else if (component.kind == H1V2 || component.kind == H2V2) {
    const near = y >> 1;
    const far = (y & 1) == 0 ? near - 1 : near + 1;
    if (component.kind == H1V2) {
      fancy_h1v2(plane_row(component, near) + from, plane_row(component, far) + from, count, 1 + (y & 1), out);
    } else fancy_h2v2(edged(component, near) + from, edged(component, far) + from, count, out);
  } else repeat(plane_row(component, y / component.down) + from, count, component.across, out);
  return component.row;
}

/** Rows [from, to) of the image to the strip, from its first row on, or into the resize. */
export function emit(from: i32, to: i32): void {
  const first = component_at(0);
  const perMcu = first.h * first.size * first.across;
  const left = firstMcu * perMcu;
  const count = (lastMcu - firstMcu) * perMcu;
  for (let y = from; y < to; ++y) {
    const y0 = full_row(0, y);
    let r = y0, g = y0, b = y0;
    if (colour != GRAY) {
      g = full_row(1, y);
      b = full_row(2, y);
      if (colour == YCC || colour == YCCK) {
        ycc_to_rgb(y0 + left, g + left, b + left, count, red + left, red + planeBytes + left, red + 2 * planeBytes + left);
        r = red;
        g = red + planeBytes;
        b = red + 2 * planeBytes;
      }
      if (colour >= CMYK) {
        const k = full_row(3, y) + left;
        const inverted = colour == CMYK ? 255 : 0;
        under_black(r + left, k, inverted, count, red + left);
        under_black(g + left, k, inverted, count, red + planeBytes + left);
        under_black(b + left, k, inverted, count, red + 2 * planeBytes + left);
        r = red;
        g = red + planeBytes;
        b = red + 2 * planeBytes;
      }
      if (isGrayWanted) {
        luma(r + left, g + left, b + left, count, red + left);
        r = red;
        g = red;
        b = red;
      }
    }
    if (strip != 0) interleave(r, g, b, width, strip + <usize>(y - from) * <usize>width * 4);
    else resize_row(y, r, g, b, left, count);
  }
}
