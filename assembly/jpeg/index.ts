/** The JPEG decoder: what the host calls. See assembly/README.md. */
export { scan_end, start_bits } from "./bits";
export { set_blocks, set_component, set_frame, set_scanned, set_wanted } from "./frame";
export { huffman } from "./huffman";
export { scan_row, set_scan, transform_row } from "./progressive";
export { set_along, set_down, set_resized } from "./resize";
export { emit, set_rows } from "./rows";
export { decode_row } from "./sequential";

/** The first byte that the host may use. */
export function heap(): usize {
  return __heap_base;
}
