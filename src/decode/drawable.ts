/** Images that a platform holds itself (canvases, bitmaps, video frames, elements of a page) → RGBA bytes. */
import { expectedGot, ImageError } from "../errors.ts";
import type { Pixels } from "../image.ts";
import { typeName } from "./raw.ts";

/** What browsers can draw. Only the platforms that have these types can make such values. */
export type Drawable =
  | HTMLImageElement
  | SVGImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | ImageBitmap
  | VideoFrame;

const NAMES = [
  ...["HTMLImageElement", "SVGImageElement", "HTMLCanvasElement", "HTMLVideoElement"],
  ...["OffscreenCanvas", "ImageBitmap", "VideoFrame"],
];

/** Whether a value is one of them; a canvas of another library counts when it has a 2D context. */
export function isDrawable(value: unknown): value is Drawable {
  if (typeof value !== "object" || value === null) return false;
  return NAMES.includes(Object.prototype.toString.call(value).slice(8, -1)) || "getContext" in value;
}

/**
 * The pixels of a drawable at its own size, in sRGB.
 *
 * @throws ImageError "not-found" for an image that has not loaded, "unsupported" where the platform cannot draw it or does
 * not let its pixels be read, "too-large" above `maxPixels`
 */
export async function drawnPixels(drawable: Drawable, maxPixels: number): Promise<Pixels> {
  const name = typeName(drawable);
  // A picture of a page may still be loading.
  if ("decode" in drawable && typeof drawable.decode === "function") {
    await drawable.decode().catch((cause: unknown) => {
      throw new ImageError("not-found", expectedGot("image", "an element with an image", "one that failed to load"), {
        cause,
      });
    });
  }
  const [width, height] = sizeOf(drawable);
  if (!(width >= 1 && height >= 1)) {
    throw new ImageError(
      "not-found",
      expectedGot("image", "a source of at least one pixel", `${name} of ${width}×${height}`),
    );
  }
  if (width * height > maxPixels) {
    throw new ImageError(
      "too-large",
      expectedGot("image", `at most ${maxPixels / 1e6} megapixels`, `${width}×${height}`),
    );
  }
  try {
    const own =
      "getContext" in drawable ? (drawable.getContext("2d") as OffscreenCanvasRenderingContext2D | null) : null;
    // A canvas of another kind of context is drawn like the others.
    const { data } = (own ?? drawn(drawable, width, height)).getImageData(0, 0, width, height);
    return { width, height, data };
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    const isForeign = (cause as Error)?.name === "SecurityError";
    const hint = isForeign ? "load it with crossorigin, from a server that allows it" : undefined;
    const got = isForeign ? `${name} with an image of another origin` : `${name} that cannot be drawn`;
    throw new ImageError("unsupported", expectedGot("image", "a source whose pixels can be read", got, hint), {
      cause,
    });
  }
}

/** The size in pixels of what is drawn, not of the element on the page. */
function sizeOf(drawable: Drawable): readonly [width: number, height: number] {
  const given = drawable as unknown as Readonly<
    Record<string, number | { readonly baseVal: { readonly value: number } }>
  >;
  const side = (names: readonly string[]): number => {
    for (const name of names) {
      const value = given[name];
      if (value !== undefined) return Math.round(typeof value === "number" ? value : value.baseVal.value);
    }
    return 0;
  };
  return [
    side(["naturalWidth", "videoWidth", "displayWidth", "width"]),
    side(["naturalHeight", "videoHeight", "displayHeight", "height"]),
  ];
}

function drawn(drawable: Drawable, width: number, height: number): OffscreenCanvasRenderingContext2D {
  if (typeof OffscreenCanvas === "undefined") {
    const hint = "give its encoded bytes, or { width, height, data }";
    throw new ImageError("unsupported", expectedGot("image", "a platform with OffscreenCanvas", "one without", hint));
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(drawable, 0, 0, width, height);
  return context;
}
