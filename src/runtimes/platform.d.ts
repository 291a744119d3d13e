/// <reference lib="esnext.disposable" />
// biome-ignore-all lint/suspicious/noEmptyInterface: merged with the platform's where that has them
// biome-ignore-all lint/complexity/noBannedTypes: the same

/**
 * Names of the platform that types of this package mention, for projects whose own types have none of them: Node's without `dom`,
 * and libraries before `esnext.disposable`. Where the platform's types are there, these add nothing to them.
 */
interface HTMLImageElement {}
interface SVGImageElement {}
interface HTMLCanvasElement {}
interface HTMLVideoElement {}
interface OffscreenCanvas {}
interface ImageBitmap {}
interface VideoFrame {}

declare namespace WebAssembly {
  interface Module {}
  interface Memory {}
}
