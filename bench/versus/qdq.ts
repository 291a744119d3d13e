/**
 * An int8 model of ours as a quantized ONNX model (QDQ, opset 13, weights per output channel), as onnxruntime's own tools
 * write them: activations unsigned 8 bits, 0 or 128 standing for zero, with our steps. The differences: a residual is
 * rounded once more before it is added, and pixels outside the image are black instead of the mean.
 */
import { expectedGot } from "../../src/errors.ts";
import { inputShape, outputNode } from "../../src/graph.ts";
import type { Int8Model } from "./int8-model.ts";
import { encode, type Initializer, operation, value } from "./onnx.ts";

/** The ONNX model's bytes: `input` `[batch, 3, h, w]` f32, `logits` `[batch, classes]` f32. */
export async function writeQdq({ graph, layers, isSigned }: Int8Model, batch: number): Promise<Uint8Array> {
  const nodes: object[] = [];
  const initializers: Initializer[] = [];
  const constant = (name: string, shape: readonly number[], data: Initializer["data"]): string => {
    initializers.push({ name, shape, data });
    return name;
  };
  /** Rounds `from` to bytes and back: what makes the operators around it int8. */
  const rounded = (from: string, to: string, step: number, isSigned: boolean): void => {
    const scale = constant(`${to}/step`, [], Float32Array.of(step));
    const zero = constant(`${to}/zero`, [], Uint8Array.of(isSigned ? 128 : 0));
    nodes.push(operation("QuantizeLinear", [from, scale, zero], `${to}/bytes`));
    nodes.push(operation("DequantizeLinear", [`${to}/bytes`, scale, zero], to));
  };
  for (const node of graph.nodes) {
    const { name, inputs } = node;
    const step = node.int8!.scale;
    switch (node.op) {
      case "input":
        rounded("pixels", name, 1, false);
        break;
      case "conv":
      case "linear": {
        const layer = layers.get(name)!;
        const count = layer.bias.length;
        const weight = constant(`${name}.int8`, layer.shape, layer.weight);
        const bias = constant(`${name}.int32`, [count], layer.bias);
        const ofWeight = constant(`${name}.scales`, [count], layer.scales);
        const ofBias = constant(`${name}.sums`, [count], layer.sums);
        nodes.push(operation("DequantizeLinear", [weight, ofWeight], `${name}.weight`, { axis: 0 }));
        nodes.push(operation("DequantizeLinear", [bias, ofBias], `${name}.bias`, { axis: 0 }));
        if (node.op === "linear") {
          nodes.push(operation("Flatten", [inputs[0]!], `${name}/flat`, { axis: 1 }));
          nodes.push(operation("Gemm", [`${name}/flat`, `${name}.weight`, `${name}.bias`], name, { transB: 1 }));
          break;
        }
        const { kernel, stride, dilation, pads, groups } = node;
        const attributes = { kernel_shape: kernel, strides: stride, dilations: dilation, pads, group: groups };
        nodes.push(operation("Conv", [inputs[0]!, `${name}.weight`, `${name}.bias`], `${name}/conv`, attributes));
        let out = `${name}/conv`;
        if (node.residual) {
          rounded(out, `${name}/branch`, step!, true);
          nodes.push(operation("Add", [`${name}/branch`, inputs[1]!], `${name}/sum`));
          out = `${name}/sum`;
        }
        if (!isSigned(node)) {
          nodes.push(operation("Relu", [out], `${name}/relu`));
          out = `${name}/relu`;
        }
        rounded(out, name, step!, isSigned(node));
        break;
      }
      case "maxpool": {
        const attributes = { kernel_shape: node.kernel, strides: node.stride, pads: node.pads };
        nodes.push(operation("MaxPool", inputs, `${name}/max`, attributes));
        rounded(`${name}/max`, name, step!, false);
        break;
      }
      case "globalpool":
        nodes.push(operation("GlobalAveragePool", inputs, `${name}/mean`));
        rounded(`${name}/mean`, name, step!, false);
        break;
      default:
        throw new RangeError(expectedGot(`qdq: ${name}`, "conv, maxpool, globalpool or linear", node.op));
    }
  }
  const [h, w, c] = inputShape(graph);
  const last = outputNode(graph);
  return encode(
    graph.name,
    nodes,
    initializers,
    value("pixels", [batch, c, h, w]),
    value(last.name, [batch, last.shape[2]]),
  );
}
