/** The contract in Node, Deno or Bun: `local.js SITE EXPECTED`, prints its outcomes as JSON. */
import { readFile } from "node:fs/promises";
import { type Expected, type Package, runContract } from "./contract.ts";

const [site, text, entry] = process.argv.slice(2) as [string, string, string];
const library = (await import(entry)) as Package;
const bytesOf = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(`${site}/${name}`)).arrayBuffer());
const given = {
  ...{ f32: await bytesOf("f32"), int8: await bytesOf("int8"), photo: await bytesOf("photo") },
  ...{ torch: await bytesOf("torch"), onnx: await bytesOf("onnx") },
  ...{ stalled: `${site}/stalled.safetensors`, streams: false },
};
const expected = text === "none" ? undefined : (JSON.parse(await readFile(text, "utf8")) as Expected);
process.stdout.write(`result ${JSON.stringify(await runContract(library, given, expected))}\n`);
process.exit(0);
