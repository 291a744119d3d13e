/** SECURITY.md says what the code does: its numbers are those of the code. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BYTE_LIMIT, PIXEL_LIMIT } from "../src/decode/bytes.ts";
import { PASS_LIMIT } from "../src/decode/image.ts";
import { LIMIT_BYTES } from "../src/decode/turn.ts";
import { MAX_FILE_BYTES } from "../src/hub/download.ts";
import { MAX_PACKAGE_BYTES } from "../src/hub/npm.ts";
import { STALL_MS } from "../src/hub/retry.ts";
import { MAX_DESCRIPTION_BYTES } from "../src/hub/shards.ts";
import { DEFAULT_LIMITS } from "../src/server/limits.ts";

const root = join(import.meta.dirname, "..");
const text = readFileSync(join(root, "SECURITY.md"), "utf8");
const row = (begin: string): string => text.split("\n").find((line) => line.startsWith(`| ${begin}`)) ?? "";
const mb = (bytes: number): string => `${bytes / 1e6} MB`;
const megapixels = (pixels: number): string => `${pixels / 1e6} megapixels`;
const seconds = (ms: number): string => `${ms / 1000} s`;
const { maxBytes, maxPixels, maxWaiting, maxBodies, maxBodyMemory, bodyTimeoutMs, upstreamTimeoutMs, timeoutMs } =
  DEFAULT_LIMITS;

describe("SECURITY.md", () => {
  test.each<[string, readonly string[]]>([
    ["encoded image", [mb(BYTE_LIMIT), mb(maxBytes)]],
    ["pixels of an image", [megapixels(PIXEL_LIMIT), megapixels(maxPixels)]],
    ["memory to decode an image", [mb(DEFAULT_LIMITS.maxDecodeBytes)]],
    ["passes over the pixels", [`| ${PASS_LIMIT} |`]],
    ["images decoded at once", [`${LIMIT_BYTES / 2 ** 20} MiB`]],
    ["photos that wait", [`${maxWaiting}, then 503`]],
    ["bodies that the service", [`${maxBodies} and ${mb(maxBodyMemory)}`]],
    ["time for a body", [[bodyTimeoutMs, upstreamTimeoutMs, timeoutMs].map(seconds).join(", ")]],
    ["rate of a body", [`${DEFAULT_LIMITS.minBytesPerSecond} bytes a second`]],
    ["a downloaded file", [`${MAX_FILE_BYTES / 2 ** 30} GiB`]],
    ["an npm package", [`${Math.ceil(MAX_PACKAGE_BYTES / 2 ** 30)} GiB`]],
    ["a header or description", [mb(MAX_DESCRIPTION_BYTES)]],
    ["silence of a server", [seconds(STALL_MS)]],
  ])("%s", (begin, expected) => {
    for (const each of expected) expect(row(begin)).toContain(each);
  });
});

test("docs/threats.md names code, checks and targets that exist", () => {
  const threats = readFileSync(join(root, "docs/threats.md"), "utf8");
  const named = [...threats.matchAll(/`([^`]*)`/g)].map((match) => match[1]!);
  const paths = named.filter((each) => /^(?:src|test|\.ci)\//.test(each));
  expect(paths.length).toBeGreaterThan(20);
  for (const path of paths) expect(existsSync(join(root, path)), path).toBe(true);
  const targets = named.flatMap((each) => /^npm run fuzz -- (.*?)( --.*)?$/.exec(each)?.[1]?.split(" ") ?? []);
  const code = ["files", "images", "service", "weights"]
    .map((name) => readFileSync(join(root, `test/fuzz/targets/${name}.ts`), "utf8"))
    .join();
  for (const target of targets) expect(code, target).toMatch(new RegExp(`(?:name: |target\\()"${target}"`));
});
