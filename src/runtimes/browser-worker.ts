/** The file a web worker starts from: one member of a team. */
import { serve } from "../worker.ts";

const onMessage = serve((message) => postMessage(message));
// Orders are done one after the other, also when the first of them has to wait for its module.
let queue = Promise.resolve();
addEventListener("message", ({ data }) => {
  queue = queue.then(() => onMessage(data));
});
