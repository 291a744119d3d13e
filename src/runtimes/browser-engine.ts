/** The file a web worker starts from: a page's classifiers. */
import { serveClassifiers } from "../remote/engine.ts";
import { serveWorker } from "./serve.ts";
import { computingRuntime } from "./worker-runtime.ts";

serveWorker((page) => serveClassifiers(computingRuntime(page)));
