/** The bindings of `wrangler.jsonc`, as `npx wrangler types` writes them; the optional ones are commented out there. */
declare namespace Cloudflare {
  interface Env {
    ASSETS: Fetcher;
    WEIGHTS?: R2Bucket;
    IMAGES?: ImagesBinding;
    ORIGINS: string;
    MAX_DECODE_BYTES: string;
  }
}
interface Env extends Cloudflare.Env {}
