/** What the package needs of Node, and where its files are. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { expectedGot, ModelError } from "../errors.ts";

const OLDEST_NODE = 20;

/** Throws `ModelError` with the code `runtime` where something that is used here is missing. */
export function checkNode(version: string): void {
  if (Number.parseInt(version, 10) >= OLDEST_NODE) return;
  const hint = "this version lacks what it uses; see https://nodejs.org";
  throw new ModelError("runtime", expectedGot("resnet-wasm", `Node ${OLDEST_NODE} or later`, `Node ${version}`, hint));
}

/**
 * The address of this file; none where a bundle is CommonJS. By `String`, so that bundlers do not take what is made of it for assets of
 * their own: Turbopack follows variables, and then takes all files of the package.
 */
function ownAddress(): string | undefined {
  const address = String(import.meta.url);
  return address.startsWith("file:") ? address : undefined;
}

/** Where packages are looked for: beside this file, then from the working directory. */
function startingPoints(): readonly string[] {
  return [ownAddress(), pathToFileURL(join(process.cwd(), "main.js")).href].filter((from) => from !== undefined);
}

/** A file of an installed package. Throws `Error` when there is none. */
export function installedFile(name: string): string {
  const [from] = startingPoints() as [string];
  return createRequire(from).resolve(name);
}

/**
 * The address of one of the package's files: two folders above this one, which holds in a checkout as in the package; where this is
 * part of a bundle, in the package as it is installed, found from the bundle or from the working directory. A worker is TypeScript in
 * a checkout.
 *
 * @param path as in the package, `wasm/…` or `dist/runtimes/…`
 */
export function packageFile(path: string): URL {
  const here = ownAddress();
  const isSource = here?.endsWith(".ts") === true;
  const own = isSource ? path.replace(/^dist(.*)js$/, "src$1ts") : path;
  const beside = here === undefined ? undefined : new URL(`../../${own}`, here);
  if (beside !== undefined && existsSync(beside)) return beside;
  for (const from of startingPoints()) {
    try {
      const found = new URL(path, pathToFileURL(createRequire(from).resolve("resnet-wasm/package.json")));
      if (existsSync(found)) return found;
    } catch {
      // Not installed there.
    }
  }
  return beside ?? pathToFileURL(join(process.cwd(), path));
}
