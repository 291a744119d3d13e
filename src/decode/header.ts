/** What the headers of image files say, read before anything is decoded: that bounds memory. */

/** An image as its header describes it. */
export interface Header {
  readonly width: number;
  readonly height: number;
  /** Whether the end of the file is there. */
  readonly complete: boolean;
  /** Whether a JPEG has four components, CMYK or YCCK. */
  readonly cmyk: boolean;
  /** The EXIF block, a TIFF file in itself, where there is one. */
  readonly exif: Uint8Array | undefined;
}

const text = (bytes: Uint8Array, from: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(from, from + length));

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** From a JPEG's segments up to its first scan (ISO 10918-1, annex B), and its end. */
export function jpegHeader(bytes: Uint8Array): Header | undefined {
  let at = 2;
  let frame: { readonly width: number; readonly height: number; readonly cmyk: boolean } | undefined;
  let exif: Uint8Array | undefined;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && at + 10 <= bytes.length) {
      const height = (bytes[at + 5]! << 8) | bytes[at + 6]!;
      frame = { width: (bytes[at + 7]! << 8) | bytes[at + 8]!, height, cmyk: bytes[at + 9] === 4 };
    }
    if (marker === 0xe1 && text(bytes, at + 4, 6) === "Exif\0\0") exif ??= bytes.subarray(at + 10, at + 2 + length);
    if (marker === 0xda) {
      // The picture ends with FF D9; a cut file has none behind its first scan.
      let end = bytes.length - 2;
      while (end > at && !(bytes[end] === 0xff && bytes[end + 1] === 0xd9)) end -= 1;
      return frame === undefined ? undefined : { ...frame, complete: end > at, exif };
    }
    at += 2 + length;
  }
  return undefined;
}

/** From a PNG's chunks. */
export function pngHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < 33 || text(bytes, 12, 4) !== "IHDR") return undefined;
  const view = viewOf(bytes);
  const size = { width: view.getUint32(16), height: view.getUint32(20), cmyk: false };
  let exif: Uint8Array | undefined;
  // A chunk: length, type, contents, checksum. What follows the last one is nobody's.
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    const type = text(bytes, at + 4, 4);
    if (type === "eXIf") exif ??= bytes.subarray(at + 8, at + 8 + view.getUint32(at));
    if (type === "IEND") return { ...size, complete: true, exif };
  }
  return { ...size, complete: false, exif };
}

/** From a WebP's RIFF chunks: lossy `VP8 `, lossless `VP8L`, or extended `VP8X` (RFC 9649). */
export function webpHeader(bytes: Uint8Array): Header | undefined {
  const view = viewOf(bytes);
  if (bytes.length < 30) return undefined;
  const end = 8 + view.getUint32(4, true);
  let size: { readonly width: number; readonly height: number } | undefined;
  let exif: Uint8Array | undefined;
  for (let at = 12; at + 8 <= Math.min(end, bytes.length); ) {
    const [type, length] = [text(bytes, at, 4), view.getUint32(at + 4, true)];
    const body = at + 8;
    if (body + 10 <= bytes.length) {
      if (type === "VP8X") {
        const u24 = (from: number): number => view.getUint16(from, true) | (bytes[from + 2]! << 16);
        size ??= { width: 1 + u24(body + 4), height: 1 + u24(body + 7) };
      } else if (type === "VP8L") {
        const bits = view.getUint32(body + 1, true);
        size ??= { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
      } else if (type === "VP8 ") {
        const side = (from: number): number => view.getUint16(from, true) & 0x3fff;
        size ??= { width: side(body + 6), height: side(body + 8) };
      }
    }
    if (type === "EXIF") exif ??= bytes.subarray(body, body + length);
    at = body + length + (length & 1);
  }
  return size === undefined ? undefined : { ...size, complete: end <= bytes.length, cmyk: false, exif };
}

/** From a GIF's logical screen; a complete file ends with a semicolon. */
export function gifHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < 13) return undefined;
  const view = viewOf(bytes);
  const [width, height] = [view.getUint16(6, true), view.getUint16(8, true)];
  return { width, height, complete: bytes.lastIndexOf(0x3b) > 13, cmyk: false, exif: undefined };
}
