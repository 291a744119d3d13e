/**
 * What the segments of a JPEG say (ISO 10918-1, annex B), from its first byte to its end marker: the kind of coding, and how
 * often its scans pass over the pixels. Nothing is decoded, so that what would take long is refused first.
 */
import { Fault } from "./fault.ts";
import type { Header } from "./header.ts";

const [SOF0, SOF2, DHT, JPG, DAC, SOF15] = [0xc0, 0xc2, 0xc4, 0xc8, 0xcc, 0xcf];
const [RST0, RST7, EOI, SOS, APP1, APP14] = [0xd0, 0xd7, 0xd9, 0xda, 0xe1, 0xee];
/** A frame of JPEG-LS. */
const SOF55 = 0xf7;
/** Frames that are not decoded, by their markers. */
const OTHER_FRAMES: Readonly<Record<number, string>> = {
  195: "a lossless one",
  197: "a hierarchical one",
  198: "a hierarchical one",
  199: "a hierarchical one",
  201: "an arithmetic-coded one",
  202: "an arithmetic-coded one",
  203: "a lossless, arithmetic-coded one",
  205: "a hierarchical, arithmetic-coded one",
  206: "a hierarchical, arithmetic-coded one",
  207: "a hierarchical, arithmetic-coded one",
  [SOF55]: "a JPEG-LS one",
};
/** Markers that stand alone, without a length. */
const isAlone = (marker: number): boolean => (marker >= RST0 && marker <= RST7) || marker === 0x01;

/** Least that a scan counts as, in pixels: its tables are built however small the image is. */
const LEAST_SCAN_PIXELS = 2 ** 14;

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  readonly progressive: boolean;
}

/** @returns `undefined` when there is no frame, or none before a scan. Throws Fault for a kind of JPEG that is not decoded. */
export function jpegHeader(bytes: Uint8Array): Header | undefined {
  let frame: Frame | undefined;
  let exif: Uint8Array | undefined;
  let hasAdobe = false;
  let complete = false;
  /** Pixels that all scans together pass over. */
  let passed = 0;
  let [isWhole, scans] = [false, 0];
  for (let at = 2; at + 2 <= bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === EOI) {
      complete = passed > 0;
      break;
    }
    // Any number of FF may stand before a marker.
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (isAlone(marker)) {
      at += 2;
      continue;
    }
    if (at + 4 > bytes.length) break;
    const end = at + 2 + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
    const isFrame = (marker >= SOF0 && marker <= SOF15 && ![DHT, JPG, DAC].includes(marker)) || marker === SOF55;
    if (isFrame && at + 10 <= bytes.length) {
      if (frame !== undefined) throw new Fault("unsupported", "a hierarchical one, of several frames");
      frame = frameOf(marker, bytes.subarray(at + 4, at + 10));
    }
    if (marker === APP1 && startsWith(bytes, at + 4, "Exif\0\0")) exif ??= bytes.subarray(at + 10, end);
    if (marker === APP14 && startsWith(bytes, at + 4, "Adobe")) hasAdobe = true;
    if (marker === SOS) {
      if (frame === undefined) return undefined;
      if (passed === 0) isWhole = !frame.progressive && (bytes[at + 4] ?? 0) >= frame.components;
      scans += 1;
      const share = Math.min(1, (bytes[at + 4] ?? 0) / frame.components);
      passed += Math.max(LEAST_SCAN_PIXELS, frame.width * frame.height * share);
      at = pastCodes(bytes, end);
    } else at = end;
  }
  if (frame === undefined) return undefined;
  const { width, height, components } = frame;
  if (components === 4 && !hasAdobe) {
    throw new Fault("unsupported", "one of four colours without Adobe's marker, which would tell what they are");
  }
  return { width, height, complete, exif, passed, scans: isWhole ? 0 : scans, cmyk: components === 4 };
}

function frameOf(marker: number, bytes: Uint8Array): Frame {
  const other = OTHER_FRAMES[marker];
  if (other !== undefined) throw new Fault("unsupported", other);
  const [precision, components] = [bytes[0]!, bytes[5]!];
  if (precision !== 8) throw new Fault("unsupported", `one of ${precision} bits`);
  if (![1, 3, 4].includes(components)) throw new Fault("unsupported", `one of ${components} colours`);
  const [width, height] = [(bytes[3]! << 8) | bytes[4]!, (bytes[1]! << 8) | bytes[2]!];
  return { width, height, components, progressive: marker === SOF2 };
}

function startsWith(bytes: Uint8Array, at: number, text: string): boolean {
  return String.fromCharCode(...bytes.subarray(at, at + text.length)) === text;
}

/** The next marker that ends a scan's codes. In these FF is followed by 00, or by a restart marker. */
export function pastCodes(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1];
    if (next === undefined) break;
    // What no file has between codes is damage, which the decoder judges.
    const isMarker = next === EOI || next === SOS || (next >= SOF0 && next <= 0xfe && !isAlone(next));
    if (isMarker) return at;
  }
  return bytes.length;
}
