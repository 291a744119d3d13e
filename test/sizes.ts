/** What the package weighs: its modules, and what a bundler makes of an import. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
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

/** Leaves out the decoders, which are fetched when first needed, and what is imported when a model or a name needs it. */
const WITHOUT_DECODERS: Plugin = {
  name: "without decoders",
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ path, kind }) => (kind === "dynamic-import" ? { path, external: true } : undefined));
    onResolve({ filter: /\.wasm$|^node:|^module$/ }, ({ path }) => ({ path, external: true }));
    onResolve({ filter: /\/image\.ts$/ }, ({ path, resolveDir }) =>
      basename(resolveDir) === "decode" ? { path, external: true } : undefined,
    );
  },
};

/** Every wasm module of the package. */
export function modules(): readonly Size[] {
  const names = readdirSync(join(root, "wasm")).filter((name) => name.endsWith(".wasm"));
  return names.map((name) => sizeOf(name, readFileSync(join(root, "wasm", name))));
}

/** An import of a page or Worker, bundled and minified, without the decoders. */
export async function imported(name: string, statement: string): Promise<Size> {
  const { outputFiles } = await build({
    stdin: { contents: statement, resolveDir: root },
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    plugins: [WITHOUT_DECODERS],
  });
  return sizeOf(name, outputFiles[0]!.contents);
}
