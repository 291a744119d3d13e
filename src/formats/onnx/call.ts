/** One node of an ONNX graph as its reader sees it: attributes by name, and errors that say which node it is. */
import { expectedGot, ModelError } from "../../errors.ts";
import type { NodeProto } from "./proto.ts";
import { locate, numbersOf, type Store } from "./stored.ts";

/** A number that may be the batch, which a graph leaves open. */
export type Dim = number | "n";

/** A small tensor that is known before any image is. */
export interface Constant {
  readonly kind: "constant";
  readonly dims: readonly number[];
  /** In C order. */
  readonly data: readonly Dim[];
  /** Divides like integers. */
  readonly integer: boolean;
}

export interface Call {
  readonly node: NodeProto;
  /** Version of the default operator set. */
  readonly opset: number;
  /** An attribute that is a whole number. */
  int(name: string, fallback: number): number;
  float(name: string, fallback: number): number;
  text(name: string, fallback: string): string;
  ints(name: string): readonly number[] | undefined;
  /** An attribute that is a small tensor. */
  constant(name: string): Promise<Constant | undefined>;
  has(name: string): boolean;
  /** The error to throw: names file, operator and node. */
  fail(expected: string, got: string, hint?: string): ModelError;
}

/** How errors name a node. */
export function nodeLabel(where: string, { opType, name, output }: NodeProto): string {
  return `${where}: ${opType} "${name === "" ? (output[0] ?? "") : name}"`;
}

export function callOf(where: string, node: NodeProto, opset: number, store: Store): Call {
  const attributes = new Map(node.attribute.map((attribute) => [attribute.name, attribute]));
  const label = nodeLabel(where, node);
  return {
    node,
    opset,
    int: (name, fallback) => attributes.get(name)?.i ?? fallback,
    float: (name, fallback) => attributes.get(name)?.f ?? fallback,
    text: (name, fallback) => attributes.get(name)?.s ?? fallback,
    ints: (name) => attributes.get(name)?.ints,
    has: (name) => attributes.has(name),
    async constant(name) {
      const attribute = attributes.get(name);
      if (attribute === undefined) return undefined;
      if (attribute.t === undefined)
        throw new ModelError("malformed", expectedGot(label, `a tensor as ${name}`, "none"));
      const stored = await locate(label, attribute.t, store);
      const data = await numbersOf(label, stored);
      return { kind: "constant", dims: stored.dims, data, integer: stored.dtype === undefined };
    },
    fail: (expected, got, hint) =>
      new ModelError("unsupported", expectedGot(label, expected, got, hint), { subject: label }),
  };
}
