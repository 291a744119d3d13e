/**
 * The app in headless Chromium with a camera that shows a test picture: what a person does, in their order. The model is a small network with
 * random weights; nothing is asked of any other machine.
 *
 *     node examples/pwa/test/main.ts
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { check, finish } from "../../../.ci/checks.ts";
import { load } from "../../../src/runtimes/node.ts";
import { smallModel } from "../../small.ts";
import { buildApp } from "../build.ts";
import { type Served, serveFolder } from "../serve.ts";
import { type App, startApp } from "./driver.ts";
import { photosOf } from "./shapes.ts";

const JAVASCRIPT_BYTES = 150_000;
/** Of resnet34's file, as its stand-in claims, and what the first connection brings of it. */
const [CLAIMED, BROUGHT] = [87_300_000, 3_000_000];
const TABS = ["see", "teach", "models", "measure"];

const home = mkdtempSync(join(tmpdir(), "spotter-test-"));
const ranges: (string | undefined)[] = [];

/** A hub whose only file never ends. */
function hub(request: IncomingMessage, response: ServerResponse): boolean {
  if (!request.url!.startsWith("/hub/")) return false;
  const { range } = request.headers;
  ranges.push(range);
  const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
  const part = { "Content-Range": `bytes ${from}-${CLAIMED - 1}/${CLAIMED}` };
  response.writeHead(range === undefined ? 200 : 206, {
    ETag: '"stand-in"',
    "Accept-Ranges": "bytes",
    "Content-Length": CLAIMED - from,
    ...(range !== undefined && part),
  });
  response.write(Buffer.alloc(BROUGHT, 1));
  return true;
}

const [out, next] = [join(home, "app"), join(home, "next")];
let site: Served = await serveFolder(out, { first: hub });
const { url } = site;
const { first, all } = await buildApp({ out, hub: `${url}hub` });
const weigh = (files: readonly string[]): number =>
  files.reduce((sum, file) => sum + gzipSync(readFileSync(join(out, file))).length, 0);
check(
  "JavaScript before the model, gzip",
  weigh(first) <= JAVASCRIPT_BYTES,
  `${weigh(first)} bytes of ${JAVASCRIPT_BYTES}; all that is ever loaded ${weigh(all)}`,
);

const model = join(home, "small.safetensors");
const bytes = await smallModel();
writeFileSync(model, bytes);
const [discs, squares] = [await photosOf(home, "disc", 10, 100), await photosOf(home, "square", 10, 200)];
const unseen = [...(await photosOf(home, "disc", 3, 300)), ...(await photosOf(home, "square", 3, 400))];
const node = await load(bytes);
const photo = discs[0]!;
const [expected] = await node.classify(photo);
await node.dispose();

const app = await startApp(url);
const { page } = app;
const PHOTO = '[aria-label="Choose a photo"] + input';
/** The large answer of a photo. */
async function answerOf(path: string): Promise<string> {
  await app.give(PHOTO, path);
  await page.waitForFunction(() => !document.querySelector(".answer")?.textContent?.includes("…"));
  await page.waitForSelector(".rows");
  return app.text(".rows");
}
const accessible = async (name: string, of: App = app): Promise<void> => {
  const faults = await of.faults();
  check(`axe-core on ${name}, light and dark`, faults.length === 0, faults.join("; ") || "nothing found");
};

// The first visit: no model yet.
check(
  "without a model the first screen offers some, by size",
  await app.says(/resnet18\s+47 MB/),
  (await app.text()).slice(0, 60),
);
await accessible("the first screen");
await app.press("Download: resnet34");
const came = await app.says(/[23](\.\d)? MB of 87 MB/);
await app.press("Pause");
check("a download is paused", came && (await app.says(/paused at [23]/)), (await app.text(".models")).slice(0, 120));
await app.press("Continue: resnet34");
await app.says(/[56](\.\d)? MB of 87 MB/);
await app.press("Pause");
check("and goes on from there", Number(/\d+/.exec(ranges.at(-1) ?? "0")) > BROUGHT / 2, ranges.join(", "));
await app.press("Delete resnet34");

// A file of one's own.
await app.give('input[accept*=".safetensors"]', model);
check("a file of one's own is opened", await app.says("Point at a thing"), (await app.text()).slice(0, 80));
const rows = await answerOf(photo);
const percent = `${Math.round(100 * expected!.probability)}%`;
check(
  "a photo is named as in Node",
  rows.startsWith(expected!.label) || rows.includes(`${expected!.label}\n${percent}`),
  `${rows.replaceAll("\n", " ")}; Node: ${expected!.label} ${percent}`,
);
await page.click(".row");
await page.waitForSelector("canvas.heat");
const heat = await page.$eval("canvas.heat", (canvas) => {
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
  return {
    width: canvas.width,
    height: canvas.height,
    opaque: data.filter((value, i) => i % 4 === 3 && value > 0).length,
  };
});
check("a heat map lies over the photo", heat.width === 8 && heat.height === 8 && heat.opaque > 0, JSON.stringify(heat));
await accessible("a photo with its heat map");

// The camera.
await app.press("Back to the camera");
check(
  "the camera's picture is named, with its speed",
  await app.says(/[\d,]+ ms/),
  (await app.text(".speed").catch(() => "nothing")).trim(),
);
check("in a worker", page.workers().length > 0, `${page.workers().length} workers`);
await app.press("Hold the picture");
check("it is held", (await page.$('.shutter[aria-pressed="true"]')) !== null, "");
await accessible("the camera");

// Teaching.
await app.go("teach");
await accessible("Teach, empty");
await app.addClass("disc", discs);
await app.addClass("square", squares);
check(
  "photos of two classes are told apart",
  await app.says(/(19|20) of 20 photos/, ".score"),
  (await app.text(".score")).replaceAll("\n", " "),
);
await app.press("Start the camera");
const record = await page.waitForSelector('[aria-label^="Take photos of square"]');
await record!.focus();
await page.keyboard.press("Space");
check(
  "a tap takes one photo",
  await app.says(/square\s+11 photos/, ".classes"),
  (await app.text(".classes")).replaceAll("\n", " "),
);
await accessible("Teach");
await app.go("see");
await app.press("My classes");
const named = [];
for (const path of unseen) named.push([path, await answerOf(path)] as const);
const best = named.filter(([path, answer]) => {
  const shares = [...answer.matchAll(/(\w+)\n(\d+)%/g)].map(([, name, share]) => ({
    name: name!,
    share: Number(share),
  }));
  return path.includes(`/${shares.sort((a, b) => b.share - a.share)[0]?.name}-`);
}).length;
check("unseen photos are named as taught", best === unseen.length, `${best} of ${unseen.length}`);
await app.press("Find my photos like this");
await page.waitForSelector(".similar li");
check(
  "and the photos like one are found",
  /^square/.test(await app.text(".similar li")),
  await app.text(".similar li"),
);

// Putting right.
await app.go("teach");
await app.give('[aria-label="Add photos to disc"] + input', unseen[5]!);
await app.says(/disc\s+11 photos/, ".classes");
await app.press("Mistakes");
await app.press("disc taken for square: 1");
await accessible("the mistakes");
await page.click(".photo");
await page.select(".tray select", "square");
check(
  "a mistake is put right by a tap",
  await app.says("1 photo moved to square", ".notices"),
  await app.text(".notices"),
);
await app.press("Undo");
await app.go("teach");
check(
  "and that is undone",
  await app.says(/disc\s+11 photos/, ".classes"),
  (await app.text(".classes")).replaceAll("\n", " "),
);
await app.go("teach/disc");
await page.click(".photo");
await accessible("a class");
await app.press("Delete", ".tray");
const deleted = await app.says("1 photo deleted", ".notices");
await app.press("Undo");
check(
  "a photo is deleted, and that is undone",
  deleted && (await app.says(/^11 photos/m, "main")),
  (await app.text("main")).slice(0, 40).replaceAll("\n", " "),
);
await page.click(".photo");
await page.keyboard.press("Delete");
await app.says(/^10 photos/m, "main");
await page.$eval(".new-class input", (input) => input.select());
await page.keyboard.type("ball\n");
await page.waitForFunction(() => location.hash === "#teach/ball");
check("a class is renamed", await app.says(/^10 photos/m, "main"), await app.text("h1"));

// Out and in again.
await app.go("models");
await accessible("Models");
await app.press("Save as a zip");
const zip = await app.saved("spotter.zip");
await app.press("Save as a model");
const mine = await load(readFileSync(await app.saved("spotter.safetensors")));
const [seen] = await mine.classify(unseen[0]!);
await mine.dispose();
check("the taught model is a file that Node loads", seen!.label === "ball", JSON.stringify(seen));
await app.press("Delete everything");
await accessible("Models, asking");
await Promise.all([page.waitForNavigation(), app.press("Delete everything", ".problem")]);
await app.go("teach");
check(
  "everything is deleted",
  await app.says("Choose a model first"),
  (await app.text("main")).slice(0, 60).replaceAll("\n", " "),
);
await app.give('input[accept*=".safetensors"]', model);
await app.addClass("disc", discs.slice(0, 2));
await app.go("models");
await app.give('input[accept=".zip"]', zip);
check(
  "a friend's zip is added to what is there",
  await app.says("23 photos in your classes now", ".notices"),
  await app.text(".notices"),
);
await app.go("teach");
check(
  "with its classes",
  await app.says(/disc\s+2 photos[\s\S]*ball\s+10 photos[\s\S]*square\s+11 photos/, ".classes"),
  (await app.text(".classes")).replaceAll("\n", " "),
);

// Speed.
await app.go("measure");
await app.press("Quick, 5 seconds");
check(
  "the device is measured, and its answers are right",
  await app.says(/answers are right\s+yes/),
  (await app.text("main")).slice(0, 300).replaceAll("\n", " "),
);
check(
  "with threads",
  await app.says(/threads\s+[2-9]/),
  (/threads\s+\d+/.exec(await app.text()) ?? [""])[0].replaceAll("\n", " "),
);
await accessible("Measure");

// Two languages, at the width of a small phone.
for (const language of ["de", "en"]) {
  await page.select('select:has([value="de"])', language);
  const wide = [];
  for (const tab of [...TABS, "teach/ball", "teach/%20"]) {
    await app.go(tab);
    const overflow = await app.overflow();
    if (overflow > 0) wide.push(`${tab} by ${overflow} px`);
  }
  check(
    `nothing is wider than 360 px: ${language}`,
    wide.length === 0,
    wide.join(", ") || (await app.text("nav")).replaceAll("\n", " "),
  );
}
await app.go("see");
await page.focus("nav a");
await page.keyboard.press("Tab");
await page.keyboard.press("Enter");
check(
  "places are reached by keyboard",
  await page.evaluate(() => location.hash === "#teach"),
  await page.evaluate(() => location.hash),
);

// No network.
await page.evaluate(() => navigator.serviceWorker.ready);
const port = Number(new URL(url).port);
site.close();
await app.go("see");
await page.reload();
check(
  "without a network it starts",
  await app.says("My classes"),
  (await app.text()).slice(0, 80).replaceAll("\n", " "),
);
await app.press("The model");
const offline = await answerOf(photo);
check(
  "and names a photo as before",
  offline.includes(expected!.label) && offline.includes(percent),
  offline.replaceAll("\n", " "),
);
await app.go("teach");
check(
  "and has what was taught",
  await app.says(/ball\s+10 photos/, ".classes"),
  (await app.text(".classes")).replaceAll("\n", " "),
);
site = await serveFolder(out, { first: hub, port });

// A new version.
await buildApp({ out: next, hub: `${url}hub`, version: "next" });
site.use(next);
const versions = (): Promise<string> =>
  page.evaluate(async () => (await caches.keys()).filter((name) => name.startsWith("app-")).join(" "));
const before = await versions();
await page.evaluate(async () => void (await (await navigator.serviceWorker.ready).update()));
check("a new version is offered", await app.says("A new version is here.", ".notices"), await app.text(".notices"));
const both = await versions();
check("and waits", both.includes(before) && both !== before, `${before} → ${both}`);
await accessible("the offer");
await Promise.all([page.waitForNavigation(), app.press("Use it now")]);
await page.waitForFunction(async () => (await caches.keys()).filter((name) => name.startsWith("app-")).length === 1);
const after = await versions();
check("until it is taken", after !== before && both.includes(after), after);
check("nothing went wrong unseen", app.errors.length === 0, app.errors.join("; ") || "no error");
await app.close();

// Where nothing is kept.
const denied = await startApp(url, { storage: false });
await denied.give('input[accept*=".safetensors"]', model);
const opened = await denied.says("Point at a thing");
await denied.go("teach");
await denied.addClass("disc", discs.slice(0, 2));
const told = await denied.says("This browser keeps nothing here");
check(
  "where storage is denied it says so, and works",
  opened && told,
  (await denied.text("main")).slice(0, 140).replaceAll("\n", " "),
);
await denied.close();
site.close();

// Without the headers that threads need.
const plain = await serveFolder(next, { isolated: false });
const single = await startApp(plain.url);
await single.give('input[accept*=".safetensors"]', model);
await single.says("Point at a thing");
await single.go("measure");
const said = await single.says("One thread");
await single.press("Quick, 5 seconds");
check(
  "without isolation it computes in one thread, and says so",
  said && (await single.says(/threads\s+1\s/)),
  (/threads\s+\d+/.exec(await single.text()) ?? [""])[0].replaceAll("\n", " "),
);
await single.close();
plain.close();

rmSync(home, { recursive: true });
finish();
