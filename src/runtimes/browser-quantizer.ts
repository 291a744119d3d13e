/** The file a web worker starts from: one model of a page to quantize. */
import { serveQuantizing } from "../remote/quantizer.ts";
import { serveWorker } from "./serve.ts";
import { computingRuntime } from "./worker-runtime.ts";

serveWorker((page) => serveQuantizing(computingRuntime(page), page));
