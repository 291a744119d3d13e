/** PNG files by hand, for tests. */
import { crc32, deflateSync } from "node:zlib";

/** A chunk: length, type, contents, checksum. */
export function chunk(type: string, data: Uint8Array): Buffer {
  const out = Buffer.concat([Buffer.alloc(4), Buffer.from(type, "latin1"), data, Buffer.alloc(4)]);
  out.writeUInt32BE(data.length);
  out.writeUInt32BE(crc32(out.subarray(4, -4)), out.length - 4);
  return out;
}

/** An 8-bit RGBA PNG of these rows, each after its filter's number. */
export function pngOf(w: number, h: number, rows: Uint8Array, more: readonly Buffer[] = []): Buffer<ArrayBuffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(w);
  header.writeUInt32BE(h, 4);
  header.set([8, 6], 8);
  const parts = [chunk("IHDR", header), ...more, chunk("IDAT", deflateSync(rows)), chunk("IEND", new Uint8Array(0))];
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]);
}
