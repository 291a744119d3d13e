/** The bindings of `wrangler.jsonc`, as `npx wrangler types` writes them. */
declare namespace Cloudflare {
  interface Env {
    BUCKET: R2Bucket;
    JOBS: Queue;
    MODEL: string;
  }
}
interface Env extends Cloudflare.Env {}
