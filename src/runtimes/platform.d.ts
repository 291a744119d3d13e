/// <reference lib="esnext.disposable" />

/**
 * Names of the platform that types of this package mention, for projects whose own types have none of them: Node's without `dom`,
 * and libraries before `esnext.disposable`. Where the platform's types are there, these add nothing to them.
 */

type HTMLImageElement = {};
type SVGImageElement = {};
type HTMLCanvasElement = {};
type HTMLVideoElement = {};
type OffscreenCanvas = {};
type ImageBitmap = {};
type VideoFrame = {};

declare namespace WebAssembly {
  type Module = {};
  type Memory = {};
}
