/** What comes out of the queue: images, walks, and the bucket's own notifications. */

/** An image to classify, by its name below `images/`. */
export interface Job {
  readonly key: string;
}
/** A walk to go on with. */
export interface WalkMessage {
  /** What the names of its images begin with. */
  readonly walk: string;
  /** The name that its cursor stood at when this was sent. */
  readonly after: string;
}

/** Folder of the images. */
export const IMAGES = "images/";

/** Whether a name below `images/` is an image's. Tools mark an empty folder by an object whose key ends in a slash. */
export const isImage = (name: string): boolean => name !== "" && !name.endsWith("/");

/** A message that nobody here sends: it will not be any better the next time. */
export class MessageError extends Error {}

/** The actions of R2's `object-create`. */
const CREATES = ["PutObject", "CopyObject", "CompleteMultipartUpload"];

const isText = (value: unknown): value is string => typeof value === "string";

/**
 * What a message asks for; `null` for notifications of deleted objects and of objects that are no images.
 * Throws `MessageError` when it is none of the three.
 */
export function taskOf(body: unknown): Job | WalkMessage | null {
  const { key, walk, after, action, object } = (body ?? {}) as Readonly<Record<string, unknown>>;
  if (isText(walk) && isText(after)) return { walk, after };
  if (isText(key)) return isImage(key) ? { key } : null;
  const created = (object as { readonly key?: unknown } | null | undefined)?.key;
  if (!isText(action) || !isText(created)) {
    const got = JSON.stringify(body)?.slice(0, 200);
    throw new MessageError(`message: expected { key }, { walk, after } or a notification of R2, got ${got}`);
  }
  const name = created.slice(IMAGES.length);
  return CREATES.includes(action) && created.startsWith(IMAGES) && isImage(name) ? { key: name } : null;
}
