/** Browsers without a window, each driven by what it has: puppeteer for Chromium and Firefox, WebDriver for WebKit. */
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { hasWebKit, startWebKit } from "./webdriver.ts";

export const BROWSERS = ["chromium", "firefox", "webkit"] as const;
export type BrowserName = (typeof BROWSERS)[number];

const PATHS = {
  chromium: process.env.CHROMIUM ?? "/usr/bin/chromium",
  firefox: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
} as const;
const CHROMIUM = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
  ...["--disable-background-networking", "--disable-component-update"],
];

export interface RunningBrowser {
  /** `Firefox/153.0` */
  readonly version: string;
  /** Opens a page; resolves to the text it has when its title is `done`. Throws `Error` when that takes too long. */
  resultOf(url: string, timeoutMs: number): Promise<string>;
  close(): Promise<void>;
}

/** Why a browser is not here; `undefined` where it is. */
export function absenceOf(name: BrowserName): string | undefined {
  if (name === "webkit") return hasWebKit() ? undefined : "webkit2gtk-driver or xvfb is not installed";
  return existsSync(PATHS[name]) ? undefined : `${PATHS[name]} is not installed`;
}

/** The program of a browser that puppeteer drives. */
export function programOf(name: Exclude<BrowserName, "webkit">): string {
  return PATHS[name];
}

/** @param flags for V8, in Chromium */
export async function startBrowser(name: BrowserName, flags = ""): Promise<RunningBrowser> {
  if (name === "webkit") return startWebKit();
  const browser = await puppeteer.launch({
    browser: name === "firefox" ? "firefox" : "chrome",
    executablePath: PATHS[name],
    args: name === "firefox" ? [] : [...CHROMIUM, ...(flags === "" ? [] : [`--js-flags=${flags}`])],
  });
  return {
    version: await browser.version(),
    async resultOf(url, timeoutMs) {
      const tab = await browser.newPage();
      await tab.goto(url);
      await tab.waitForFunction(() => document.title === "done", { timeout: timeoutMs });
      const text = await tab.evaluate(() => document.body.textContent!);
      await tab.close();
      return text;
    },
    close: () => browser.close(),
  };
}
