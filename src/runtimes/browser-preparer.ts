/** The file a web worker starts from that prepares images beside a training. */
import { servePreparer } from "../train/preparer.ts";
import { browserRuntime } from "./page.ts";

const onMessage = servePreparer(browserRuntime(), (message, transfer) => postMessage(message, { transfer }));
let queue = Promise.resolve();
addEventListener("message", ({ data }) => {
  queue = queue.then(() => onMessage(data));
});
