/**
 * Sums as a file, a safetensors one of f64: `counts` and `lengths` `[classes]`, `sums` `[classes, channels]`, and `products`, the upper
 * triangle row by row. Names of the classes, and what the features are of, stand in its metadata.
 */
import { fromBytes } from "../../bytes.ts";
import { expectedGot, ModelError, OptionError } from "../../errors.ts";
import { openSafetensors, writeSafetensors } from "../../formats/safetensors.ts";
import { Sums } from "./sums.ts";

const KIND = "resnet-wasm sums";
const VERSION = "1";
const HINT = "what `teacher.sums()` gave is needed, whole and unchanged";

/** Sums, and what their features are of. */
export interface NamedSums {
  readonly sums: Sums;
  readonly gram: Float64Array;
  /** Features of a drawn image: networks that differ see it differently. */
  readonly signature: string;
}

export function writeSums({ sums, gram, signature }: NamedSums): Uint8Array<ArrayBuffer> {
  const { labels, channels } = sums;
  const each = Float64Array.from(labels.flatMap((label) => [...sums.of(label)]));
  const counts = Float64Array.from(labels, (label) => sums.count(label));
  const tensor = (name: string, { buffer, byteOffset, byteLength }: Float64Array, shape: readonly number[]) => {
    return { name, dtype: "F64" as const, shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
  };
  return writeSafetensors(
    [
      tensor("counts", counts, [labels.length]),
      tensor(
        "lengths",
        Float64Array.from(labels, (label) => sums.lengths(label)),
        [labels.length],
      ),
      tensor("sums", each, [labels.length, channels]),
      tensor("products", gram, [gram.length]),
    ],
    { kind: KIND, version: VERSION, labels: JSON.stringify(labels), channels: `${channels}`, signature },
  );
}

/** @throws ModelError for bytes that are not such a file, or numbers that no images add up to */
export async function readSums(bytes: Uint8Array): Promise<NamedSums> {
  const where = "sums";
  const checkpoint = await openSafetensors(fromBytes(where, bytes));
  const fail = (expected: string, got: string): never => {
    throw new ModelError("malformed", expectedGot(where, expected, got, HINT));
  };
  const { kind, version, labels: text = "", signature = "", ...rest } = checkpoint.metadata;
  if (kind !== KIND || version !== VERSION) fail(`${KIND}, version ${VERSION}`, `${kind}, version ${version}`);
  let labels: readonly string[] = [];
  try {
    labels = JSON.parse(text);
  } catch {}
  const isNamed = Array.isArray(labels) && labels.every((each) => typeof each === "string" && each !== "");
  if (!isNamed || labels.some((each, i) => i > 0 && labels[i - 1]! >= each))
    fail("names of classes in order", text.slice(0, 80));
  const channels = Number(rest.channels);
  if (!Number.isSafeInteger(channels) || channels < 1) fail("a number of channels", `${rest.channels}`);
  const read = async (name: string, shape: readonly number[]): Promise<Float64Array> => {
    const info = checkpoint.tensors.get(name);
    const got = info === undefined ? "none" : `${info.dtype} [${info.shape}]`;
    if (got !== `F64 [${shape}]`) fail(`"${name}" F64 [${shape}]`, got);
    const values = new Float64Array((await checkpoint.read(name)).slice().buffer);
    if (!values.every(Number.isFinite)) fail(`finite numbers in "${name}"`, "others");
    return values;
  };
  const counts = await read("counts", [labels.length]);
  if (!counts.every((count) => Number.isSafeInteger(count) && count > 0))
    fail("images in each class", `${counts}`.slice(0, 80));
  const lengths = await read("lengths", [labels.length]);
  const each = await read("sums", [labels.length, channels]);
  const gram = await read("products", [(channels * (channels + 1)) / 2]);
  const classes = labels.map((label, c) => {
    return { label, count: counts[c]!, length: lengths[c]!, sums: each.slice(c * channels, (c + 1) * channels) };
  });
  return { sums: Sums.of(channels, classes, gram), gram, signature };
}

/**
 * Adds up what `teacher.sums()` gave on several devices: the same bytes, in any order, as the sums of one that was taught all.
 *
 *     const all = await mergeSums(mine, yours, theirs);
 *     await teacher.addSums(all);
 *
 * @throws ModelError for bytes that are no sums, or sums of different networks; OptionError for none
 */
export async function mergeSums(...files: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const [first, ...others] = await Promise.all(files.map(readSums));
  if (first === undefined) {
    throw new OptionError("sums", expectedGot("mergeSums", "sums to add", "none"));
  }
  for (const other of others) {
    checkSame(first, other);
    first.sums.addAll(other.sums, other.gram, first.gram);
  }
  return writeSums(first);
}

/** Throws ModelError for features of another network. */
export function checkSame(
  mine: Omit<NamedSums, "gram" | "sums"> & { readonly sums: Pick<Sums, "channels"> },
  other: NamedSums,
): void {
  if (mine.sums.channels === other.sums.channels && mine.signature === other.signature) return;
  const hint = "all devices must teach the same network, in the same precision";
  const message = expectedGot(
    "sums",
    `features of this network, ${mine.sums.channels} of them`,
    `others, ${other.sums.channels}`,
    hint,
  );
  throw new ModelError("architecture", message);
}
