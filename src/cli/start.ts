/** `npm start`: classifies the images it is given, or a sample photo. For a checkout; the package has `resnet-wasm`. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { main } from "./main.ts";

const args = process.argv.slice(2);
const VALUED = /^--(model|top-k|threads|build|preprocess|mean|std|arch|stride|size|cache)$/;
const images = args.filter((arg, i) => !arg.startsWith("-") && !VALUED.test(args[i - 1] ?? ""));
const sample = join(dirname(createRequire(import.meta.url).resolve("baboon-image/package.json")), "baboon.png");
process.exitCode = await main(["classify", ...(images.length === 0 ? [sample] : []), ...args]);
