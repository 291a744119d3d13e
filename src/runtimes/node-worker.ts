/** The file a Node worker starts from: one member of a team. */
import { parentPort } from "node:worker_threads";
import { serve } from "../worker.ts";

const port = parentPort!;
const onMessage = serve((message) => port.postMessage(message));
// Orders are done one after the other, also when the first of them has to wait for its module.
let queue = Promise.resolve();
port.on("message", (message) => {
  queue = queue.then(() => onMessage(message));
});
