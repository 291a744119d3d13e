/** Images that a platform holds itself (canvases, bitmaps, video frames, elements of a page) → RGBA bytes. */
import { expectedGot, ImageError } from "../errors.ts";
import type { Pixels } from "../image.ts";
import { typeName } from "./raw.ts";

/** A type of the platform by its name; `never` where a program's own types know none. */
type Platform<Name extends string> =
  typeof globalThis extends Readonly<Record<Name, { readonly prototype: infer T }>> ? T : never;

/**
 * What browsers can draw. Only the platforms that have these types can make such values.
 *
 * They are seen as a page shows them: turned upright by EXIF, and in sRGB: a colour profile is converted, where an encoded file's
 * numbers are taken as they are, as Pillow does. Colours behind transparency are what the platform has kept of them, which is black where nothing
 * is seen.
 */
export type Drawable =
  | Platform<"HTMLImageElement">
  | Platform<"SVGImageElement">
  | Platform<"HTMLCanvasElement">
  | Platform<"HTMLVideoElement">
  | Platform<"OffscreenCanvas">
  | Platform<"ImageBitmap">
  | Platform<"VideoFrame">;

/** Those that may show something else later. */
const LIVE = ["HTMLCanvasElement", "HTMLVideoElement", "OffscreenCanvas"];
const NAMES = ["HTMLImageElement", "SVGImageElement", "ImageBitmap", "VideoFrame", ...LIVE];
/** Why some have no size. */
const HINTS: Readonly<Record<string, string>> = {
  HTMLImageElement: "an SVG needs a width and a height of its own",
  ImageBitmap: "it was closed, or posted away",
  VideoFrame: "it was closed, or posted away",
};
/** `HTMLMediaElement.HAVE_CURRENT_DATA`. */
const HAS_FRAME = 2;

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/**
 * Whether a value is one of them; a canvas of another library counts when it has a 2D context, and an `ImageData` whose colours
 * are not sRGB.
 */
export function isDrawable(value: unknown): value is Drawable {
  if (typeof value !== "object" || value === null) return false;
  const tag = tagOf(value);
  if (tag === "ImageData") return ((value as ImageData).colorSpace ?? "srgb") !== "srgb";
  return NAMES.includes(tag) || "getContext" in value;
}

/** Whether a drawable may show something else the next time that it is drawn. */
export function isLive(value: unknown): boolean {
  return LIVE.includes(tagOf(value));
}

/** `drawnPixels` of a drawable; `undefined` for anything else. */
export function drawn(image: unknown, maxPixels: number): Promise<Pixels> | undefined {
  return isDrawable(image) ? drawnPixels(image, maxPixels) : undefined;
}

/**
 * The pixels of a drawable at its own size, in sRGB. Images of a page are waited for; of all else it is what they show now.
 *
 * @throws ImageError "not-found" for an image that does not load or a video without a frame, "unsupported" where the platform cannot
 * draw it or does not let its pixels be read, "too-large" above `maxPixels`
 */
export async function drawnPixels(drawable: Drawable, maxPixels: number): Promise<Pixels> {
  const name = typeName(drawable);
  const tag = tagOf(drawable);
  // Nothing else is awaited: a canvas or a video would show something else then.
  const isElement = "decode" in drawable || tag === "SVGImageElement";
  const source = isElement ? await (await import("./element.ts")).loaded(drawable as HTMLImageElement) : drawable;
  if (tag === "HTMLVideoElement" && (source as HTMLVideoElement).readyState < HAS_FRAME) {
    const hint = "wait for its loadeddata event";
    throw new ImageError("not-found", expectedGot("image", "a video with a frame", "one that has none yet", hint));
  }
  const [width, height] = sizeOf(source);
  if (!(width >= 1 && height >= 1)) {
    const got = `${name} of ${width}×${height}`;
    throw new ImageError("not-found", expectedGot("image", "a source of at least one pixel", got, HINTS[tag]));
  }
  if (width * height > maxPixels) {
    throw new ImageError(
      "too-large",
      expectedGot("image", `at most ${maxPixels / 1e6} megapixels`, `${width}×${height}`),
    );
  }
  try {
    // The platform's own canvases are drawn too: their colours may be wider, and reading often would make them slow.
    const context =
      "getContext" in source && !NAMES.includes(tag)
        ? (source.getContext("2d") as OffscreenCanvasRenderingContext2D)
        : painted(source, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    return { width, height, data };
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    const isForeign = (cause as Error)?.name === "SecurityError";
    const hint = isForeign ? 'load it with crossorigin="anonymous", from a server that allows it (CORS)' : undefined;
    const got = isForeign ? `${name} with an image of another origin` : `${name} that cannot be drawn`;
    throw new ImageError("unsupported", expectedGot("image", "a source whose pixels can be read", got, hint), {
      cause,
    });
  }
}

/** The size in pixels of what is drawn, not of the element on the page. */
function sizeOf(drawable: Drawable): readonly [width: number, height: number] {
  const given = drawable as unknown as Readonly<Record<string, number>>;
  const side = (name: "Width" | "Height"): number =>
    given[`natural${name}`] ?? given[`video${name}`] ?? given[`display${name}`] ?? given[name.toLowerCase()] ?? 0;
  return [side("Width"), side("Height")];
}

function painted(drawable: Drawable | ImageData, width: number, height: number): OffscreenCanvasRenderingContext2D {
  if (typeof OffscreenCanvas === "undefined") {
    const hint = "give its encoded bytes, or { width, height, data }";
    throw new ImageError("unsupported", expectedGot("image", "a platform with OffscreenCanvas", "one without", hint));
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  if ("data" in drawable) context.putImageData(drawable, 0, 0);
  else context.drawImage(drawable, 0, 0, width, height);
  return context;
}
