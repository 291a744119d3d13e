/**
 * A walk puts every image without a result on the queue, however many there are. An image and its result have the same name, and
 * listings are sorted, so one cursor, a name, stands for the same place in both. A step reads the page behind it of each.
 *
 * The cursor is kept in the bucket, as `walks/<prefix>*`. A message of the queue goes on from there, some pages far, moves the
 * cursor if nobody else has, and sends the next message. That one lies behind the images which it has put on the queue, so a walk
 * is never far ahead of the consumers, and neither the queue's size nor its retention limits the bucket's.
 */
import { IMAGES, isImage, type Job, type WalkMessage } from "./messages.ts";

/** Folder of the results. No suffix after an image's name: with one, "a" and "a!" would be sorted in another order. */
export const RESULTS = "results/";
/**
 * Pages of one message: 10,000 images in 120 calls, of the 1,000 that an invocation may make. Most images that come twice on
 * the queue when a consumer dies. Also several seconds of work: R2 lets a key be written once a second.
 */
export const PAGES = 10;
/** Most messages of one `sendBatch`, which also takes no more than 256 KB: a key has at most 1,024 bytes. */
const SEND = 100;

/** What a walk uses of the Worker's environment. */
export interface WalkEnv {
  readonly BUCKET: R2Bucket;
  readonly JOBS: Queue<Job | WalkMessage>;
}
/** How far a walk is. */
export interface Cursor {
  readonly started: string;
  /** Images up to this name have a result or were put on the queue. */
  readonly after: string;
  readonly images: number;
  readonly enqueued: number;
  readonly done: boolean;
}

/** The order of listings: bytes of UTF-8. That of strings is another: U+10000 and above are units of 0xd800 to 0xdfff there. */
export function compareNames(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; ++i) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);

/** Names of the next objects in a folder. Throws `Error` when they are not sorted: images would be left out. */
async function page(bucket: R2Bucket, folder: string, prefix: string, after: string) {
  // The folder's own mark is passed over. No start before the prefix: that is not defined.
  const start = after === "" && prefix !== "" ? {} : { startAfter: folder + after };
  const { objects, truncated } = await bucket.list({ prefix: folder + prefix, ...start });
  const names = objects.map(({ key }) => key.slice(folder.length));
  for (const [i, name] of names.entries()) {
    const before = i === 0 ? after : names[i - 1]!;
    if (compareNames(before, name) >= 0)
      throw new Error(`${folder}: expected names sorted by UTF-8, got "${name}" after "${before}"`);
  }
  const last = names.at(-1);
  if (truncated && last === undefined) throw new Error(`${folder}: expected names in a page that is not the last`);
  return { names, last, truncated };
}

/** One page of a walk. */
async function step({ BUCKET, JOBS }: WalkEnv, prefix: string, cursor: Cursor): Promise<Cursor> {
  const [images, results] = await Promise.all([
    page(BUCKET, IMAGES, prefix, cursor.after),
    page(BUCKET, RESULTS, prefix, cursor.after),
  ]);
  // Where results without an image lie close, their page ends first, and images beyond it wait for the next.
  const end =
    results.truncated && images.last !== undefined && compareNames(results.last!, images.last) < 0
      ? results.last!
      : undefined;
  const seen = images.names.filter((name) => isImage(name) && (end === undefined || compareNames(name, end) <= 0));
  const classified = new Set(results.names);
  const jobs = seen.filter((name) => !classified.has(name)).map((key) => ({ body: { key } }));
  const batches = Array.from({ length: Math.ceil(jobs.length / SEND) }, (_, i) => jobs.slice(SEND * i, SEND * (i + 1)));
  await Promise.all(batches.map((batch) => JOBS.sendBatch(batch)));
  return {
    ...cursor,
    after: end ?? images.last ?? cursor.after,
    images: cursor.images + seen.length,
    enqueued: cursor.enqueued + jobs.length,
    done: end === undefined && !images.truncated,
  };
}

const cursorKey = (prefix: string): string => `walks/${prefix}*`;

/** The cursor of the last walk over these images, and its ETag; `null` when there was none. */
export async function readCursor(bucket: R2Bucket, prefix: string): Promise<{ cursor: Cursor; etag: string } | null> {
  const object = await bucket.get(cursorKey(prefix));
  return object === null ? null : { cursor: await object.json<Cursor>(), etag: object.etag };
}

/** Whether the cursor could be moved: not when somebody else has moved it since it had this ETag. */
async function writeCursor(bucket: R2Bucket, prefix: string, cursor: Cursor, etag: string | undefined) {
  const options = {
    httpMetadata: { contentType: "application/json" },
    ...(etag === undefined ? {} : { onlyIf: { etagMatches: etag } }),
  };
  return (await bucket.put(cursorKey(prefix), JSON.stringify(cursor), options)) !== null;
}

/** Starts a walk over the images whose names begin with `prefix`, or has one go on that is not at its end. */
export async function startWalk(env: WalkEnv, prefix: string): Promise<Cursor> {
  const kept = await readCursor(env.BUCKET, prefix);
  if (kept === null || kept.cursor.done) {
    const cursor = { started: new Date().toISOString(), after: "", images: 0, enqueued: 0, done: false };
    await writeCursor(env.BUCKET, prefix, cursor, kept?.etag);
  }
  return (await resumeWalk(env, prefix)) ?? startWalk(env, prefix);
}

/** Sends a message for the place where a walk is, unless that is its end: `null` then. Others for this place do no harm. */
export async function resumeWalk({ BUCKET, JOBS }: WalkEnv, prefix: string, delaySeconds = 0): Promise<Cursor | null> {
  const kept = await readCursor(BUCKET, prefix);
  if (kept === null || kept.cursor.done) return null;
  await JOBS.send({ walk: prefix, after: kept.cursor.after }, { delaySeconds });
  return kept.cursor;
}

/**
 * Goes on with a walk.
 *
 * @param attempts how often the message was delivered, this time included
 */
export async function walkOn(env: WalkEnv, { walk: prefix, after }: WalkMessage, attempts: number): Promise<void> {
  const kept = await readCursor(env.BUCKET, prefix);
  if (kept === null || kept.cursor.done) return;
  // Whoever moved the cursor has sent a message for it, unless it died in between: then this is its own, once more.
  if (kept.cursor.after !== after && attempts === 1) return;
  let { cursor } = kept;
  let isMoved = false;
  try {
    for (let i = 0; i < PAGES && !cursor.done; ++i) cursor = await step(env, prefix, cursor);
  } finally {
    // After an error, too: the pages before it are not read again.
    if (cursor !== kept.cursor) isMoved = await writeCursor(env.BUCKET, prefix, cursor, kept.etag);
  }
  if (isMoved && !cursor.done) await env.JOBS.send({ walk: prefix, after: cursor.after });
}
