/**
 * ONNX models: the network and its weights in one protobuf, or with the weights in files beside it. Residual networks as
 * PyTorch, timm and Optimum export them, opset 7 to 27; they become the same graph as any other model.
 */
import type { Folder } from "../../bytes.ts";
import type { Checkpoint } from "../../checkpoint.ts";
import { expectedGot, ModelError } from "../../errors.ts";
import type { Format } from "../open.ts";
import { importGraph, opsetOf } from "./graph.ts";
import { PRODUCER, readModel } from "./proto.ts";
import { storeOf } from "./stored.ts";

/** What a file that this project wrote says of its model in its own words. */
const OWN_KEYS: ReadonlySet<string> = new Set(["preprocess", "labels", "output_kind"]);

export const ONNX: Format = {
  label: "an ONNX model",
  // A damaged one gets this reader's error, which says what is wrong with it.
  reads: ({ kind, entry }) => kind === "onnx" || (kind === "unknown" && /\.onnx$/i.test(entry)),
  async open({ folder, entry, source }) {
    await source.close();
    return openOnnx(folder, entry);
  },
};

/**
 * Opens the ONNX model `entry` of `folder` and reads its graph; weights stay where they are until they are asked for, and
 * external data is looked for in the same folder only.
 *
 * Tensors are named for the graph's nodes: `<node>.weight`, `.bias`, `.running_mean`, `.running_var`. A graph that ends in
 * probabilities becomes one of the logits before them; `graph.output` says what was left out. Metadata: `format` "onnx";
 * `producer`, `opset`; `normalises_input`, "1" or "255", when it normalises pixels itself, from 0…1 or 0…255; `input_size`
 * "open" when the file leaves it so; `preprocess`, `labels` and `output_kind` of a file that this project wrote; and all else that
 * the file says as `onnx.<key>`.
 *
 * @throws ModelError naming the operator, node or tensor that is damaged or that no residual network has
 */
export async function openOnnx(folder: Folder, entry: string): Promise<Checkpoint> {
  const source = await folder.open(entry);
  const where = source.name;
  const store = storeOf(source, folder, entry.slice(0, entry.lastIndexOf("/") + 1));
  try {
    const model = await readModel(source);
    const { graph, weights, pixels, open } = await importGraph(where, model, store);
    const isOwn = model.producerName === PRODUCER;
    const producer = [model.producerName, model.producerVersion].filter((each) => each !== "").join(" ");
    return {
      tensors: new Map([...weights].map(([name, { info }]) => [name, info])),
      metadata: {
        format: "onnx",
        ...(producer === "" ? {} : { producer }),
        opset: `${opsetOf(where, model)}`,
        ...(pixels === undefined ? {} : { normalises_input: `${pixels}` }),
        ...(open ? { input_size: "open" } : {}),
        ...Object.fromEntries(
          model.metadata.map(({ key, value }) => [isOwn && OWN_KEYS.has(key) ? key : `onnx.${key}`, value]),
        ),
      },
      graph,
      async read(name) {
        const weight = weights.get(name);
        if (weight === undefined)
          throw new ModelError("tensor-missing", expectedGot(where, `a tensor "${name}"`, "none of that name"), {
            subject: name,
          });
        return weight.read();
      },
      close: () => store.close(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}
