import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { answers } from "../../../answers.js";

export const dynamic = "force-dynamic";

/** A server route, in Node. */
export async function GET() {
  return Response.json(await answers((name) => readFile(join(process.cwd(), "public", name))));
}
