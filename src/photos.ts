/** What a network needs for photos, and not for inputs that are prepared: apart, so that it is imported when the first one comes. */
import { withPicture } from "./decode/photo.ts";
import { centreView, planView, prepareImage } from "./image.ts";
import { viewsOf } from "./views.ts";

export const photoTools = { withPicture, centreView, planView, prepareImage, viewsOf } as const;
