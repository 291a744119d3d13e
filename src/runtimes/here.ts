/** The page itself as an environment, for what computes there. */
import { LAZY_ONNX, LAZY_TORCH } from "../formats/lazy.ts";
import type { Runtime } from "../runtime.ts";
import { withTwins } from "../twins.ts";
import { pageRuntime } from "./page.ts";

/** The environment of a page. */
export function browserRuntime(): Runtime {
  return pageRuntime([LAZY_TORCH, LAZY_ONNX]);
}

const runtime = /* @__PURE__ */ withTwins(/* @__PURE__ */ browserRuntime());

export function runtimeHere(): Runtime {
  return runtime;
}
