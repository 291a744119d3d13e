/**
 * Encoded images → RGBA pixels, upright. JPEG by mozjpeg, PNG by the Rust `png` crate and WebP by libwebp, all as WebAssembly
 * of @jsquash, so that every runtime decodes alike; CMYK JPEGs by jpeg-js and the first picture of a GIF by gifuct-js,
 * slower and in JavaScript. Anything else is refused by name.
 *
 * As Pillow's `convert("RGB")` does, transparency is dropped, not blended. EXIF's orientation is applied, as browsers apply it;
 * torchvision's datasets do not.
 */
import mozjpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import libwebp from "@jsquash/webp/codec/dec/webp_dec.js";
import { release } from "../bytes.ts";
import { expectedGot, ImageError, type ImageErrorCode } from "../errors.ts";
import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { decodeCmyk } from "./cmyk.ts";
import { decodeBy, type Factory } from "./emscripten.ts";
import { decodeGif } from "./gif.ts";
import { gifHeader, type Header, jpegHeader, pngHeader, webpHeader } from "./header.ts";
import { type Codec, kindOf } from "./kind.ts";
import { orientationOf, upright } from "./orientation.ts";
import { decodePng } from "./png.ts";

/** Most pixels an image may claim, 100 megapixels: 400 MB of RGBA. Checked before anything is decoded. */
export const PIXEL_LIMIT = 100e6;

const READABLE = "a JPEG, PNG, WebP or GIF image";

const HEADERS: Readonly<Record<Codec, (bytes: Uint8Array) => Header | undefined>> = {
  JPEG: jpegHeader,
  PNG: pngHeader,
  WebP: webpHeader,
  GIF: gifHeader,
};

/**
 * Decodes one image.
 *
 * @param name what to call it in an error
 * @param maxPixels a limit below `PIXEL_LIMIT`
 * @throws ImageError: "not-an-image" or "unsupported" for other formats, "malformed" or "truncated" for a damaged file,
 * "too-large" above the limit, "memory" when there is no memory for the pixels
 */
export async function decodeImage(
  bytes: Uint8Array,
  runtime: Runtime,
  name: string,
  maxPixels = PIXEL_LIMIT,
): Promise<Pixels> {
  const refuse = (code: ImageErrorCode, expected: string, got: string, hint?: string): never => {
    throw new ImageError(code, expectedGot(name, expected, got, hint));
  };
  const kind = kindOf(bytes);
  if ("other" in kind) return refuse(kind.code, READABLE, kind.other, "convert it to JPEG");
  const { codec } = kind;
  const header = HEADERS[codec](bytes);
  if (header === undefined) return refuse("malformed", `a ${codec} with its header`, "a broken one");
  const { width, height, complete, exif } = header;
  if (width * height > maxPixels) {
    return refuse("too-large", `at most ${maxPixels / 1e6} megapixels`, `${width}×${height}`);
  }
  if (width === 0 || height === 0) return refuse("malformed", "at least one pixel", `${width}×${height}`);
  if (!complete) return refuse("truncated", `a complete ${codec}`, "one that is cut short");
  let pixels: Pixels;
  try {
    pixels = await decodeAs(codec, header, bytes, runtime, maxPixels);
  } catch (cause) {
    const code = cause instanceof RangeError ? "memory" : "malformed";
    const got = code === "memory" ? "one whose pixels do not fit into memory" : "a broken one";
    throw new ImageError(code, expectedGot(name, `a ${codec} that can be decoded`, got), { cause });
  }
  if (pixels.width * pixels.height > maxPixels) {
    return refuse("malformed", `${width}×${height} pixels`, `${pixels.width}×${pixels.height}`);
  }
  const turned = upright(pixels, orientationOf(exif));
  if (turned.data.buffer !== pixels.data.buffer) release(pixels.data);
  return turned;
}

async function decodeAs(
  codec: Codec,
  header: Header,
  bytes: Uint8Array,
  runtime: Runtime,
  maxPixels: number,
): Promise<Pixels> {
  switch (codec) {
    case "JPEG":
      if (header.cmyk) return decodeCmyk(bytes, header.width * header.height);
      return decodeBy(mozjpeg as unknown as Factory, await runtime.module("jpeg"), bytes, false);
    case "PNG":
      return decodePng(await runtime.module("png"), bytes);
    case "WebP":
      return decodeBy(libwebp as unknown as Factory, await runtime.module("webp"), bytes);
    case "GIF":
      return decodeGif(bytes, maxPixels);
  }
}
