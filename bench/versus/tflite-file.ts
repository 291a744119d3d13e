/**
 * A TensorFlow Lite file, version 3: tensors, operators in the order they run, one subgraph.
 *
 * Numbers of fields, types and operators are those of `tensorflow/lite/schema/schema.fbs` in github.com/tensorflow/tflite-micro;
 * a table's fields are numbered from 0, and a union takes two, the first of them for its kind.
 */
import { Builder } from "flatbuffers";

const SCHEMA_VERSION = 3;

/** Operators: `BuiltinOperator`, the version for f32 and for int8, and which of `BuiltinOptions` the options are. */
const OPERATORS = {
  ADD: { code: 0, f32: 1, int8: 2, options: 11 },
  CONV_2D: { code: 3, f32: 1, int8: 3, options: 1 },
  DEQUANTIZE: { code: 6, f32: 2, int8: 2, options: 38 },
  // Version 12: a scale for each output.
  FULLY_CONNECTED: { code: 9, f32: 1, int8: 12, options: 8 },
  MAX_POOL_2D: { code: 17, f32: 1, int8: 2, options: 5 },
  PAD: { code: 34, f32: 1, int8: 2, options: 22 },
  MEAN: { code: 40, f32: 1, int8: 2, options: 27 },
  QUANTIZE: { code: 114, f32: 1, int8: 1, options: 89 },
} as const;

/** Names of the operators that can be written. */
export type OperatorName = keyof typeof OPERATORS;

/** `TensorType`. */
const TYPES = { f32: 0, int32: 2, int8: 9 } as const;

/** A real value is `scale * (integer - zero)`; of several scales, each holds for one index of the first dimension. */
export interface Quantization {
  readonly scales: readonly number[];
  readonly zero: number;
}

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: keyof typeof TYPES;
  readonly quantization: Quantization | undefined;
  readonly data?: Float32Array | Int32Array | Int8Array;
}

/** A field of an operator's options. */
export interface Field {
  readonly id: number;
  readonly kind: "int8" | "int32" | "bool";
  readonly value: number;
}

interface Operator {
  readonly name: OperatorName;
  readonly inputs: readonly number[];
  readonly output: number;
  readonly fields: readonly Field[];
}

/** Collects tensors and operators; a tensor is known by its number. */
export class TfliteFile {
  readonly #tensors: Tensor[] = [];
  readonly #operators: Operator[] = [];

  /** What an operator writes, or the model's input: int8 where it has a quantization, else f32. */
  activation(name: string, shape: readonly number[], quantization?: Quantization): number {
    const type = quantization === undefined ? "f32" : "int8";
    return this.#tensors.push({ name, shape, type, quantization }) - 1;
  }

  constant(
    name: string,
    shape: readonly number[],
    data: Float32Array | Int32Array | Int8Array,
    quantization?: Quantization,
  ): number {
    const type = data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "int32" : "int8";
    return this.#tensors.push({ name, shape, type, quantization, data }) - 1;
  }

  operator(name: OperatorName, inputs: readonly number[], output: number, fields: readonly Field[] = []): number {
    this.#operators.push({ name, inputs, output, fields });
    return output;
  }

  /** The file's bytes. */
  encode(description: string, input: number, output: number): Uint8Array {
    const builder = new Builder(1 << 20);
    const buffers: number[] = [table(builder, 1, [])];
    const tensors = this.#tensors.map((tensor) => {
      if (tensor.data !== undefined) buffers.push(buffer(builder, tensor.data));
      return encodeTensor(builder, tensor, tensor.data === undefined ? 0 : buffers.length - 1);
    });
    const codes = new Map<string, number>();
    const operatorCodes: number[] = [];
    const operators = this.#operators.map(({ name, inputs, output: to, fields }) => {
      const { code, options, ...versions } = OPERATORS[name];
      const version = versions[this.#tensors[inputs[0]!]!.type === "int8" ? "int8" : "f32"];
      const key = `${name} ${version}`;
      if (!codes.has(key)) {
        codes.set(key, operatorCodes.length);
        operatorCodes.push(encodeCode(builder, code, version));
      }
      const offset = table(builder, 1 + Math.max(-1, ...fields.map(({ id }) => id)), fields);
      const from = int32s(builder, inputs);
      const into = int32s(builder, [to]);
      builder.startObject(9);
      builder.addFieldInt32(0, codes.get(key)!, 0);
      builder.addFieldOffset(1, from, 0);
      builder.addFieldOffset(2, into, 0);
      builder.addFieldInt8(3, options, 0);
      builder.addFieldOffset(4, offset, 0);
      return builder.endObject();
    });
    const ofSubgraph = [offsets(builder, tensors), int32s(builder, [input]), int32s(builder, [output])];
    ofSubgraph.push(offsets(builder, operators), builder.createString("main"));
    const subgraphs = offsets(builder, [withOffsets(builder, ofSubgraph)]);
    const [ofCodes, text] = [offsets(builder, operatorCodes), builder.createString(description)];
    const ofBuffers = offsets(builder, buffers);
    builder.startObject(8);
    builder.addFieldInt32(0, SCHEMA_VERSION, 0);
    [ofCodes, subgraphs, text, ofBuffers].forEach((offset, i) => {
      builder.addFieldOffset(i + 1, offset, 0);
    });
    builder.finish(builder.endObject(), "TFL3");
    return builder.asUint8Array();
  }
}

/** A table of numbers. */
function table(builder: Builder, size: number, fields: readonly Field[]): number {
  builder.startObject(size);
  for (const { id, kind, value } of fields) {
    // A field that is left out reads as its default, 1 for dilations: all are written.
    if (kind === "int32") builder.addFieldInt32(id, value, null);
    else builder.addFieldInt8(id, value, null);
  }
  return builder.endObject();
}

/** A table whose fields all are offsets. */
function withOffsets(builder: Builder, fields: readonly number[]): number {
  builder.startObject(fields.length);
  fields.forEach((offset, id) => {
    builder.addFieldOffset(id, offset, 0);
  });
  return builder.endObject();
}

/** Vectors are written from the end. */
function int32s(builder: Builder, values: readonly number[]): number {
  builder.startVector(4, values.length, 4);
  for (const value of values.toReversed()) builder.addInt32(value);
  return builder.endVector();
}

function offsets(builder: Builder, values: readonly number[]): number {
  builder.startVector(4, values.length, 4);
  for (const value of values.toReversed()) builder.addOffset(value);
  return builder.endVector();
}

/** `Buffer`: its data begins at a multiple of 16 bytes. */
function buffer(builder: Builder, data: NonNullable<Tensor["data"]>): number {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  builder.prep(16, bytes.length);
  return withOffsets(builder, [builder.createByteVector(bytes)]);
}

/** `OperatorCode`: these numbers are in both fields, that of old files and that of new ones. */
function encodeCode(builder: Builder, code: number, version: number): number {
  builder.startObject(4);
  builder.addFieldInt8(0, code, 0);
  builder.addFieldInt32(2, version, 1);
  builder.addFieldInt32(3, code, 0);
  return builder.endObject();
}

function encodeTensor(builder: Builder, { name, shape, type, quantization }: Tensor, buffer: number): number {
  const ofQuantization = quantization === undefined ? 0 : encodeQuantization(builder, quantization);
  const [ofShape, ofName] = [int32s(builder, shape), builder.createString(name)];
  builder.startObject(10);
  builder.addFieldOffset(0, ofShape, 0);
  builder.addFieldInt8(1, TYPES[type], 0);
  builder.addFieldInt32(2, buffer, 0);
  builder.addFieldOffset(3, ofName, 0);
  builder.addFieldOffset(4, ofQuantization, 0);
  return builder.endObject();
}

function encodeQuantization(builder: Builder, { scales, zero }: Quantization): number {
  builder.startVector(4, scales.length, 4);
  for (const scale of scales.toReversed()) builder.addFloat32(scale);
  const ofScales = builder.endVector();
  builder.startVector(8, scales.length, 8);
  for (const _ of scales) builder.addInt64(BigInt(zero));
  const ofZeros = builder.endVector();
  builder.startObject(7);
  builder.addFieldOffset(2, ofScales, 0);
  builder.addFieldOffset(3, ofZeros, 0);
  // The dimension that the scales belong to: the outputs are the first one, 0.
  builder.addFieldInt32(6, 0, 0);
  return builder.endObject();
}
