/** The file a web worker starts from that prepares images beside a training. */
import { servePreparer } from "../train/preparer.ts";
import { pageRuntime } from "./page.ts";

const onMessage = servePreparer(pageRuntime(), (message, transfer) => postMessage(message, { transfer }));
let queue = Promise.resolve();
addEventListener("message", ({ data }) => {
  queue = queue.then(() => onMessage(data));
});
