/**
 * Encoded images → RGBA pixels, upright. JPEG by mozjpeg, PNG by the Rust `png` crate and WebP by libwebp, all as WebAssembly
 * of @jsquash, so that every runtime decodes alike; JPEGs in four inks by jpeg-js and the first picture of a GIF by gifuct-js,
 * slower and in JavaScript. Anything else is refused by name.
 *
 * As Pillow's `convert("RGB")` does, transparency is dropped, not blended. EXIF's orientation is heeded, as browsers heed it;
 * torchvision's datasets do not.
 */
import mozjpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import libwebp from "@jsquash/webp/codec/dec/webp_dec.js";
import { release } from "../bytes.ts";
import { expectedGot } from "../errors.ts";
import type { Pixels } from "../image.ts";
import type { Runtime } from "../runtime.ts";
import { decodeBy, type Factory } from "./emscripten.ts";
import { decodeGif } from "./gif.ts";
import { gifHeader, type Header, jpegHeader, pngHeader, webpHeader } from "./header.ts";
import { decodeInks } from "./inks.ts";
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
 * @throws Error for what is none of the formats, or a broken one; RangeError above the limit
 */
export async function decodeImage(
  bytes: Uint8Array,
  runtime: Runtime,
  name: string,
  maxPixels = PIXEL_LIMIT,
): Promise<Pixels> {
  const kind = kindOf(bytes);
  if ("unreadable" in kind) {
    throw new Error(expectedGot(name, READABLE, kind.unreadable, "convert it to JPEG"));
  }
  const { codec } = kind;
  const header = HEADERS[codec](bytes);
  if (header === undefined) throw new Error(expectedGot(name, `a ${codec} with its header`, "a broken one"));
  const { width, height, whole, exif } = header;
  if (width * height > maxPixels) {
    throw new RangeError(expectedGot(name, `at most ${maxPixels / 1e6} megapixels`, `${width}×${height}`));
  }
  if (width === 0 || height === 0) throw new Error(expectedGot(name, "at least one pixel", `${width}×${height}`));
  if (!whole) throw new Error(expectedGot(name, `a whole ${codec}`, "one that is cut short"));
  let pixels: Pixels;
  try {
    pixels = await decodeAs(codec, header, bytes, runtime, maxPixels);
  } catch (error) {
    throw new Error(expectedGot(name, `a ${codec} that can be decoded`, "a broken one"), { cause: error });
  }
  if (pixels.width * pixels.height > maxPixels) {
    throw new Error(expectedGot(name, `${width}×${height} pixels`, `${pixels.width}×${pixels.height}`));
  }
  const held = upright(pixels, orientationOf(exif));
  if (held.data.buffer !== pixels.data.buffer) release(pixels.data);
  return held;
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
      if (header.inks) return decodeInks(bytes, header.width * header.height);
      return decodeBy(mozjpeg as unknown as Factory, await runtime.module("jpeg"), bytes, false);
    case "PNG":
      return decodePng(await runtime.module("png"), bytes);
    case "WebP":
      return decodeBy(libwebp as unknown as Factory, await runtime.module("webp"), bytes);
    case "GIF":
      return decodeGif(bytes, maxPixels);
  }
}
