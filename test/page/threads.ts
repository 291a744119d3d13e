/**
 * `test/page/threads.ts [BROWSER…]`: the pool of threads in pages and in workers: models share it, nothing is terminated, pages that
 * are left and come back still classify, and what Trusted Types refuse is an error.
 */
import { check, finish } from "../../.ci/checks.ts";
import type * as Library from "../../src/runtimes/browser.ts";
import { eachBrowser } from "./lib/browsers.ts";
import { serveSite } from "./lib/site.ts";

interface Shared {
  readonly same: boolean;
  readonly started: number;
  readonly ended: number;
}

/** Several models at once, with different counts of threads, and one after they are gone. */
async function shared(): Promise<Shared> {
  let [started, ended] = [0, 0];
  const { Worker: Original } = globalThis;
  globalThis.Worker = class extends Original {
    constructor(...given: ConstructorParameters<typeof Original>) {
      super(...given);
      started += 1;
    }
    override terminate(): void {
      ended += 1;
      super.terminate();
    }
  };
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const image = { width: 40, height: 33, data: Uint8Array.from({ length: 4 * 40 * 33 }, (_, i) => (i * 37) & 255) };
  // Where a page can count its workers.
  const here = { where: "page" } as const;
  const answer = async (threads: number): Promise<string> => {
    const model = await load("/resnet20.safetensors", { threads, ...here });
    const answers = await Promise.all([model.classify(image), model.classify(image)]);
    await model.dispose();
    return JSON.stringify(answers);
  };
  const expected = await answer(1);
  const given = [await answer(2), ...(await Promise.all([answer(3), answer(2), answer(3)])), await answer(2)];
  return { same: given.every((each) => each === expected), started, ended };
}

interface Cycles extends Shared {
  readonly cycles: number;
}

/** The same in a worker: Firefox hung in `new Worker` after some terminations there. */
async function cycles(): Promise<Cycles> {
  let [started, ended] = [0, 0];
  const { Worker: Original } = globalThis;
  globalThis.Worker = class extends Original {
    constructor(...given: ConstructorParameters<typeof Original>) {
      super(...given);
      started += 1;
    }
    override terminate(): void {
      ended += 1;
      super.terminate();
    }
  };
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const bytes = new Uint8Array(await (await fetch("/resnet20.safetensors")).arrayBuffer());
  const image = { width: 32, height: 32, data: new Uint8Array(4096).fill(99) };
  const answers = new Set<string>();
  let cycles = 0;
  for (; cycles < 100; ++cycles) {
    const model = await load(bytes, { threads: 2 });
    answers.add(JSON.stringify(await model.classify(image)));
    await model.dispose();
  }
  return { same: answers.size === 1, started, ended, cycles };
}

async function inWorker(): Promise<unknown> {
  const worker = new Worker("/workers/cycles.js", { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
}

interface Returned {
  readonly first: string;
  readonly again: string;
  /** Whether the page was kept, or loaded again. */
  readonly isKept: boolean;
}

/** Leaves for another page, which goes back at once. */
async function returns(): Promise<Returned> {
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const image = { width: 32, height: 32, data: new Uint8Array(4096).fill(99) };
  const model = await load("/resnet20.safetensors", { threads: typeof SharedArrayBuffer === "undefined" ? 1 : 2 });
  const answer = async (): Promise<string> => JSON.stringify(await model.classify(image));
  const before = sessionStorage.getItem("first");
  // The page was not kept.
  if (before !== null) return { first: before, again: await answer(), isKept: false };
  const first = await answer();
  sessionStorage.setItem("first", first);
  const shown = new Promise<PageTransitionEvent>((resolve) => addEventListener("pageshow", resolve, { once: true }));
  setTimeout(() => location.assign("/pages/back"), 500);
  const { persisted } = await shown;
  return { first, again: await answer(), isKept: persisted };
}

async function back(): Promise<unknown> {
  await new Promise((resolve) => setTimeout(resolve, 700));
  history.back();
  return new Promise(() => {});
}

interface Trusted {
  readonly has: boolean;
  readonly one: number;
  readonly two: string;
  readonly allowed: string;
}

/** With Trusted Types: one thread, two without a policy for script addresses, two with one. */
async function trusted(): Promise<Trusted> {
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const image = { width: 32, height: 32, data: new Uint8Array(4096) };
  const here = { where: "page" } as const;
  const answers = async (threads: number): Promise<number> => {
    const model = await load("/resnet20.safetensors", { threads, ...here });
    const { length } = await model.classify(image);
    await model.dispose();
    return length;
  };
  const one = await answers(1);
  const two = await answers(2).then(String, (error: Error) => `${error.name}: ${error.message}`);
  const { trustedTypes } = globalThis as unknown as {
    trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown };
  };
  trustedTypes?.createPolicy("default", {
    createScriptURL(url) {
      if (new URL(url, location.href).origin === location.origin) return url;
      throw new TypeError(url);
    },
  });
  return { has: trustedTypes !== undefined, one, two, allowed: await answers(2).then(String, String) };
}

const CSP =
  "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'self'; require-trusted-types-for 'script'; trusted-types default";

await eachBrowser(async (name, browser) => {
  const { version } = browser;
  const isolated = await serveSite({ pages: { shared, inWorker, returns, back }, workers: { cycles }, isolated: true });
  const plain = await serveSite({ pages: { returns, back } });
  const strict = await serveSite({
    pages: { trusted },
    isolated: true,
    headers: { "Content-Security-Policy": CSP },
  });
  const seenIn = async <T>(url: string, ms = 120_000): Promise<T> => JSON.parse(await browser.resultOf(url, ms)) as T;
  try {
    // WebKitGTK has no shared memory.
    if (name !== "webkit") {
      const seen = await seenIn<Shared>(isolated.page("shared"));
      const isShared = seen.same && seen.started === 3 && seen.ended === 0;
      check(`${version}: six models share three workers, and end none`, isShared, JSON.stringify(seen));
      const inside = await seenIn<Cycles>(isolated.page("inWorker"), 180_000);
      const isWhole = inside.same && inside.cycles === 100 && inside.started === 2 && inside.ended === 0;
      check(`${version}: 100 models in a worker, one after the other`, isWhole, JSON.stringify(inside));
      const types = await seenIn<Trusted>(strict.page("trusted"));
      const isRight = types.one === 5 && types.allowed === "5" && (!types.has || /^\w*Error: /.test(types.two));
      check(`${version}: Trusted Types`, isRight, JSON.stringify(types));
    }
    for (const [kind, site] of [
      ["plain", plain],
      ["isolated", isolated],
    ] as const) {
      const seen = await seenIn<Returned>(site.page("returns"));
      const isSame = seen.first !== undefined && seen.again === seen.first;
      check(`${version}: a ${kind} page that comes back classifies`, isSame, JSON.stringify(seen).slice(-40));
    }
  } finally {
    for (const site of [isolated, plain, strict]) site.close();
  }
});
finish();
