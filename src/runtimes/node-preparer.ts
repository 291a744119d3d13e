/** The file a Node worker starts from that prepares images beside a training. */
import { parentPort } from "node:worker_threads";
import { servePreparer } from "../train/preparer.ts";
import { nodeRuntime } from "./node.ts";

const port = parentPort!;
const onMessage = servePreparer(nodeRuntime(), (message, transfer) => port.postMessage(message, transfer));
let queue = Promise.resolve();
port.on("message", (message) => {
  queue = queue.then(() => onMessage(message));
});
