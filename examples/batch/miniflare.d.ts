/** The little that is used of miniflare, so that a checkout type-checks without it. */
declare module "miniflare" {
  export const LogLevel: { readonly ERROR: number };
  export class Log {
    constructor(level: number);
  }
  export interface MiniflareOptions {
    readonly log: Log;
    readonly modules: readonly { readonly type: string; readonly path: string; readonly contents: Uint8Array }[];
    readonly modulesRoot: string;
    readonly compatibilityDate: string;
    readonly bindings?: Readonly<Record<string, string>>;
    readonly images?: { readonly binding: string };
    readonly serviceBindings?: Readonly<Record<string, () => Response>>;
    readonly r2Buckets?: Readonly<Record<string, string>>;
    readonly r2Persist?: string;
    readonly queueProducers?: Readonly<Record<string, { readonly queueName: string }>>;
    readonly queueConsumers?: Readonly<
      Record<
        string,
        {
          readonly maxBatchSize: number;
          readonly maxBatchTimeout: number;
          readonly maxRetries?: number;
          readonly deadLetterQueue?: string;
        }
      >
    >;
  }
  /** A Worker with its buckets and queues in this process. */
  export class Miniflare {
    constructor(options: MiniflareOptions);
    readonly ready: Promise<URL>;
    getR2Bucket(binding: string): Promise<R2Bucket>;
    getQueueProducer(binding: string): Promise<Queue<unknown>>;
    dispatchFetch(url: string, init?: RequestInit): Promise<Response>;
    dispose(): Promise<void>;
  }
}
