/** The licence of a model whose file does not say it: in `config.json`, or in the front matter of the README, beside the weights. */
import { posix } from "node:path";
import type { Folder } from "../bytes.ts";
import type { LocateOptions, Runtime } from "../runtime.ts";

/** No configuration and no README is longer. */
const MAX_BYTES = 1 << 20;

async function textOf(folder: Folder, path: string): Promise<string> {
  try {
    const file = await folder.open(path);
    try {
      return new TextDecoder().decode(await file.read(0, Math.min(file.size, MAX_BYTES)));
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}

/** What timm and others write: `license`, of the whole or of its `pretrained_cfg`. */
function ofConfig(text: string): unknown {
  try {
    const { license, pretrained_cfg: inner } = JSON.parse(text);
    return license ?? inner?.license;
  } catch {
    return undefined;
  }
}

/** YAML between two lines of `---` at the beginning of a README, as the Hugging Face hub reads it. */
function ofReadme(text: string): string | undefined {
  const [, matter = ""] = /^\uFEFF?---\r?\n([\s\S]*?)\r?\n---/.exec(text) ?? [];
  return /^licen[cs]e:[ \t]*["']?([^"'\r\n#]+)/m.exec(matter)?.[1]?.trim();
}

/** The licence, or nothing where nobody says it or there is nothing beside the weights. */
export async function licenceBeside(
  runtime: Runtime,
  source: string,
  options: LocateOptions,
): Promise<string | undefined> {
  const located = await runtime.locate(source, options).catch(() => undefined);
  if (located === undefined) return undefined;
  const { folder, entry } = located;
  const beside = (name: string): string => posix.join(posix.dirname(entry), name);
  const said = ofConfig(await textOf(folder, beside("config.json")));
  if (typeof said === "string") return said;
  return ofReadme(await textOf(folder, beside("README.md")));
}
