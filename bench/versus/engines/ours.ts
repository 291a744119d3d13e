/** This project, through its public door. */

import { expectedGot } from "../../../src/errors.ts";
import type { Build } from "../../../src/kernels.ts";
import { load } from "../../../src/runtimes/node.ts";
import { type Open, Unavailable } from "./engine.ts";

export const open: Open = async (files, { model: arch, dtype, threads, vectors }, images, build) => {
  const model = await load(files.safetensors, {
    ...(dtype === "f32" ? { arch } : {}),
    build: build as Build,
    threads,
  });
  if (model.vectors !== vectors) {
    const got = `${model.vectors} by its own measurement`;
    await model.dispose();
    throw new Unavailable(expectedGot("ours", `vectors of ${vectors} bits`, got));
  }
  const input = { data: images.data, shape: images.shape as [number, number, number, number] };
  return {
    run: async () => (await model.logits(input)).data,
    close: () => model.dispose(),
  };
};
