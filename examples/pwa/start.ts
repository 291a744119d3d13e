/**
 * Builds the app and serves it.
 *
 *     node examples/pwa/start.ts [--port 8000] [--host 127.0.0.1] [--no-isolation] [--build]
 *
 * `--build` makes the static files, in `examples/pwa/assets`, and ends. Without isolation headers the app computes in one thread.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildApp } from "./build.ts";
import { serveFolder } from "./serve.ts";

const { values } = parseArgs({
  allowNegative: true,
  options: {
    port: { type: "string", default: "8000" },
    host: { type: "string", default: "127.0.0.1" },
    isolation: { type: "boolean", default: true },
    build: { type: "boolean", default: false },
  },
});
const out = join(import.meta.dirname, "assets");
await buildApp({ out });
if (values.build) {
  process.stdout.write(`static files: ${out}\n`);
} else {
  const { url } = await serveFolder(out, {
    host: values.host,
    port: Number(values.port),
    isolated: values.isolation,
  });
  process.stdout.write(`${url}\nstop with Ctrl-C\n`);
}
