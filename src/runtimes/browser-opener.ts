/** The file a web worker starts from: it finds and opens models for a page. */
import { LAZY_ONNX, LAZY_TORCH } from "../formats/lazy.ts";
import { serveModels } from "../remote/opener.ts";
import { withTwins } from "../twins.ts";
import { workerRuntime } from "./page.ts";
import { serveWorker } from "./serve.ts";

const runtime = workerRuntime();
const formats = [...runtime.formats, LAZY_TORCH, LAZY_ONNX];

serveWorker((page) => serveModels(withTwins({ ...runtime, formats }), page));
