/** What one request, and all of them together, may take. */
import { PIXEL_LIMIT } from "../decode/image.ts";
import { expectedGot, OptionError } from "../errors.ts";

export interface Limits {
  /** Largest body, in bytes. */
  readonly maxBytes: number;
  /** Largest photo, in pixels. */
  readonly maxPixels: number;
  /** Most memory that decoding one photo may take. */
  readonly maxDecodeBytes: number;
  /** Photos whose bytes are there and that are computed or wait for it; the next one is answered 503. */
  readonly maxWaiting: number;
  /** Bodies that are received at once; when there are more, the slowest is answered 408. */
  readonly maxBodies: number;
  /** Bytes of all bodies in memory; when there are more, the slowest is answered 408, and without a slow one the newest 503. */
  readonly maxBodyMemory: number;
  /** Milliseconds in which a body must be complete. */
  readonly bodyTimeoutMs: number;
  /** Least mean rate of a body, after its first 5 seconds. */
  readonly minBytesPerSecond: number;
  /** Milliseconds in which the photo of a `?url=` must be complete. */
  readonly upstreamTimeoutMs: number;
  /** Milliseconds in which a request must be answered. */
  readonly timeoutMs: number;
}

/** Of WebP 25 megapixels take 300 MB while they are decoded, of PNG 37; JPEGs take less than 10. */
export const DEFAULT_LIMITS: Readonly<Limits> = {
  maxBytes: 20e6,
  maxPixels: PIXEL_LIMIT,
  maxDecodeBytes: 300e6,
  maxWaiting: 32,
  maxBodies: 256,
  maxBodyMemory: 128e6,
  bodyTimeoutMs: 30_000,
  minBytesPerSecond: 1000,
  upstreamTimeoutMs: 10_000,
  timeoutMs: 60_000,
};

/** The limits given, and the defaults of the others. Throws `OptionError` for one that is no number above 0. */
export function limitsOf(given: Partial<Limits>): Limits {
  const limits: { -readonly [Name in keyof Limits]: number } = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]) {
    const value = given[name] ?? limits[name];
    if (!(value > 0)) throw new OptionError(name, expectedGot(name, "a number above 0", `${value}`));
    limits[name] = value;
  }
  return limits;
}
