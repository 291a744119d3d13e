/** The file a Node worker starts from: one replica. */
import { setPriority } from "node:os";
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { serveReplica } from "../replica.ts";
import { decodeHeif } from "./node-heif.ts";

// On Linux a thread has a priority of its own, elsewhere this would be the whole process's.
if (workerData?.nice !== undefined && process.platform === "linux") {
  try {
    setPriority(workerData.nice);
  } catch {
    // Deno without --allow-sys: it works the same, only less evenly.
  }
}

const port = parentPort!;
const onMessage = serveReplica((message) => port.postMessage(message), decodeHeif);
let queue = Promise.resolve();
port.on("message", (message) => {
  queue = queue.then(() => onMessage(message));
});
