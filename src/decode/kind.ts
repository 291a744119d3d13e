/** What kind of image a file is, by its first bytes, and how an error calls it. */

/** Formats that are read. */
export type Codec = "JPEG" | "PNG" | "WebP" | "GIF" | HeifCodec;
/** Formats in HEIF's container, whose decoders are packages of their own. */
export type HeifCodec = "HEIC" | "AVIF";

export type Kind =
  | { readonly codec: Codec }
  /** What an error says it is; an image of a format that is not decoded is "unsupported". */
  | { readonly other: string; readonly code: "unsupported" | "not-an-image" };

/** Brands of ISO base media files (`ftyp`), four letters each: of still images that are decoded, and what an error calls others. */
const STILL: Readonly<Record<string, HeifCodec>> = {
  avif: "AVIF",
  heic: "HEIC",
  heix: "HEIC",
  heim: "HEIC",
  heis: "HEIC",
};
const OTHER: Readonly<Record<string, string>> = {
  avis: "an AVIF animation",
  hevc: "a HEIC animation",
  mif1: "a HEIF image that is neither HEIC nor AVIF",
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
    return kindOfMedia(
      ascii(8, 4),
      ascii(16, Math.min(256, new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) - 16)),
    );
  }
  if (ascii(0, 2) === "BM") return unsupported("a BMP image");
  if (/^(II\*\0|MM\0\*)/.test(ascii(0, 4))) return unsupported("a TIFF image");
  if (ascii(0, 4) === "%PDF") return other("a PDF document");
  if (ascii(0, 2) === "\xff\x0a" || ascii(4, 4) === "JXL ") return unsupported("a JPEG XL image");
  if (/^\s*<(!doctype|html|\?xml|svg)/i.test(ascii(0, 64))) return other("a page or SVG text");
  const first = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return other(`something that begins ${first}`);
}

/** By the first brand, or where that only says "an image", by those it is compatible with. */
function kindOfMedia(brand: string, compatible: string): Kind {
  const brands = [brand, ...(brand === "mif1" ? (compatible.match(/.{4}/gs) ?? []) : [])];
  const codec = brands.map((each) => STILL[each]).find((each) => each !== undefined);
  if (codec !== undefined) return { codec };
  const name = OTHER[brand];
  return name === undefined ? other("a video") : unsupported(name);
}

function unsupported(name: string): Kind {
  return { other: name, code: "unsupported" };
}

function other(name: string): Kind {
  return { other: name, code: "not-an-image" };
}
