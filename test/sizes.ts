/** What the package weighs: its modules, and what a bundler makes of an import. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";

const root = join(import.meta.dirname, "..");

export interface Size {
  readonly name: string;
  readonly bytes: number;
  /** At level 9. */
  readonly gzip: number;
}

const sizeOf = (name: string, content: Uint8Array): Size => {
  return { name, bytes: content.length, gzip: gzipSync(content, { level: 9 }).length };
};

/** Every wasm module of the package. */
export function modules(): readonly Size[] {
  const names = readdirSync(join(root, "wasm")).filter((name) => name.endsWith(".wasm"));
  return names.map((name) => sizeOf(name, readFileSync(join(root, "wasm", name))));
}

/** Leaves what is imported later where it is. */
const AT_ONCE: Plugin = {
  name: "at once",
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ path, kind }) => (kind === "dynamic-import" ? { path, external: true } : undefined));
  },
};

/** What a page loads at once for `statement`, an import of the built entry of pages: bundled and minified, in one file. */
export async function loadedAtOnce(statement: string): Promise<Size> {
  const { outputFiles } = await build({
    stdin: { contents: statement, resolveDir: join(root, "dist/runtimes") },
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    plugins: [AT_ONCE],
  });
  return sizeOf(statement, outputFiles[0]!.contents);
}

/** The files of a page's workers, and the parts of its entry that are imported when they are needed. */
export function parts(): readonly Size[] {
  const folder = join(root, "dist/runtimes");
  const names = ["engine", "opener", "quantizer", "trainer", "core", "pictures", "hub", "formats"];
  return names.map((name) => sizeOf(name, readFileSync(join(folder, `browser-${name}.js`))));
}
