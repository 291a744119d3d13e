/** The file a web worker starts from: one replica. */
import { serveReplica } from "../replica.ts";

const onMessage = serveReplica((message) => postMessage(message));
let queue = Promise.resolve();
addEventListener("message", ({ data }) => {
  queue = queue.then(() => onMessage(data));
});
