/**
 * What the boxes of a HEIF file say of its primary image: HEIC and AVIF are both that container (ISO/IEC 23008-12, boxes of
 * ISO/IEC 14496-12).
 */

import type { HeifSize } from "../runtime.ts";
import type { Header } from "./header.ts";

interface Box {
  readonly type: string;
  /** First byte of what it holds, and the first after it. */
  readonly from: number;
  readonly to: number;
  /** Whether all of it is in the file. */
  readonly whole: boolean;
}

/** A HEIF's header. */
export type HeifHeader = Header & HeifSize;

/**
 * EXIF's orientation for each number of quarter turns anticlockwise (`irot`) without a mirror, with top and bottom exchanged after
 * them (`imir`, axis 0), and with left and right exchanged (axis 1).
 */
const ORIENTATIONS = [
  [1, 8, 3, 6],
  [4, 5, 2, 7],
  [2, 7, 4, 5],
] as const;

const FULL_BOX = 4;

/** The boxes of `[from, to)`. One that says it reaches beyond ends there, and is not whole. */
function* boxes(view: DataView, from: number, to: number): Generator<Box> {
  while (from + 8 <= to) {
    const type = String.fromCharCode(...[4, 5, 6, 7].map((i) => view.getUint8(from + i)));
    let [size, header] = [view.getUint32(from), 8];
    if (size === 1 && from + 16 <= to) [size, header] = [Number(view.getBigUint64(from + 8)), 16];
    else if (size === 0) size = to - from;
    if (size < header) return;
    yield { type, from: from + header, to: Math.min(to, from + size), whole: from + size <= to };
    from += size;
  }
}

function find(view: DataView, { from, to }: Pick<Box, "from" | "to">, type: string): Box | undefined {
  for (const box of boxes(view, from, to)) if (box.type === type) return box;
  return undefined;
}

/** From a HEIF's boxes; undefined when they do not say how large the primary image is. */
export function heifHeader(bytes: Uint8Array): HeifHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const all = [...boxes(view, 0, bytes.length)];
    const meta = all.find(({ type }) => type === "meta");
    if (meta === undefined) return undefined;
    const inside = { from: meta.from + FULL_BOX, to: meta.to };
    const [primary, properties] = [find(view, inside, "pitm"), find(view, inside, "iprp")];
    if (primary === undefined || properties === undefined) return undefined;
    const item =
      view.getUint8(primary.from) === 0
        ? view.getUint16(primary.from + FULL_BOX)
        : view.getUint32(primary.from + FULL_BOX);
    const described = propertiesOf(view, properties, item);
    const size = described.find(({ type }) => type === "ispe");
    if (size === undefined) return undefined;
    let [width, height] = [view.getUint32(size.from + FULL_BOX), view.getUint32(size.from + FULL_BOX + 4)];
    const crop = described.find(({ type }) => type === "clap");
    if (crop !== undefined) {
      const side = (at: number): number => Math.round(view.getUint32(at) / view.getUint32(at + 4));
      [width, height] = [side(crop.from), side(crop.from + 8)];
    }
    const [turn, mirror] = [described.find(isOf("irot")), described.find(isOf("imir"))];
    const turns = turn === undefined ? 0 : view.getUint8(turn.from) & 3;
    const axis = mirror === undefined ? 0 : 1 + (view.getUint8(mirror.from) & 1);
    if (turns % 2 === 1) [width, height] = [height, width];
    const orientation = ORIENTATIONS[axis]![turns]!;
    // Their EXIF block repeats the orientation for programs that do not read the boxes.
    return { width, height, complete: all.every(({ whole }) => whole), exif: undefined, orientation };
  } catch (error) {
    // A box that ends too early.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const isOf =
  (wanted: string) =>
  ({ type }: Box): boolean =>
    type === wanted;

/** The properties that belong to an item. */
function propertiesOf(view: DataView, iprp: Box, item: number): readonly Box[] {
  const container = find(view, iprp, "ipco");
  if (container === undefined) return [];
  const all = [...boxes(view, container.from, container.to)];
  const found: Box[] = [];
  for (const { type, from } of boxes(view, iprp.from, iprp.to)) {
    if (type !== "ipma") continue;
    const version = view.getUint8(from);
    const isWide = (view.getUint8(from + 3) & 1) === 1;
    let at = from + FULL_BOX + 4;
    for (let left = view.getUint32(from + FULL_BOX); left > 0; --left) {
      const id = version === 0 ? view.getUint16(at) : view.getUint32(at);
      at += version === 0 ? 2 : 4;
      const count = view.getUint8(at++);
      for (let i = 0; i < count; ++i) {
        const index = isWide ? view.getUint16(at) & 0x7fff : view.getUint8(at) & 0x7f;
        at += isWide ? 2 : 1;
        const property = all[index - 1];
        if (id === item && property !== undefined) found.push(property);
      }
    }
  }
  return found;
}
