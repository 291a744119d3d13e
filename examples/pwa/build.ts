/** Makes the app's static files: scripts by esbuild, the kernels and workers of the built package beside them, and what offline use needs. */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type BuildOptions, build } from "esbuild";

const here = import.meta.dirname;
const root = join(here, "../..");

export interface AppOptions {
  /** Folder for the files; it is emptied. */
  readonly out: string;
  /** Addresses of mirrors, as `init` of resnet-wasm takes them. */
  readonly hub?: string;
  readonly registry?: string;
  /** Name or address of the model that the app begins with, instead of the one of `src/config.ts`. */
  readonly model?: string;
  /** Tells builds apart that are otherwise the same. */
  readonly version?: string;
}

/** Files of a folder, as paths of the app. */
function filesOf(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Scripts that are loaded before a model is chosen, and all, as paths of the app. */
export interface Built {
  readonly first: readonly string[];
  readonly all: readonly string[];
}

/** Builds the app. */
export async function buildApp({ out, hub, registry, model, version = "" }: AppOptions): Promise<Built> {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "app/js"), { recursive: true });
  const given = { hub, registry, model };
  const shared = {
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    legalComments: "none",
    alias: { "resnet-wasm": join(root, "dist/runtimes/browser.js") },
    nodePaths: [join(here, "../node_modules")],
  } satisfies BuildOptions;
  const { metafile } = await build({
    ...shared,
    metafile: true,
    entryPoints: [join(here, "src/main.tsx"), join(here, "src/engine-worker.ts")],
    outdir: join(out, "app/js"),
    splitting: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    define: { GIVEN: JSON.stringify(given) },
  });
  await build({ ...shared, entryPoints: [join(here, "src/style.css")], outfile: join(out, "app/style.css") });
  cpSync(join(here, "public"), out, { recursive: true });
  // The package looks for its kernels two folders above its code, and for the worker of its threads beside it. Those of replicas and
  // training, which the app does not use, are left out.
  cpSync(join(root, "dist/runtimes/browser-worker.js"), join(out, "app/js/browser-worker.js"));
  mkdirSync(join(out, "wasm"));
  for (const name of readdirSync(join(root, "wasm")).filter((name) => name.endsWith(".wasm"))) {
    cpSync(join(root, "wasm", name), join(out, "wasm", name));
  }
  const files = filesOf(out);
  const hash = createHash("sha256").update(version);
  for (const file of files) hash.update(file).update(readFileSync(join(out, file)));
  const precache = files.map((file) => (file === "index.html" ? "./" : `./${file}`));
  await build({
    ...shared,
    entryPoints: [join(here, "src/service-worker.ts")],
    outfile: join(out, "service-worker.js"),
    format: "iife",
    define: { FILES: JSON.stringify(precache), VERSION: JSON.stringify(hash.digest("hex").slice(0, 12)) },
  });
  writeFileSync(join(out, "_headers"), HEADERS);
  const { outputs } = metafile;
  const first = new Set(Object.keys(outputs).filter((path) => outputs[path]!.entryPoint?.includes("/src/")));
  for (const path of first) {
    for (const each of outputs[path]!.imports) if (each.kind === "import-statement") first.add(each.path);
  }
  const scripts = [...filesOf(out)].filter((file) => file.endsWith(".js"));
  return { first: [...[...first].map((path) => relative(out, path)), "service-worker.js"], all: scripts };
}

/** For hosts that read such a file: pages that may use threads. */
const HEADERS = `/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
`;
