/** The file a web worker starts from: one training of a page. */
import { serveTrainings } from "../remote/trainer.ts";
import { serveWorker } from "./serve.ts";
import { computingRuntime } from "./worker-runtime.ts";

serveWorker((page) => serveTrainings(computingRuntime(page), page));
