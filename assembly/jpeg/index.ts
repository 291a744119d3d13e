/** The JPEG decoder: what the host calls. See assembly/README.md. */
export { start_bits } from "./bits";
import { CURSOR_BYTES } from "./cursor";
export { set_blocks, set_component, set_frame, set_scanned, set_wanted } from "./frame";
export { huffman } from "./huffman";
export { decode_scans, save_scan, set_scan } from "./progressive";
export { set_along, set_down, set_resized } from "./resize";
export { emit, set_rows } from "./rows";
export { decode_row } from "./sequential";

/** Bytes of a cursor. */
export function cursor_bytes(): i32 {
  return CURSOR_BYTES;
}

/** The first byte that the host may use. */
export function heap(): usize {
  return __heap_base;
}
