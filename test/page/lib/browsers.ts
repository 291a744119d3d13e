/** The browsers that a test of pages is asked for. */
import { absenceOf, BROWSERS, type BrowserName, type RunningBrowser, startBrowser } from "../../runtimes/browsers.ts";

/** Does `work` in every browser that the command line names, or in all; says which are not installed. */
export async function eachBrowser(work: (name: BrowserName, browser: RunningBrowser) => Promise<void>): Promise<void> {
  const only = process.argv.slice(2);
  for (const name of BROWSERS.filter((each) => only.length === 0 || only.includes(each))) {
    const absent = absenceOf(name);
    if (absent !== undefined) {
      process.stdout.write(`left out: ${absent}\n`);
      continue;
    }
    const browser = await startBrowser(name);
    try {
      await work(name, browser);
    } finally {
      await browser.close();
    }
  }
}
