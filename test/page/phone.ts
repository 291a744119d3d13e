/**
 * `test/page/phone.ts [chromium]`: a phone as Chromium simulates it, its page's thread four times slower, on a screen of 360×640:
 * ResNet-18 int8 with random weights, until the first answer, for photos of 12 megapixels, and for frames of a camera. Other tabs in
 * front and pages that are frozen. Times are told and hardly bounded: machines differ, and how busy they are.
 */
import puppeteer, { type Page } from "puppeteer-core";
import { check, finish } from "../../.ci/checks.ts";
import type * as Library from "../../src/runtimes/browser.ts";
import { absenceOf, programOf } from "../runtimes/browsers.ts";
import { serveSite } from "./lib/site.ts";

interface Seen {
  /** Milliseconds since the navigation began. */
  readonly first: number;
  /** Milliseconds of each photo. */
  readonly photos: readonly number[];
  readonly photoBytes: number;
  /** Frames that were classified, a second. */
  readonly rate: number;
  readonly frames: number;
}

async function phone(): Promise<Seen> {
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const threads = new URL(location.href).searchParams.get("threads");
  const model = await load("/resnet18-int8.safetensors", { threads: Number(threads) });
  await model.classify(new ImageData(224, 224));
  const first = performance.now();
  // Colours and edges of every size, so that the file is as long as a photo's.
  const canvas = new OffscreenCanvas(4000, 3000);
  const context = canvas.getContext("2d")!;
  for (let i = 0; i < 6000; ++i) {
    context.fillStyle = `hsl(${(i * 47) % 360} 60% ${20 + ((i * 13) % 60)}%)`;
    context.fillRect((i * 997) % 4000, (i * 631) % 3000, 20 + (i % 90), 10 + (i % 70));
  }
  const photo = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
  const photos: number[] = [];
  for (let i = 0; i < 4; ++i) {
    const start = performance.now();
    await model.classify(photo);
    photos.push(performance.now() - start);
  }
  const video = document.createElement("video");
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 30 } });
  await video.play();
  const small = new OffscreenCanvas(224, 224);
  const drawing = small.getContext("2d", { willReadFrequently: true })!;
  let frames = 0;
  const start = performance.now();
  while (performance.now() - start < 3000) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    drawing.drawImage(video, 0, 0, 224, 224);
    await model.classify(small);
    frames += 1;
  }
  const rate = (1000 * frames) / (performance.now() - start);
  for (const track of (video.srcObject as MediaStream).getTracks()) track.stop();
  await model.dispose();
  return { first, photos, photoBytes: photo.size, rate, frames };
}

/** A page that keeps a model, and says whether it answers as it did. */
async function kept(): Promise<string> {
  const entry = "/dist/runtimes/browser.js";
  const { load } = (await import(entry)) as typeof Library;
  const model = await load("/resnet18-int8.safetensors", { threads: 2 });
  const image = { width: 64, height: 64, data: new Uint8Array(16384).fill(99) };
  const answer = async (): Promise<string> => JSON.stringify(await model.classify(image));
  const first = await answer();
  Object.assign(globalThis, {
    again: async () => ({ isSame: (await answer()) === first, visibility: document.visibilityState }),
  });
  return first;
}

interface Again {
  readonly isSame: boolean;
  readonly visibility: string;
}

const again = (page: Page): Promise<Again> =>
  page.evaluate(() => (globalThis as unknown as { again(): Promise<Again> }).again());

async function opened(page: Page, url: string): Promise<string> {
  await page.goto(url);
  await page.waitForFunction(() => document.title === "done", { timeout: 120_000 });
  return page.evaluate(() => document.body.textContent!);
}

const asked = process.argv.slice(2);
const absent = absenceOf("chromium");
if (absent !== undefined) process.stdout.write(`left out: ${absent}\n`);
else if (asked.length === 0 || asked.includes("chromium")) {
  const headers = { "Cache-Control": "max-age=600" };
  const site = await serveSite({ pages: { phone, kept }, isolated: true, headers });
  const browser = await puppeteer.launch({
    executablePath: programOf("chromium"),
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
      ...["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
    ],
  });
  try {
    for (const threads of [1, 2]) {
      const page = await browser.newPage();
      await page.setViewport({ width: 360, height: 640, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
      const url = site.page("phone", { threads: `${threads}` });
      await opened(page, url);
      await page.emulateCPUThrottling(4);
      const text = await opened(page, url);
      const seen = JSON.parse(text) as Seen;
      const holds = seen.first > 0 && seen.photos.length === 4 && seen.frames > 0;
      const ms = seen.photos?.map(Math.round).join(" ");
      const mb = (seen.photoBytes / 1e6).toFixed(1);
      const figures = `first answer ${Math.round(seen.first)} ms; photos of ${mb} MB ${ms} ms; ${seen.rate?.toFixed(1)} frames a second`;
      check(`a phone, ${threads} thread(s)`, holds, holds ? figures : text);
      await page.close();
    }
    const page = await browser.newPage();
    await opened(page, site.page("kept"));
    const front = await browser.newPage();
    await front.bringToFront();
    const behind = await again(page);
    check("a tab behind another classifies", behind.isSame, JSON.stringify(behind));
    await page.bringToFront();
    const session = await page.createCDPSession();
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await session.send("Page.setWebLifecycleState", { state: "active" });
    const thawed = await again(page);
    check("a page that was frozen classifies", thawed.isSame, JSON.stringify(thawed));
  } finally {
    await browser.close();
    site.close();
  }
}
finish();
