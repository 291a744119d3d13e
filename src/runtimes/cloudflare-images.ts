/** HEIC and AVIF in Workers: Cloudflare Images makes JPEGs of them, no larger than the network needs. */
import { Fault } from "../decode/fault.ts";
import type { Runtime } from "../runtime.ts";

/** What is used of a Worker's `env.IMAGES`. */
export interface ImagesBinding {
  input(stream: ReadableStream<Uint8Array>): ImagesInput;
}

interface ImagesInput {
  transform(options: { readonly width: number; readonly height: number; readonly fit: "scale-down" }): ImagesInput;
  output(options: { readonly format: "image/jpeg"; readonly quality: number }): Promise<{
    response(): { arrayBuffer(): Promise<ArrayBuffer> };
  }>;
}

/** Of JPEG: what it loses is less than what differs between two decoders of HEIC. */
const QUALITY = 95;

/**
 * `Runtime.transcodeHeif` of a Worker.
 *
 * @param given the binding, where there is one
 */
export function imagesTranscoder(given: () => ImagesBinding | undefined): NonNullable<Runtime["transcodeHeif"]> {
  return async (codec, bytes, { width, height }) => {
    const images = given();
    if (images === undefined) {
      const hint = "bind Cloudflare Images and call init({ images: env.IMAGES }), or convert it to JPEG";
      throw new Fault("unsupported", `one that a Worker cannot decode by itself; ${hint}`);
    }
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>], { type: `image/${codec.toLowerCase()}` }).stream();
    try {
      const smaller = images.input(stream).transform({ width, height, fit: "scale-down" });
      const result = await smaller.output({ format: "image/jpeg", quality: QUALITY });
      return new Uint8Array(await result.response().arrayBuffer());
    } catch (cause) {
      const fault = new Fault("malformed", `one that Cloudflare Images cannot decode (${(cause as Error).message})`);
      throw Object.assign(fault, { cause });
    }
  };
}
