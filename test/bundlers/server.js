/** A program for Node: prints its answers. The files are in the working directory. */
import { readFile } from "node:fs/promises";
import { answers } from "./answers.js";

answers((name) => readFile(name)).then(
  (all) => console.log(JSON.stringify(all)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
