/** Where one scan is while another one is read: of a file of several, all go on together, one row of MCUs after the other. */

/** A component of the scan. */
@unmanaged
export class Slot {
  index: i32 = 0;
  dcTable: usize = 0;
  acTable: usize = 0;
  prediction: i32 = 0;
}

@unmanaged
export class Cursor {
  /** As in `bits.ts`. */
  buffer: u64 = 0;
  count: i32 = 0;
  at: usize = 0;
  marker: i32 = 0;
  padding: i32 = 0;
  interval: i32 = 0;
  untilRestart: i32 = 0;
  nextRestart: i32 = 0;
  id: i32 = 0;
  base: usize = 0;
  end: usize = 0;
  /** As in `progressive.ts`. */
  kind: i32 = 0;
  first: i32 = 0;
  last: i32 = 0;
  shift: i32 = 0;
  emptyBlocks: i32 = 0;
  /** As in `frame.ts`; a slot for each follows. */
  components: i32 = 0;
  starved: bool = false;
}

/** Bytes of a cursor and its four slots, as the host lays them out. */
export const CURSOR_BYTES: i32 = 160;

// @ts-ignore: decorator
@inline
export function slot_of(cursor: Cursor, slot: i32): Slot {
  return changetype<Slot>(changetype<usize>(cursor) + 96 + slot * offsetof<Slot>());
}
