import { join } from "node:path";

// The folder with the tools and the package: what is above it is none of the project's.
const root = join(import.meta.dirname, "../..");

export default {
  turbopack: { root },
  outputFileTracingRoot: root,
  headers: async () => [
    {
      source: "/:path*",
      headers: [
        { key: "Cross-Origin-Opener-Policy", value: "same-origin" },
        { key: "Cross-Origin-Embedder-Policy", value: "require-corp" },
      ],
    },
  ],
};
