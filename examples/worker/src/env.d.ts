/** What this Worker uses of the platform; `wrangler types` writes all of it. */
declare module "cloudflare:workers" {
  export const env: {
    /** The static assets of `wrangler.jsonc`. */
    readonly ASSETS: { fetch(address: string): Promise<Response> };
    /** An R2 bucket, where weights are larger than an asset may be. */
    readonly WEIGHTS?: {
      get(key: string): Promise<{ readonly body: ReadableStream<Uint8Array>; readonly size: number } | null>;
    };
    /** Origins that `?url=` may name, separated by spaces. */
    readonly ORIGINS?: string;
    /** Most pixels of a photo. */
    readonly MAX_PIXELS?: string;
  };
  /** Keeps the request's context alive until `work` is done. */
  export function waitUntil(work: Promise<unknown>): void;
}
