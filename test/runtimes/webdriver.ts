/** WebKit by the W3C's WebDriver protocol: MiniBrowser of WebKitGTK, under a virtual display. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { RunningBrowser } from "./browsers.ts";

const BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

/** Time that one call of the driver has. */
const CALL_MS = 60_000;

export function hasWebKit(): boolean {
  return existsSync(BROWSER) && ["/usr/bin/WebKitWebDriver", "/usr/bin/xvfb-run"].every(existsSync);
}

export async function startWebKit(): Promise<RunningBrowser> {
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const driver: ChildProcess = spawn("xvfb-run", ["-a", "WebKitWebDriver", `--port=${port}`], {
    stdio: "ignore",
    detached: true,
    env: { ...process.env, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" },
  });
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      signal: AbortSignal.timeout(CALL_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const { value } = (await response.json()) as { value: { error?: string; message?: string } | null };
    if (!response.ok) throw new Error(`WebDriver ${path}: ${value?.error} ${value?.message}`);
    return value;
  };
  for (let i = 0; i < 100; ++i) {
    const up = await call("GET", "/status").then(
      () => true,
      () => false,
    );
    if (up) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const options = { binary: BROWSER, args: ["--automation"] };
  const made = (await call("POST", "/session", {
    capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options } },
  })) as { sessionId: string; capabilities: { browserVersion: string } };
  const session = `/session/${made.sessionId}`;
  const evaluate = (script: string): Promise<unknown> => call("POST", `${session}/execute/sync`, { script, args: [] });
  return {
    version: `WebKitGTK/${made.capabilities.browserVersion}`,
    async resultOf(url, timeoutMs) {
      await call("POST", `${session}/url`, { url });
      for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
        // A page that computes does not answer until it is done, and an answer was lost once.
        const title = await evaluate("return document.title").catch(() => undefined);
        if (title === "done") return (await evaluate("return document.body.textContent")) as string;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(`${url}: expected an end within ${timeoutMs / 1000} s, got none`);
    },
    async close() {
      await call("DELETE", session).catch(() => {});
      process.kill(-driver.pid!, "SIGTERM");
    },
  };
}
