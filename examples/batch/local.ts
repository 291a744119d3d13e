/** The bucket, the queues and the Worker of this example on this machine, by miniflare. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { workerOptions } from "../worker/miniflare-options.ts";
import type { Cursor } from "./src/walk.ts";

export interface LocalBatch {
  readonly bucket: R2Bucket;
  /** The queue of images, for messages as the bucket would send them: miniflare's buckets have no notifications. */
  readonly jobs: Queue<unknown>;
  /** Starts a walk, or has it go on; where it is. */
  startWalk(): Promise<Cursor>;
  /** Waits until the walk is at its end, at most so many seconds; where it is. */
  walked(seconds: number): Promise<Cursor>;
  /** Names and versions of what lies below a prefix. */
  names(prefix: string): Promise<ReadonlyMap<string, string>>;
  stop(): Promise<void>;
}

/**
 * Starts it.
 *
 * @param main the Worker's main module
 * @param state folder that keeps the bucket; queues are in memory only
 */
export async function startBatch(main: string, state: string): Promise<LocalBatch> {
  const folder = mkdtempSync(join(tmpdir(), "resnet-batch-"));
  const miniflare = new Miniflare({
    ...(await workerOptions(main, folder)),
    bindings: { MODEL: "model.safetensors" },
    r2Buckets: { BUCKET: "photos" },
    r2Persist: state,
    queueProducers: { JOBS: { queueName: "classify" } },
    queueConsumers: {
      classify: { maxBatchSize: 50, maxBatchTimeout: 0.1, maxRetries: 5, deadLetterQueue: "classify-failed" },
      "classify-failed": { maxBatchSize: 100, maxBatchTimeout: 0.1 },
    },
  });
  await miniflare.ready;
  const bucket = await miniflare.getR2Bucket("BUCKET");
  const enqueue = async (method: string): Promise<Cursor> => {
    const response = await miniflare.dispatchFetch("http://batch/enqueue", { method });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as Cursor;
  };
  return {
    bucket,
    jobs: await miniflare.getQueueProducer("JOBS"),
    startWalk: () => enqueue("POST"),
    async walked(seconds) {
      const until = Date.now() + 1000 * seconds;
      for (;;) {
        const cursor = await enqueue("GET");
        if (cursor.done || Date.now() > until) return cursor;
        await new Promise((next) => setTimeout(next, 50));
      }
    },
    async names(prefix) {
      const found = new Map<string, string>();
      let cursor: string | undefined;
      do {
        const page = await bucket.list({ prefix, ...(cursor === undefined ? {} : { cursor }) });
        for (const { key, version } of page.objects) found.set(key.slice(prefix.length), version);
        cursor = page.truncated ? page.cursor : undefined;
      } while (cursor !== undefined);
      return found;
    },
    async stop() {
      await miniflare.dispose();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
