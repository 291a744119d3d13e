/** Formats that begin with a description in JSON, whose weights are in files beside it. What reads one is imported when it is met. */
import type { Format } from "./open.ts";

export const SHARDED: Format = {
  label: "the model.safetensors.index.json of several",
  reads: ({ kind, entry }) => kind === "json" && /\.index\.json$/i.test(entry),
  async open({ folder, entry, source }) {
    await source.close();
    const { openSharded } = await import("./sharded.ts");
    return openSharded(folder, entry);
  },
};

export const TFJS: Format = {
  label: "the model.json of a TensorFlow.js layers model",
  reads: ({ kind }) => kind === "json",
  async open({ folder, entry, source }) {
    await source.close();
    const { openTfjs } = await import("./tfjs.ts");
    return openTfjs(folder, entry);
  },
};
