/** What kind of image a file is, by its first bytes, and how an error calls it. */

/** Formats that are read. */
export type Codec = "JPEG" | "PNG" | "WebP" | "GIF";

export type Kind = { readonly codec: Codec } | { readonly unreadable: string };

/** Brands of ISO base media files (`ftyp`), the first four letters. */
const BRANDS: Readonly<Record<string, string>> = {
  avif: "an AVIF image",
  avis: "an AVIF animation",
  heic: "a HEIC image",
  heix: "a HEIC image",
  heim: "a HEIC image",
  heis: "a HEIC image",
  hevc: "a HEIC animation",
  mif1: "a HEIF image",
  msf1: "a HEIF animation",
};

/** The kind of file that begins with `bytes`. */
export function kindOf(bytes: Uint8Array): Kind {
  const ascii = (from: number, length: number): string => String.fromCharCode(...bytes.subarray(from, from + length));
  if (bytes.length === 0) return { unreadable: "an empty file" };
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return { codec: "JPEG" };
  if (ascii(0, 8) === "\x89PNG\r\n\x1a\n") return { codec: "PNG" };
  if (/^GIF8[79]a/.test(ascii(0, 6))) return { codec: "GIF" };
  if (ascii(0, 4) === "RIFF" && ascii(8, 4) === "WEBP") return { codec: "WebP" };
  if (ascii(4, 4) === "ftyp") return { unreadable: BRANDS[ascii(8, 4)] ?? "a video" };
  if (ascii(0, 2) === "BM") return { unreadable: "a BMP image" };
  if (/^(II\*\0|MM\0\*)/.test(ascii(0, 4))) return { unreadable: "a TIFF image" };
  if (ascii(0, 4) === "%PDF") return { unreadable: "a PDF document" };
  if (ascii(0, 2) === "\xff\x0a" || ascii(4, 4) === "JXL ") return { unreadable: "a JPEG XL image" };
  if (/^\s*<(!doctype|html|\?xml|svg)/i.test(ascii(0, 64))) return { unreadable: "a page or SVG text" };
  const first = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return { unreadable: `something that begins ${first}` };
}
