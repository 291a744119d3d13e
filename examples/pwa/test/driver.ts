/** The app in headless Chromium, as a user sees it: by texts, labels and addresses. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { default as Axe } from "axe-core";
import puppeteer, { type Browser, type ElementHandle, type Page } from "puppeteer-core";
import { programOf } from "../../../test/runtimes/browsers.ts";

const PHONE = { width: 360, height: 640 };
const PATIENCE_MS = 120_000;
const AXE = join(import.meta.dirname, "../../node_modules/axe-core/axe.min.js");

export interface StartOptions {
  /** Whether sites may keep anything. */
  readonly storage?: boolean;
}

/** A browser with a camera, which shows a test picture, and a folder for downloads. */
export async function startApp(url: string, { storage = true }: StartOptions = {}): Promise<App> {
  const home = mkdtempSync(join(tmpdir(), "spotter-"));
  if (!storage) {
    const BLOCK = 2;
    mkdirSync(join(home, "Default"));
    const preferences = { profile: { default_content_setting_values: { cookies: BLOCK } } };
    writeFileSync(join(home, "Default/Preferences"), JSON.stringify(preferences));
  }
  const flags = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
  ];
  const browser = await puppeteer.launch({
    executablePath: programOf("chromium"),
    userDataDir: home,
    defaultViewport: PHONE,
    args: [...flags, "--lang=en"],
  });
  const [page = await browser.newPage()] = await browser.pages();
  page.setDefaultTimeout(PATIENCE_MS);
  const app = new App(browser, page, join(home, "downloads"));
  await app.begin(url);
  return app;
}

export class App {
  readonly page: Page;
  readonly #browser: Browser;
  readonly #downloads: string;
  /** Errors that the page did not catch. */
  readonly errors: string[] = [];

  constructor(browser: Browser, page: Page, downloads: string) {
    this.page = page;
    this.#browser = browser;
    this.#downloads = downloads;
  }

  async begin(url: string): Promise<void> {
    this.page.on("pageerror", (error) => this.errors.push(`${error}`));
    const session = await this.#browser.target().createCDPSession();
    await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: this.#downloads });
    await this.page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "reduce" }]);
    await this.page.goto(url);
  }

  async go(hash: string): Promise<void> {
    await this.page.evaluate((to) => {
      location.hash = to;
    }, hash);
    await this.page.waitForSelector("main h1");
    await this.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }

  text(selector = "body"): Promise<string> {
    return this.page.$eval(selector, (element) => (element as HTMLElement).innerText);
  }

  /** Waits until the page says something; false when it does not. */
  async says(text: string | RegExp, selector = "body"): Promise<boolean> {
    const { source, flags } = typeof text === "string" ? new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) : text;
    const seen = this.page.waitForFunction(
      (selector, source, flags) =>
        new RegExp(source, flags).test((document.querySelector(selector) as HTMLElement | null)?.innerText ?? ""),
      {},
      selector,
      source,
      flags,
    );
    return seen.then(
      () => true,
      () => false,
    );
  }

  /** Presses a button or link by its text or label. */
  async press(name: string, within = "body"): Promise<void> {
    const found = await this.page.waitForFunction(
      (name, within) =>
        [...document.querySelectorAll<HTMLElement>(`${within} :is(button, a, summary)`)].find(
          (each) => (each.getAttribute("aria-label") ?? each.innerText).trim() === name && !each.matches(":disabled"),
        ),
      {},
      name,
      within,
    );
    await (found as ElementHandle<HTMLElement>).evaluate((button) => button.click());
  }

  /** Gives files to the chooser that an element holds. */
  async give(selector: string, ...paths: readonly string[]): Promise<void> {
    const input = (await this.page.waitForSelector(selector)) as ElementHandle<HTMLInputElement>;
    await input.uploadFile(...paths);
  }

  async addClass(name: string, files: readonly string[] = []): Promise<void> {
    await this.page.waitForSelector(".new-class input");
    await this.page.type(".new-class input", name);
    await this.page.click(".new-class button");
    const input = `[aria-label="Add photos to ${name}"] + input`;
    await this.page.waitForSelector(input);
    if (files.length === 0) return;
    await this.give(input, ...files);
    await this.says(new RegExp(`${name}\\s+${files.length} photo`), ".classes");
  }

  /** The file that the last press saved. */
  async saved(name: string): Promise<string> {
    const path = join(this.#downloads, name);
    for (let i = 0; i < 100 && !existsSync(path); ++i) await new Promise((done) => setTimeout(done, 100));
    if (!existsSync(path)) throw new Error(`${name} was not saved: ${readdirSync(this.#downloads)}`);
    return path;
  }

  /** What axe-core finds on the page, in light and in dark. */
  async faults(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const value of ["light", "dark"]) {
      const motion = { name: "prefers-reduced-motion", value: "reduce" };
      await this.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }, motion]);
      await this.page.addScriptTag({ path: AXE });
      const faults = await this.page.evaluate(async () => {
        const { violations } = await (globalThis as unknown as { axe: typeof Axe }).axe.run();
        return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
      });
      found.push(...faults.map((fault) => `${value}: ${fault}`));
    }
    return found;
  }

  /** Pixels by which the page is wider than the screen. */
  overflow(): Promise<number> {
    return this.page.evaluate(() =>
      Math.max(
        ...["html", "main", "nav"]
          .map((name) => document.querySelector(name)!)
          .map((box) => box.scrollWidth - box.clientWidth),
      ),
    );
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}
