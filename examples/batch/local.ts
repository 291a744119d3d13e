/** The bucket, the queues and the Worker of this example on this machine, by miniflare. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Log, LogLevel, Miniflare } from "miniflare";
import { bundleWorker } from "../worker/workerd.ts";

/** What is used of the bucket from outside. */
export interface LocalBucket {
  put(key: string, value: Uint8Array): Promise<unknown>;
  get(key: string): Promise<{ readonly version: string; text(): Promise<string> } | null>;
  list(options: { prefix: string; cursor?: string }): Promise<{
    readonly objects: readonly { readonly key: string; readonly version: string }[];
    readonly truncated: boolean;
    readonly cursor?: string;
  }>;
}

export interface LocalBatch {
  readonly bucket: LocalBucket;
  /** Puts images without a result on the queue; how many. */
  enqueue(): Promise<number>;
  /** Keys and versions of what lies below a prefix. */
  keys(prefix: string): Promise<ReadonlyMap<string, string>>;
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
  const wasm = await bundleWorker(main, folder);
  const read = (path: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(folder, path)));
  const miniflare = new Miniflare({
    log: new Log(LogLevel.ERROR),
    modules: [
      { type: "ESModule", path: "main.js", contents: read("main.js") },
      ...wasm.map((path) => ({ type: "CompiledWasm" as const, path, contents: read(path) })),
    ],
    modulesRoot: "/",
    compatibilityDate: "2026-03-01",
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
  const bucket = (await miniflare.getR2Bucket("BUCKET")) as LocalBucket;
  return {
    bucket,
    async enqueue() {
      const response = await miniflare.dispatchFetch("http://batch/enqueue", { method: "POST" });
      if (!response.ok) throw new Error(await response.text());
      return ((await response.json()) as { enqueued: number }).enqueued;
    },
    async keys(prefix) {
      const found = new Map<string, string>();
      let page: Awaited<ReturnType<LocalBucket["list"]>> | undefined;
      do {
        page = await bucket.list({ prefix, ...(page?.cursor === undefined ? {} : { cursor: page.cursor }) });
        for (const { key, version } of page.objects) found.set(key.slice(prefix.length), version);
      } while (page.truncated);
      return found;
    },
    async stop() {
      await miniflare.dispose();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
