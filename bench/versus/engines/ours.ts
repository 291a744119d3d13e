/** This project, through its public door. */
import type { Build } from "../../../src/kernels.ts";
import { load } from "../../../src/runtimes/node.ts";
import type { Open } from "./engine.ts";

export const open: Open = async (files, { model: arch, dtype, threads }, images, build) => {
  const model = await load(files.safetensors, {
    ...(dtype === "f32" ? { arch } : {}),
    build: build as Build,
    threads,
  });
  const input = { data: images.data, shape: images.shape as [number, number, number, number] };
  return {
    run: async () => (await model.logits(input)).data,
    close: () => model.dispose(),
  };
};
