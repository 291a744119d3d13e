/**
 * The build: `assembly/` → `wasm/` (asc, then wasm-opt), `src/` → `dist/` (esbuild for the code, tsc for its types).
 * What is newer than its sources is left alone, so that every script may start with it.
 *
 *     node build.ts [--wasm]      --wasm stops after the kernels: all that the sources themselves need to run
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { type BuildOptions, build, type Plugin, transform } from "esbuild";
import { rolldown } from "rolldown";

const root = import.meta.dirname;

/** Newest modification among files and everything below folders, in ms. */
function newest(...paths: readonly string[]): number {
  return Math.max(
    0,
    ...paths.map((path) => {
      const full = join(root, path);
      if (!existsSync(full)) return 0;
      if (!statSync(full).isDirectory()) return statSync(full).mtimeMs;
      return newest(...readdirSync(full).map((name) => join(path, name)));
    }),
  );
}

/** Runs a tool of `node_modules`; what it prints goes to stderr. Throws `Error` when it fails. */
function tool(script: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [join(root, "node_modules", script), ...args], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${script} ${args.join(" ")}: expected exit code 0, got ${code}`));
    });
  });
}

/** A number below 2³² as WebAssembly writes it (LEB128). */
function leb128(value: number): readonly number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)];
}

/**
 * The same module over shared memory of up to 4 GiB. Code is the same for both kinds of memory, so only the import changes, the
 * one entry of the kernels' import section: "env" "memory", a memory of at least one page.
 */
function overSharedMemory(module: Uint8Array): Uint8Array {
  const name = [..."\u0001\u0003env\u0006memory\u0002"].map((character) => character.charCodeAt(0));
  const [plain, shared] = [
    [...name, 0, 1],
    [...name, 3, 1, ...leb128(65536)],
  ];
  const section = Buffer.from([2, plain.length, ...plain]);
  const at = Buffer.from(module).indexOf(section);
  if (at < 0) throw new Error("kernels: expected a module that imports a memory and nothing else, got another");
  return Buffer.concat([
    module.subarray(0, at),
    Buffer.from([2, shared.length, ...shared]),
    module.subarray(at + section.length),
  ]);
}

/** Does `make` unless `mark` is newer than `sources`. */
async function stage(mark: string, sources: readonly string[], make: () => void | Promise<void>): Promise<void> {
  if (newest(mark) > newest(...sources, "package-lock.json", "build.ts")) return;
  await make();
  if (mark.endsWith(".built")) writeFileSync(join(root, mark), "");
}

mkdirSync(join(root, "wasm"), { recursive: true });
const FEATURES = ["simd", "bulk-memory", "sign-ext", "nontrapping-float-to-int", "mutable-globals"];

async function optimize(file: string, more: readonly string[]): Promise<void> {
  const enable = [...FEATURES, ...more].map((feature) => `--enable-${feature}`);
  await tool("binaryen/bin/wasm-opt", "-O4", ...enable, "--strip-debug", "--strip-producers", file, "-o", file);
}

await stage("wasm/.built", ["assembly", "asconfig.json"], async () => {
  const compile = async (build: string, more: readonly string[]): Promise<void> => {
    const file = `wasm/${build}.wasm`;
    await tool("assemblyscript/bin/asc.js", "--config", "asconfig.json", "--target", build);
    await optimize(file, more);
    writeFileSync(join(root, `wasm/${build}.shared.wasm`), overSharedMemory(readFileSync(join(root, file))));
  };
  await Promise.all([compile("baseline", []), compile("relaxed", ["relaxed-simd"])]);
});
await stage("wasm/jpeg.wasm", ["assembly/jpeg"], async () => {
  await tool("assemblyscript/bin/asc.js", "--config", "assembly/jpeg/asconfig.json");
  await optimize("wasm/jpeg.wasm", []);
});
await stage("wasm/solve.wasm", ["assembly/solve"], async () => {
  await tool("assemblyscript/bin/asc.js", "--config", "assembly/solve/asconfig.json");
  await optimize("wasm/solve.wasm", []);
});
// The names of every kernel's arguments, from the declarations that `asc` writes: what makes a wrong name fail to compile.
await stage("wasm/arguments.js", ["wasm/baseline.d.ts"], () => {
  const declared = readFileSync(join(root, "wasm/baseline.d.ts"), "utf8");
  const rows = [...declared.matchAll(/export function (\w+)\(from: number, to: number, ([^)]*)\)/g)].map(
    ([, kernel, list]) => {
      const names = list!.split(", ").map((each) => each.slice(0, each.indexOf(":")));
      return { kernel: kernel!, names: JSON.stringify(names) };
    },
  );
  const table = (prefix: string, suffix: string): string =>
    rows.map(({ kernel, names }) => `  ${prefix}${kernel}: ${suffix}${names},`).join("\n");
  writeFileSync(join(root, "wasm/arguments.js"), `export const KERNEL_ARGUMENTS = {\n${table("", "")}\n};\n`);
  const types = table("readonly ", "readonly ").replaceAll("],", "];");
  writeFileSync(join(root, "wasm/arguments.d.ts"), `export declare const KERNEL_ARGUMENTS: {\n${types}\n};\n`);
});
// The numbers of the register tiles, for plans and packers.
await stage("wasm/tile.js", ["assembly/tile.ts"], async () => {
  const numbers = Object.entries((await import("./assembly/tile.ts")) as Record<string, number>);
  writeFileSync(
    join(root, "wasm/tile.js"),
    numbers.map(([name, value]) => `export const ${name} = ${value};\n`).join(""),
  );
  const types = numbers.map(([name, value]) => `export declare const ${name} = ${value};\n`);
  writeFileSync(join(root, "wasm/tile.d.ts"), types.join(""));
});
// libwebp's module, beside ours: what a server must serve is then one folder.
const WEBP = "node_modules/icodec/dist/webp-dec.wasm";
await stage("wasm/webp.wasm", [WEBP], () => copyFileSync(join(root, WEBP), join(root, "wasm/webp.wasm")));
// Compressed for pages: whole it is larger than what bundlers take for an asset without a warning (webpack: 250 kB).
await stage("wasm/webp.wasm.gz", ["wasm/webp.wasm"], () => {
  writeFileSync(join(root, "wasm/webp.wasm.gz"), gzipSync(readFileSync(join(root, "wasm/webp.wasm")), { level: 9 }));
});
/** Packages whose code is in `wasm/` or `dist/`: those named here, and those that esbuild puts into a bundle. */
const bundled = new Set(["assemblyscript", "icodec", "chart.js", "@kurkle/color"]);

/**
 * `const { a } = await import("./b.ts");` as a static import. Only the page's entry has files of its own for what it imports later:
 * at the edge and in one script there are none to be had, a worker needs all that it imports, and where import() stays inside of a
 * bundle, esbuild wraps whatever it reaches, so that no bundler can leave out what is not used.
 */
const IMPORTED_AT_ONCE: Plugin = {
  name: "imported at once",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => {
      const imports: string[] = [];
      const rest = readFileSync(path, "utf8").replace(
        /^ *const (\{[^}]+\}) = await import\(("\.[^"]+")\);$/gm,
        (_, names: string, from: string) => {
          imports.push(`import ${names} from ${from};`);
          return "";
        },
      );
      return { contents: `${imports.join(" ")}${rest}`, loader: "ts" };
    });
  },
};

/** What opens models: they come opened to the workers that compute. */
const OPENING =
  /src\/(source|identify|int8-twin|offline|formats\/(open|choose|sniff|foreign|tfjs|sharded|keras-head)|hub\/locate|runtimes\/web-(store|offline|hash)|models\/(imagenet-labels|config|stored-graph|recognise|match))\.ts$/;

/** Parts of the library that a worker of pages does without, so that its file stays below what bundlers warn of (webpack: 250 kB). */
const LEFT_OUT = {
  "browser-engine": OPENING,
  "browser-quantizer": OPENING,
  "browser-trainer": new RegExp(`${OPENING.source}|src/heatmap\\.ts$`),
  // Large, and rare: the page reads such files itself, and makes twins.
  "browser-opener": /src\/(int8-twin|formats\/(torch|onnx)\/format)\.ts$/,
} as const;

/** In place of these files, what throws when it is used. */
function without(parts: RegExp): Plugin {
  return {
    name: "left out",
    setup({ onLoad }) {
      onLoad({ filter: parts }, ({ path }) => {
        const names = [
          ...readFileSync(path, "utf8").matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm),
        ];
        const each = names.map(([, name]) => `export const ${name} = leftOut("${name}");`).join("\n");
        const contents = `import { leftOut } from "${join(root, "src/remote/left-out.ts")}";\n${each}`;
        return { contents, loader: "js" };
      });
    },
  };
}

/** Names for bundlers what they are to leave as it is: minifying takes comments away. */
function markedImports(code: string): string {
  return code.replace(/\bimport\((?=[\w$]+\))/g, "import(/* webpackIgnore: true */ /* @vite-ignore */ ");
}

/** One bundle per entry, in `dist/`. Nothing stays to be installed: the package has no dependencies. */
async function bundle(options: BuildOptions): Promise<void> {
  const { metafile, outputFiles } = await build({
    outdir: join(root, "dist"),
    bundle: true,
    format: "esm",
    plugins: [IMPORTED_AT_ONCE],
    define: moduleDigests(),
    ...options,
    metafile: true,
    write: false,
  });
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, markedImports(text));
  }
  noteBundled(Object.keys(metafile.inputs));
}

/** What pages keep modules by: their SHA-256, where the code says MODULE_DIGESTS. */
function moduleDigests(): Record<string, string> {
  const names = ["baseline", "relaxed", "baseline.shared", "relaxed.shared", "jpeg", "webp"];
  const digests = names.map((name) => {
    const bytes = readFileSync(join(root, `wasm/${name}.wasm`));
    return [name, createHash("sha256").update(bytes).digest("hex")];
  });
  return { MODULE_DIGESTS: JSON.stringify(Object.fromEntries(digests)) };
}

function noteBundled(paths: Iterable<string>): void {
  for (const path of paths) {
    const name = /.*node_modules[\\/]((?:@[^/\\]+[\\/])?[^/\\]+)/.exec(path)?.[1];
    if (name !== undefined) bundled.add(name.replace("\\", "/"));
  }
}

/**
 * The files that the page's entry is in, by what they begin with; what these import is with them, unless it is in a file before. The
 * first is what `load` needs always, the core what it needs where a page computes itself. The others are imported when
 * they are needed, but for the training, which the entry imports and bundlers leave out. By rolldown, because esbuild would make a file of everything that two of them share.
 */
const PAGE_FILES = [
  ["remote", /src\/runtimes\/page-library\.ts$/],
  // Tables and small functions beside the library's own: bundlers that keep whole files, as esbuild does, must not keep an engine for them.
  [
    "tables",
    /src\/(bytes|define|embedding|kernels|methods|output|preprocess|stored-values|teacher|decode\/bytes|formats\/open|models\/resnet|train\/(augments|dataset|options|schedules))\.ts$/,
  ],
  ["here", /src\/runtimes\/here\.ts$/],
  ["core", /src\/classifier\.ts$/],
  ["pictures", /src\/(decode\/(image|fetch|photo)|photos|several|runtimes\/(web-heif|heic))\.ts$/],
  ["names", /src\/(near|models\/pretrained)\.ts$/],
  ["onnx", /src\/formats\/onnx\/format\.ts$/],
  ["torch", /src\/formats\/torch\/format\.ts$/],
  ["hub", /src\/(hub\/locate|runtimes\/web-(store|hash|sha256))\.ts$/],
  ["modules", /src\/runtimes\/web-modules\.ts$/],
  ["formats", /src\/(formats\/(foreign|dequantize|packed|sharded|tfjs)|models\/stored-graph|held-graph|headed)\.ts$/],
  ["measuring", /src\/(vectors|dots)\.ts$/],
  ["workers", /src\/(threads|replicas)\.ts$/],
  ["quantizing", /src\/quantizer\.ts$/],
  ["training", /src\/(inspect|train\/(finetune|teacher))\.ts$/],
] as const;

/** The entry of pages, in `dist/runtimes/`: `browser.js`, and a file of each part. */
async function bundlePage(): Promise<void> {
  const groups = PAGE_FILES.map(([name, test], i) => ({ name, test, priority: PAGE_FILES.length - i }));
  const bundler = await rolldown({
    input: { browser: join(root, "src/runtimes/browser.ts") },
    platform: "browser",
    treeshake: { moduleSideEffects: false },
    transform: { define: moduleDigests() },
  });
  const { output } = await bundler.generate({
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "browser-[name].js",
    codeSplitting: { groups },
  });
  await bundler.close();
  for (const file of output) {
    if (file.type !== "chunk") throw new Error(`dist: expected code alone, got ${file.fileName}`);
    noteBundled(file.moduleIds);
    const { code } = await transform(file.code, { format: "esm", target: "es2022", minify: true });
    writeFileSync(join(root, "dist/runtimes", file.fileName), markedImports(code));
  }
}

/** Names, versions and licence texts of the bundled packages. Throws `Error` when one has no licence. */
function licences(): string {
  const parts = [...bundled].sort().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license, author, homepage } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (license === undefined) throw new Error(`${name}: expected a licence, got none`);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text =
      file === undefined ? `by ${author.name ?? author}, ${homepage}` : readFileSync(join(folder, file), "utf8");
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  return `The code of these packages is part of dist/ or wasm/.\n\n${parts.join(`\n${"-".repeat(80)}\n\n`)}`;
}

if (!process.argv.includes("--wasm")) {
  await stage("dist/.built", ["src", "wasm", "tsconfig.json"], async () => {
    rmSync(join(root, "dist"), { recursive: true, force: true });
    const entry = (name: string) => ({ in: join(root, `src/${name}.ts`), out: name });
    const node = { platform: "node", target: "node20" } as const;
    await bundle({
      ...node,
      entryPoints: ["runtimes/node", "runtimes/node-worker", "runtimes/node-replica", "runtimes/node-preparer"].map(
        entry,
      ),
    });
    await bundle({
      ...node,
      entryPoints: [entry("cli/main")],
      // Libraries of the command are CommonJS and call `require` for Node's modules.
      banner: {
        js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
      },
    });
    copyFileSync(join(root, "node_modules/chart.js/dist/chart.umd.min.js"), join(root, "dist/cli/chart.umd.min.js"));
    const page = { platform: "browser", target: "es2022", minify: true } as const;
    await bundlePage();
    // Bundlers make scripts of workers, in which nothing can be imported later.
    await bundle({
      ...page,
      entryPoints: ["browser-worker", "browser-replica", "browser-preparer"]
        .map((name) => `runtimes/${name}`)
        .map(entry),
    });
    for (const [name, parts] of Object.entries(LEFT_OUT)) {
      const plugins = [without(parts), IMPORTED_AT_ONCE];
      await bundle({ ...page, entryPoints: [entry(`runtimes/${name}`)], plugins });
    }
    // What needs no runtime: the same file everywhere, for a bundler to pick from.
    await bundle({
      entryPoints: ["lowlevel", "formats/index"].map(entry),
      platform: "browser",
      target: "es2022",
    });
    // All in one file: pages of a single file and service workers.
    await bundle({
      entryPoints: ["runtimes/inline"].map(entry),
      platform: "browser",
      target: "es2022",
      minify: true,
      loader: { ".wasm": "binary" },
    });
    // Runtimes of the edge import modules compiled: the imports stay, with the suffix that each of them asks for.
    for (const [name, suffix] of [
      ["edge", ""],
      ["edge-light", "?module"],
    ] as const) {
      await bundle({
        entryPoints: [{ in: join(root, "src/runtimes/edge.ts"), out: `runtimes/${name}` }],
        platform: "browser",
        target: "es2022",
        minify: true,
        plugins: [
          IMPORTED_AT_ONCE,
          {
            name: "imported modules",
            setup({ onResolve }) {
              onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path: `${path}${suffix}`, external: true }));
            },
          },
        ],
      });
    }
    writeFileSync(join(root, "dist/THIRD-PARTY-LICENSES.txt"), licences());
    const types = [
      "--noEmit",
      "false",
      "--declaration",
      "--emitDeclarationOnly",
      "--rootDir",
      "src",
      "--outDir",
      "dist",
    ];
    await tool("typescript/bin/tsc", "-p", "tsconfig.build.json", ...types);
    // What projects may lack of the platform's types.
    copyFileSync(join(root, "src/runtimes/platform.d.ts"), join(root, "dist/runtimes/platform.d.ts"));
    for (const entry of [
      "runtimes/node",
      "runtimes/browser",
      "runtimes/edge",
      "runtimes/inline",
      "lowlevel",
      "formats/index",
    ]) {
      const file = join(root, `dist/${entry}.d.ts`);
      const to = relative(dirname(file), join(root, "dist/runtimes/platform.d.ts"));
      writeFileSync(
        file,
        `/// <reference path="${to.startsWith(".") ? to : `./${to}`}" />\n${readFileSync(file, "utf8")}`,
      );
    }
  });
}
