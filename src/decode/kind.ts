/** What kind of image a file is, by its first bytes, and how an error calls it. */

/** Formats that are read. */
export type Codec = "JPEG" | "PNG" | "WebP" | "GIF";

export type Kind =
  | { readonly codec: Codec }
  /** What an error says it is; an image of a format that is not decoded is "unsupported". */
  | { readonly other: string; readonly code: "unsupported" | "not-an-image" };

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
  if (bytes.length === 0) return other("an empty file");
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return { codec: "JPEG" };
  if (ascii(0, 8) === "\x89PNG\r\n\x1a\n") return { codec: "PNG" };
  if (/^GIF8[79]a/.test(ascii(0, 6))) return { codec: "GIF" };
  if (ascii(0, 4) === "RIFF" && ascii(8, 4) === "WEBP") return { codec: "WebP" };
  if (ascii(4, 4) === "ftyp") {
    const brand = BRANDS[ascii(8, 4)];
    return brand === undefined ? other("a video") : unsupported(brand);
  }
  if (ascii(0, 2) === "BM") return unsupported("a BMP image");
  if (/^(II\*\0|MM\0\*)/.test(ascii(0, 4))) return unsupported("a TIFF image");
  if (ascii(0, 4) === "%PDF") return other("a PDF document");
  if (ascii(0, 2) === "\xff\x0a" || ascii(4, 4) === "JXL ") return unsupported("a JPEG XL image");
  if (/^\s*<(!doctype|html|\?xml|svg)/i.test(ascii(0, 64))) return other("a page or SVG text");
  const first = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return other(`something that begins ${first}`);
}

function unsupported(name: string): Kind {
  return { other: name, code: "unsupported" };
}

function other(name: string): Kind {
  return { other: name, code: "not-an-image" };
}
