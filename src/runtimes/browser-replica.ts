/** The file a web worker starts from: one replica. */
import { serveReplica } from "../replica.ts";
import { importLibheif } from "./heic.ts";
import { heifDecoder } from "./web-heif.ts";

const onMessage = serveReplica((message) => postMessage(message), heifDecoder(importLibheif));
let queue = Promise.resolve();
addEventListener("message", ({ data }) => {
  queue = queue.then(() => onMessage(data));
});
