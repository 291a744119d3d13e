/**
 * `test/page/memory.ts [BROWSER…]`: memory of pages, by their own account and the system's: models that come and go, trainings one
 * after the other, pictures of 48 megapixels. Bounds are in models and trainings, because browsers differ by hundreds of megabytes.
 */
import { check, finish } from "../../.ci/checks.ts";
import type * as Library from "../../src/runtimes/browser.ts";
import { eachBrowser } from "./lib/browsers.ts";
import { serveSite } from "./lib/site.ts";

interface Seen {
  /** MB of one model, or of one training. */
  readonly unit: number;
  /** MB of the browser's processes: before, then after each. */
  readonly after: readonly number[];
}

/** Six models, one after the other. */
async function models(): Promise<Seen> {
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const memory = async (): Promise<number> => Number(await (await fetch("/memory")).text());
  const bytes = new Blob([await (await fetch("/resnet18.safetensors")).arrayBuffer()]);
  const after = [await memory()];
  const image = { width: 300, height: 300, data: new Uint8Array(360_000) };
  let unit = 0;
  for (let i = 0; i < 6; ++i) {
    const model = await load(bytes, { threads: typeof SharedArrayBuffer === "undefined" ? 1 : 2 });
    await model.classify(image);
    unit = model.memoryBytes / 1e6;
    await model.dispose();
    await new Promise((resolve) => setTimeout(resolve, 300));
    after.push(await memory());
  }
  return { unit, after };
}

/** Four fine-tunings of a whole stage, one after the other. */
async function trainings(): Promise<Seen> {
  const entry = "/dist/runtimes/browser.js";
  const { finetune, ImageSet } = (await import(entry)) as typeof Library;
  const memory = async (): Promise<number> => Number(await (await fetch("/memory")).text());
  const bytes = new Blob([await (await fetch("/resnet18.safetensors")).arrayBuffer()]);
  const images = new ImageSet();
  for (let i = 0; i < 4; ++i) {
    images.add({ width: 64, height: 64, data: new Uint8Array(4 * 64 * 64).fill(i * 60) }, i % 2 === 0 ? "a" : "b");
  }
  const after = [await memory()];
  let unit = 0;
  for (let i = 0; i < 4; ++i) {
    await finetune(bytes, images, {
      epochs: 1,
      batch: 2,
      train: "layer4",
      threads: 1,
      onProgress(progress) {
        if (progress.phase === "plan") unit = progress.memoryBytes / 1e6;
      },
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    after.push(await memory());
  }
  return { unit, after };
}

interface Photos {
  readonly small: number;
  readonly large: number;
  readonly best: string;
}

/** Wasm memory after a small picture, and after one of 48 megapixels. */
async function photos(): Promise<Photos> {
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const model = await load("/resnet20.safetensors");
  const picture = (width: number, height: number) => ({
    width,
    height,
    data: new Uint8Array(4 * width * height).fill(80),
  });
  await model.classify(picture(640, 480));
  const small = model.memoryBytes / 1e6;
  const [best] = await model.classify(picture(8000, 6000));
  const large = model.memoryBytes / 1e6;
  await model.dispose();
  return { small, large, best: best!.label };
}

/** Lists of megabytes, rounded. */
const said = ({ unit, after }: Seen): string => `${Math.round(unit)} MB each; ${after.map(Math.round).join(" ")}`;

await eachBrowser(async (name, browser) => {
  const { version } = browser;
  const pages = { models, trainings, photos };
  const plain = await serveSite({ pages });
  const isolated = await serveSite({ pages, isolated: true });
  const seenIn = async <T>(url: string): Promise<T> => JSON.parse(await browser.resultOf(url, 240_000)) as T;
  try {
    // WebKitGTK has no shared memory: no threads.
    const site = name === "webkit" ? plain : isolated;
    const seen = await seenIn<Seen>(site.page("models"));
    // Five models' worth without collection.
    check(`${version}: models come and go`, seen.after[6]! - seen.after[1]! < 3 * seen.unit, said(seen));
    const trained = await seenIn<Seen>(plain.page("trainings"));
    check(`${version}: four trainings`, trained.after[4]! - trained.after[1]! < 2 * trained.unit, said(trained));
    const { small, large, best } = await seenIn<Photos>(plain.page("photos"));
    // The picture itself is 192 MB.
    const isSmall = best !== undefined && large - small < 24;
    check(
      `${version}: 48 megapixels leave nothing`,
      isSmall,
      `${small.toFixed(1)} MB before, ${large.toFixed(1)} after`,
    );
  } finally {
    plain.close();
    isolated.close();
  }
});
finish();
