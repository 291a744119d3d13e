/** The file a web worker starts from: one replica. */
import { serveReplica } from "../replica.ts";
import { decodeHeif } from "./web-heif.ts";

const onMessage = serveReplica((message) => postMessage(message), decodeHeif);
let queue = Promise.resolve();
addEventListener("message", ({ data }) => {
  queue = queue.then(() => onMessage(data));
});
