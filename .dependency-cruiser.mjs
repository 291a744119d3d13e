/**
 * The order of imports in `src/`, for dependency-cruiser (`npm run check`): a file imports from its own stage and from the stages
 * above it in this list, types included, and never in a circle. An entry is a file or a folder.
 *
 * `variants` comes before `ops`: an operation emits the steps of the variant that was chosen for its layer.
 */
const STAGES = [
  ["errors", "portable-error", "abort", "several", "near", "bytes", "tensor"],
  ["checkpoint", "graph", "tape", "output", "embedding", "preprocess", "int8"],
  ["variants"],
  ["formats", "models", "ops"],
  ["fold"],
  ["plan", "weights"],
  ["runtime", "kernels", "threads", "worker"],
  ["engine"],
  ["decode", "image", "pixels", "photos", "resample", "views"],
  ["hub"],
  ["source", "identify", "headed", "held-graph", "model", "network", "labels", "convert", "onnx", "stored-values", "compare", "dots", "choice", "vectors", "peak", "tune"],
  ["forward", "heatmap", "replica"],
  ["replicas"],
  ["classifier", "train", "quantizer", "leaves"],
  ["inspect", "int8-twin"],
  ["twins"],
  ["offline"],
  ["define"],
  ["index", "lowlevel"],
  ["server", "runtimes"],
  ["cli"],
];

/** Paths of some stages as one pattern. */
const pattern = (stages) => `^src/(${stages.flat().join("|")})(/|\\.ts$)`;

export default {
  forbidden: [
    { name: "no-circle", severity: "error", from: { path: "^src/" }, to: { circular: true } },
    {
      name: "no-file-without-a-stage",
      comment: "give it a place in STAGES",
      severity: "error",
      from: { path: "^src/", pathNot: pattern(STAGES) },
      to: {},
    },
    ...STAGES.slice(0, -1).map((stage, at) => ({
      name: `imports-of-${stage.join("-")}`,
      severity: "error",
      from: { path: pattern([stage]) },
      to: { path: pattern(STAGES.slice(at + 1)) },
    })),
  ],
  options: { parser: "swc", tsPreCompilationDeps: true, doNotFollow: { path: "node_modules" } },
};
