/** Image elements of a page, once they are there. */
import { expectedGot, ImageError } from "../errors.ts";

/**
 * The element, loaded; of an SVG's, an element with the picture itself, at its own size.
 *
 * @throws ImageError "not-found" when it does not load
 */
export async function loaded(element: HTMLImageElement | SVGImageElement): Promise<HTMLImageElement> {
  let image = element as HTMLImageElement;
  if ("href" in element) {
    image = new Image();
    image.crossOrigin = element.getAttribute("crossorigin");
    image.src = element.href.baseVal;
  }
  // Else it would not load before it is scrolled to.
  if (image.loading === "lazy" && !image.complete) image.loading = "eager";
  await image.decode().catch((cause: unknown) => {
    throw new ImageError("not-found", expectedGot("image", "an element with an image", "one that failed to load"), {
      cause,
    });
  });
  return image;
}
