/** What the headers of image files say, read before anything is decoded: that bounds memory. */

/** An image as its header describes it. */
export interface Header {
  readonly width: number;
  readonly height: number;
  /** Whether the end of the file is there. */
  readonly complete: boolean;
  /** The EXIF block, a TIFF file in itself, where there is one. */
  readonly exif: Uint8Array | undefined;
  /** Pixels that decoding passes over, for formats of several passes; width times height when absent. */
  readonly passed?: number;
  /** Whether a JPEG has four components, CMYK or YCCK. */
  readonly cmyk?: boolean;
  /** Scans of a JPEG that are read together: 0 when the first has everything. */
  readonly scans?: number;
}

const text = (bytes: Uint8Array, from: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(from, from + length));

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
  return size === undefined ? undefined : { ...size, complete: end <= bytes.length, exif };
}
