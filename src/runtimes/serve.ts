/** How a page's worker begins: it says that it is there, hears where the page is, and then does what it is called for. */
import { type Handler, Peer, READY } from "../remote/peer.ts";
import { type InitOptions, init } from "./init.ts";
import { setPageAddress } from "./page-address.ts";

/** What a worker hears first. */
export interface Settings {
  readonly page: string;
  readonly init: InitOptions;
}

/** @param handlersOf gets the page, for calls of it */
export function serveWorker(handlersOf: (page: () => Peer) => Readonly<Record<string, Handler>>): void {
  const peer: Peer = new Peer(
    (message, transfer) => postMessage(message, { transfer }),
    handlersOf(() => peer),
  );
  let isSet = false;
  addEventListener("message", ({ data }) => {
    if (isSet) peer.receive(data);
    else {
      const { page, init: given } = data as Settings;
      setPageAddress(page);
      init(given);
      isSet = true;
    }
  });
  postMessage(READY);
}
