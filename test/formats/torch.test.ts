import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ByteSource, fromBytes } from "../../src/bytes.ts";
import type { Checkpoint } from "../../src/checkpoint.ts";
import { ModelError } from "../../src/errors.ts";
import { sniff } from "../../src/formats/sniff.ts";
import { openTorch } from "../../src/formats/torch/format.ts";
import { DTYPE_BYTES, type Dtype } from "../../src/tensor.ts";
import { archiveSource, type Packed } from "./archive.ts";

interface Golden {
  readonly state: Readonly<Record<string, Expected>>;
  readonly training: Readonly<Record<string, Expected>>;
  readonly files: Readonly<Record<string, string>>;
}
interface Expected {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

const golden: Golden = JSON.parse(readFileSync(new URL("../golden/torch.json", import.meta.url), "utf8"));
const saved = (name: string): Uint8Array => new Uint8Array(Buffer.from(golden.files[name]!, "base64"));
const open = (name: string, bytes: Uint8Array = saved(name)) =>
  openTorch(fromBytes(name, bytes), name.endsWith(".th") ? "pickle" : "zip");

async function refuses(opened: Promise<unknown>, message: RegExp | string): Promise<void> {
  await expect(opened).rejects.toThrow(ModelError);
  await expect(opened).rejects.toThrow(message);
}

const half = (bits: number): number => {
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
};
const bfloat = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
const READ: Readonly<Record<Dtype, (view: DataView, at: number) => number>> = {
  F32: (view, at) => view.getFloat32(at, true),
  F64: (view, at) => view.getFloat64(at, true),
  F16: (view, at) => half(view.getUint16(at, true)),
  BF16: (view, at) => bfloat(view.getUint16(at, true)),
  I8: (view, at) => view.getInt8(at),
  U8: (view, at) => view.getUint8(at),
  I32: (view, at) => view.getInt32(at, true),
  I64: (view, at) => Number(view.getBigInt64(at, true)),
};

/** A tensor's elements in C order, found by its strides when it has some. */
async function valuesOf(checkpoint: Checkpoint, name: string): Promise<number[]> {
  const { dtype, shape, strides } = checkpoint.tensors.get(name)!;
  const bytes = await checkpoint.read(name);
  const count = shape.reduce((product, size) => product * size, 1);
  expect(bytes.byteLength).toBe(count * DTYPE_BYTES[dtype]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, element) => {
    let at = element;
    if (strides !== undefined) {
      at = 0;
      for (let i = shape.length - 1, rest = element; i >= 0; rest = Math.floor(rest / shape[i]!), i--) {
        at += (rest % shape[i]!) * strides[i]!;
      }
    }
    return READ[dtype](view, at * DTYPE_BYTES[dtype]);
  });
}

async function expectGolden(checkpoint: Checkpoint, expected: Golden["state"]): Promise<void> {
  expect([...checkpoint.tensors.keys()]).toEqual(Object.keys(expected));
  for (const [name, { shape, values }] of Object.entries(expected)) {
    expect(checkpoint.tensors.get(name)!.shape).toEqual(shape);
    expect(await valuesOf(checkpoint, name)).toEqual(values);
  }
}

describe("what torch.save wrote is what torch.load reads", () => {
  for (const name of ["zip.pth", "zip4.pth", "legacy.th", "legacy5.th", "deflated.pth"]) {
    test(`${name}: every dtype, view and layout`, async () => {
      const checkpoint = await open(name);
      expect(checkpoint.metadata).toEqual({ format: "torch" });
      await expectGolden(checkpoint, golden.state);
    });
  }
  for (const name of ["training.pth", "training1.pth", "training.th"]) {
    test(`${name}: a state dict among optimizer, arguments and numpy's scalars`, async () => {
      const checkpoint = await open(name);
      expect(checkpoint.metadata).toEqual({ format: "torch", arch: "resnet18" });
      const state = Object.entries(golden.training).map(([key, value]) => [`state_dict/${key}`, value] as const);
      const inDict = [...checkpoint.tensors].filter(([key]) => key.startsWith("state_dict/"));
      await expectGolden({ ...checkpoint, tensors: new Map(inDict) }, Object.fromEntries(state));
    });
  }
  test("parameters, which are tensors too", async () => {
    const checkpoint = await open("parameters.pth");
    expect([...checkpoint.tensors.keys()]).toEqual([
      "module.0.weight",
      "module.0.bias",
      "module.1.weight",
      "module.1.bias",
    ]);
    expect(await valuesOf(checkpoint, "module.0.bias")).toEqual(golden.training["module.0.bias"]!.values);
  });
  test("permuted tensors are read in place, with strides; those in C order have none", async () => {
    const { tensors } = await open("zip.pth");
    expect(tensors.get("channels_last")!.strides).toEqual([8, 1, 4, 2]);
    expect(tensors.get("transposed")!.strides).toEqual([1, 4]);
    for (const name of ["conv.weight", "pointwise", "shared.offset", "shared.slice", "expanded", "scalar", "empty"]) {
      expect(tensors.get(name)!.strides).toBeUndefined();
    }
  });
  test("a tensor that is not there", async () =>
    refuses((await open("zip.pth")).read("fc.bias"), /a tensor "fc.bias", got none of that name/));
  test("pickles of protocols 2 to 5 are told by their first bytes", () => {
    for (const protocol of [2, 3, 4, 5]) expect(sniff(Uint8Array.of(0x80, protocol, 0x8a, 10))).toBe("pickle");
    expect(sniff(saved("legacy5.th"))).toBe("pickle");
  });
});

describe("what torch.save wrote that is not a state dict of dense tensors", () => {
  test("os.system in a zip file", () => refuses(open("evil.pth"), /containers only, got posix\.system\n/));
  test("os.system in a legacy file", () => refuses(open("evil.th"), /containers only, got posix\.system\n/));
  test("a whole module", () =>
    refuses(open("module.pth"), /got torch\.nn\.modules\.linear\.Linear\n.*torch\.save\(model\.state_dict\(\)/));
  test.each([
    ["sparse.pth", "a sparse tensor"],
    ["quantized.pth", "a quantized tensor"],
    ["short.pth", "torch.ShortStorage"],
  ])("%s: foreign to this package, and an error only where it is needed", async (name, what) => {
    const { tensors, foreign } = await open(name);
    expect([tensors.size, [...foreign!.values()]]).toEqual([0, [what]]);
  });
});

// From here on, files are made by hand: opcodes as bytes, texts as they are.

type Part = number | string | Part[];
const bytesOf = (...parts: readonly Part[]): number[] =>
  parts.flatMap((part) => {
    if (Array.isArray(part)) return bytesOf(...part);
    return typeof part === "number" ? [part] : [...new TextEncoder().encode(part)];
  });
const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)];
const u64 = (value: number): number[] => [...new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)];
const str = (value: string): Part => ["X", u32(new TextEncoder().encode(value).length), value];
const int = (value: number): Part => [0x8a, 8, u64(value)];
const tuple = (...values: Part[]): Part => ["(", values, "t"];
const dict = (...items: readonly (readonly [string, Part])[]): Part => [
  "}(",
  items.map(([key, value]): Part => [str(key), value]),
  "u",
];

interface Fake {
  readonly key?: string;
  readonly type?: string;
  /** Elements of the storage. */
  readonly total?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly part?: Part;
}
const fake = ({
  key = "0",
  type = "FloatStorage",
  total = 4,
  offset = 0,
  shape = [4],
  strides = [1],
  part,
}: Fake): Part => {
  const id = tuple(str("storage"), `ctorch\n${type}\n`, str(key), str("cpu"), int(total), ...(part ? [part] : []));
  const sizes = tuple(...shape.map(int));
  return ["ctorch._utils\n_rebuild_tensor\n", tuple([id, "Q"], int(offset), sizes, tuple(...strides.map(int))), "R"];
};

const RAMP = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
const zip = (root: Part, ...files: Packed[]): Promise<Checkpoint> => {
  const pickle = { name: "m/data.pkl", bytes: Uint8Array.from(bytesOf(0x80, 2, root, ".")) };
  return openTorch(archiveSource("m.pth", [pickle, { name: "m/data/0", bytes: RAMP }, ...files]), "zip");
};

interface Legacy {
  readonly magic?: Part;
  readonly protocol?: number;
  readonly system?: Part;
  readonly keys?: readonly string[];
  /** What the storage says is its length. */
  readonly elements?: number;
  readonly tail?: readonly number[];
}
const MAGIC: Part = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const legacyBytes = (root: Part, lie: Legacy = {}): Uint8Array => {
  const system = lie.system ?? dict(["little_endian", 0x88]);
  const heads: Part[] = [lie.magic ?? MAGIC, int(lie.protocol ?? 1001), system, root];
  const keys = ["](", (lie.keys ?? ["0"]).map(str), "e"];
  const pickles = [...heads, keys].map((value): Part => [0x80, 2, value, "."]);
  return Uint8Array.from(bytesOf(pickles, u64(lie.elements ?? 4), [...RAMP], [...(lie.tail ?? [])]));
};
const legacy = (root: Part, lie: Legacy = {}): Promise<Checkpoint> => open("m.th", legacyBytes(root, lie));

const BOTH = [
  ["zip", zip],
  ["legacy", legacy],
] as const;

describe.each(BOTH)("%s: where the state dict is", (_, make) => {
  const values = async (root: Part) => {
    const checkpoint = await make(root);
    return Promise.all([...checkpoint.tensors.keys()].map(async (name) => [name, await valuesOf(checkpoint, name)]));
  };
  const inner = dict(["w", fake({})]);
  /** A tensor in an object of some class. */
  const hidden: Part = ["c__main__\nNet\n", tuple(fake({})), "R"];
  test("bare", async () => expect(await values(inner)).toEqual([["w", [1, 2, 3, 4]]]));
  test("under any key, beside other tensors", async () => {
    expect(await values(dict(["best", fake({})], ["my_net", inner]))).toEqual([
      ["best", [1, 2, 3, 4]],
      ["my_net/w", [1, 2, 3, 4]],
    ]);
  });
  test("in dicts and lists in each other", async () => {
    expect(await values(dict(["all", ["](", dict(["net", inner]), "e"]]))).toEqual([["all/0/net/w", [1, 2, 3, 4]]]);
  });
  test("one dict under two keys is read once", async () => {
    const twice: Part = ["}(", str("a"), inner, "q", 1, str("b"), "h", 1, "u"];
    expect(await values(twice)).toEqual([["a/w", [1, 2, 3, 4]]]);
  });
  test("a dict that holds itself", async () => {
    const cycle: Part = ["}q", 1, str("me"), "h", 1, "s", str("w"), fake({}), "s"];
    expect(await values(cycle)).toEqual([["w", [1, 2, 3, 4]]]);
  });
  test("what is no tensor is left out", async () => {
    expect(await values(dict(["epoch", int(3)], ["w", fake({})], ["none", "N"]))).toEqual([["w", [1, 2, 3, 4]]]);
  });
  test("nowhere: the keys that there are", () =>
    refuses(
      make(dict(["epoch", int(3)], ["a", dict(["b", hidden])])),
      /expected a state dict, or a dict with one in it, got a dict of "epoch": 3, "a": a dict\n {2}hint: .*state_dict/,
    ));
  test("a list without tensors", () => refuses(make(["](", hidden, "e"]), /got a list of 1/));
  test("a name __proto__ is only a name", async () => {
    expect(await values(dict(["__proto__", fake({})]))).toEqual([["__proto__", [1, 2, 3, 4]]]);
  });
});

describe.each(BOTH)("%s: ways a tensor can lie", (_, make) => {
  const one = (tensor: Fake): Promise<Checkpoint> => make(dict(["w", fake(tensor)]));
  test("the honest one they are made from is read", async () => {
    expect(await valuesOf(await one({}), "w")).toEqual([1, 2, 3, 4]);
    expect(await valuesOf(await one({ offset: 1, shape: [2], strides: [2] }), "w")).toEqual([2, 4]);
  });
  test("a name twice", () => refuses(make(dict(["w", fake({})], ["w", fake({})])), /"w": expected one tensor/));
  test("longer than its storage", () => refuses(one({ shape: [5] }), /"w": expected 5 elements in its storage, got 4/));
  test("an offset that pushes it out", () => refuses(one({ offset: 1 }), /"w": expected 5 elements/));
  test("strides that reach out", () =>
    refuses(one({ shape: [2, 2], strides: [4, 1] }), /"w": expected 6 elements in its storage, got 4/));
  test("sizes whose product is beyond 2^53", () =>
    refuses(one({ shape: [2 ** 40, 2 ** 40], strides: [2 ** 40, 1] }), /"w": expected \S+ elements in its storage/));
  test("terabytes by strides of zero", () =>
    refuses(
      one({ shape: [2 ** 20, 2 ** 20], strides: [0, 0] }),
      /"w": expected at most 1048576 bytes, as the file has/,
    ));
  test("sizes beyond counting, and a zero", () =>
    refuses(one({ shape: [...new Array(40).fill(2 ** 50), 0], strides: new Array(41).fill(0) }), /"w": expected/));
  test("a negative size", () => refuses(one({ shape: [-4] }), /expected a storage, an offset, a shape and strides/));
  test("a negative stride", () => refuses(one({ shape: [2], strides: [-1] }), /a shape and strides/));
  test("a negative offset", () => refuses(one({ offset: -1 }), /a shape and strides/));
  test("more strides than sizes", () => refuses(one({ strides: [1, 1] }), /as many strides as dimensions/));
  test("65 dimensions", () =>
    refuses(one({ shape: new Array(65).fill(1), strides: new Array(65).fill(1) }), /a shape and strides/));
  test("a storage of two lengths", () =>
    refuses(
      make(dict(["v", fake({})], ["w", fake({ total: 2, shape: [2] })])),
      /4 elements of torch\.FloatStorage .*, got 2/,
    ));
  test("a storage of two types", () =>
    refuses(
      make(dict(["v", fake({})], ["w", fake({ type: "IntStorage" })])),
      /torch\.FloatStorage .*, got 4 of torch\.IntStorage/,
    ));
  test("a storage of no known type is foreign; where it must be measured it is refused", async () => {
    if (make === zip) expect([...(await one({ type: "float32" })).foreign!]).toEqual([["w", "torch.float32"]]);
    else await refuses(one({ type: "float32" }), /elements of known length, got torch\.float32/);
  });
  test("something else in the storage's place", () => {
    const rebuild = ["ctorch._utils\n_rebuild_tensor\n", tuple(int(1), int(0), tuple(int(1)), tuple(int(1))), "R"];
    return refuses(make(dict(["w", rebuild])), /expected a storage, an offset, a shape and strides .*, got 1, 0/);
  });
  test("a whole model, as its persistent id says", () => {
    const model = [tuple(str("module"), "ctorch\nTensor\n", str("net.py"), str("class Net: ...")), "Q"];
    return refuses(
      make(dict(["w", model], ["v", fake({})])).then(({ tensors }) => {
        expect([...tensors.keys()]).toEqual(["v"]);
        throw new ModelError("not-a-model", "passed over");
      }),
      "passed over",
    );
  });
  test("a rebuilding function that is none", () => {
    const rebuild = "ctorch._tensor\n_rebuild_from_type_v2\n";
    const nested = [rebuild, tuple(rebuild, "ctorch\nTensor\n", ")", "N"), "R"];
    return refuses(make(dict(["w", nested])), /a function that rebuilds a tensor, got torch\._tensor/);
  });
  test("a tensor with attributes is the tensor", async () => {
    const args = tuple(
      [tuple(str("storage"), "ctorch\nFloatStorage\n", str("0"), str("cpu"), int(4)), "Q"],
      int(0),
      tuple(int(4)),
      tuple(int(1)),
    );
    const value = [
      "ctorch._tensor\n_rebuild_from_type_v2\n",
      tuple("ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nTensor\n", args, "}"),
      "R",
    ];
    expect(await valuesOf(await make(dict(["w", value])), "w")).toEqual([1, 2, 3, 4]);
  });
});

describe("ways a zip file can lie", () => {
  const root = dict(["w", fake({})]);
  const text = (value: string) => new TextEncoder().encode(value);
  test("big-endian", () =>
    refuses(
      zip(root, { name: "m/byteorder", bytes: text("big") }),
      /"m\/byteorder": expected little-endian tensors, got "big"/,
    ));
  test("little-endian is well", async () => {
    expect((await zip(root, { name: "m/byteorder", bytes: text("little") })).tensors.size).toBe(1);
  });
  test("a TorchScript program", () =>
    refuses(zip(root, { name: "m/constants.pkl", bytes: text("") }), /got a TorchScript program/));
  test("two pickles", () => refuses(zip(root, { name: "n/data.pkl", bytes: text("N.") }), /one data\.pkl .*, got 2/));
  test("a zip archive of other things", () => {
    const keras = ["metadata.json", "config.json", "model.weights.h5"].map((name) => ({ name, bytes: text("{}") }));
    const opened = openTorch(archiveSource("m.keras", keras), "zip");
    return refuses(opened, /with <name>\/data\.pkl in it, got "metadata\.json", "config\.json", "model\.weights\.h5"/);
  });
  test("an empty dict", () => refuses(zip("}"), /got an empty dict/));
  test("a storage of another length", () =>
    refuses(zip(dict(["w", fake({ total: 3, shape: [3] })])), /"w": expected 12 bytes in "m\/data\/0", got 16/));
  test("a storage that is not there", () =>
    refuses(zip(dict(["w", fake({ key: "1" })])), /"w": expected 16 bytes in "m\/data\/1", got no such file/));
  test("an empty archive", () => refuses(openTorch(archiveSource("m.pth", []), "zip"), /got an empty archive/));
  test("a pickle without its end", () => {
    const files = [{ name: "m/data.pkl", bytes: text("}") }];
    return refuses(
      openTorch(archiveSource("m.pth", files), "zip"),
      /"m\/data\.pkl": expected a whole pickle, got 1 bytes/,
    );
  });
  test("a pickle of gigabytes", () => {
    const opened = openTorch(archiveSource("m.pth", [{ name: "m/data.pkl", bytes: 5e9 }]), "zip");
    return refuses(opened, /a pickle of at most 67108864 bytes, got one of 5000000000/);
  });
  test("a storage that climbs out of the archive", () =>
    refuses(
      zip(dict(["w", fake({ key: "../../x" })])),
      /"w": expected 16 bytes in "m\/data\/\.\.\/\.\.\/x", got no such file/,
    ));
});

describe("ways a legacy file can lie", () => {
  const root = dict(["w", fake({})]);
  test("another magic number", () => refuses(legacy(root, { magic: int(7) }), /torch\.save's magic number, got 7/));
  test("a plain pickle", () =>
    refuses(
      open("m.th", Uint8Array.from(bytesOf(0x80, 2, dict(["a", "N"]), "."))),
      /torch\.save's magic number, got a dict/,
    ));
  test("another protocol", () => refuses(legacy(root, { protocol: 1002 }), /protocol 1001 .*, got 1002/));
  test("big-endian", () =>
    refuses(legacy(root, { system: dict(["little_endian", 0x89]) }), /little-endian tensors, got big-endian/));
  test("no list of keys", () => {
    const bytes = bytesOf(
      [MAGIC, int(1001), dict(["little_endian", 0x88]), root, "N"].map((each): Part => [0x80, 2, each, "."]),
    );
    return refuses(open("m.th", Uint8Array.from(bytes)), /list of the storages' keys, got None/);
  });
  test("a key of no tensor", () => refuses(legacy(root, { keys: ["0", "1"] }), /storage "1": .* got of no tensor/));
  test("a key twice", () => refuses(legacy(root, { keys: ["0", "0"] }), /storage "0": .* got twice/));
  test("a key missing", () =>
    refuses(legacy(root, { keys: [] }), /expected \d+ bytes, got \d+, with bytes that belong to no/));
  test("a storage that is not in the list", () =>
    refuses(
      legacy(dict(["v", fake({})], ["w", fake({ key: "1" })])),
      /"w": expected a storage "1" in the file, got none/,
    ));
  test("a storage shorter than its tensor says", () =>
    refuses(legacy(dict(["w", fake({ total: 8 })])), /expected \d+ bytes, got \d+\n.*cut short/));
  test("bytes after the last storage", () =>
    refuses(legacy(root, { tail: [0] }), /with bytes that belong to no tensor/));
  test("a storage that says another length", async () =>
    refuses((await legacy(root, { elements: 5 })).read("w"), /storage "0": expected 4 elements, .* got 5/));
  test("cut anywhere", async () => {
    const whole = legacyBytes(root);
    for (let length = 1; length < whole.byteLength; length++) {
      await refuses(open("m.th", whole.subarray(0, length)), /cut short/);
    }
  });
  test("a part of a storage, as PyTorch 0.3 saved them", async () => {
    const part = tuple(str("9"), int(1), int(2));
    expect(await valuesOf(await legacy(dict(["w", fake({ part, shape: [2] })])), "w")).toEqual([2, 3]);
    await refuses(legacy(dict(["w", fake({ part, shape: [3] })])), /expected 3 elements in its storage, got 2/);
    const beyond = tuple(str("9"), int(3), int(2));
    await refuses(legacy(dict(["w", fake({ part: beyond, shape: [2] })])), /a part of a storage of 4 elements/);
  });
  test("the tar format of 2016", () => {
    const tar = new Uint8Array(1024);
    tar.set(bytesOf("sys_info"));
    tar.set(bytesOf("ustar"), 257);
    return refuses(open("m.th", tar), /tar format/);
  });
});

describe("large files", () => {
  /** How much was read at most at once, and in all. */
  function watched(inner: ByteSource): { source: ByteSource; reads: { longest: number; total: number } } {
    const reads = { longest: 0, total: 0 };
    const read: ByteSource["read"] = (offset, length) => {
      reads.longest = Math.max(reads.longest, length);
      reads.total += length;
      return inner.read(offset, length);
    };
    return { source: { ...inner, read }, reads };
  }
  const files = (storage: number, pickle: Part): Packed[] => [
    { name: "m/data/0", bytes: storage },
    { name: "m/data.pkl", bytes: Uint8Array.from(bytesOf(0x80, 2, pickle, ".")) },
  ];

  test("a zip file of 6 GB: opening reads its description, reading a tensor its bytes", async () => {
    const total = 1.5e9;
    const root = dict(["w", fake({ total, offset: total - 1000, shape: [1000] })]);
    const { source, reads } = watched(archiveSource("m.pth", files(4 * total, root)));
    const checkpoint = await openTorch(source, "zip");
    expect(reads.total).toBeLessThan(100_000);
    expect((await checkpoint.read("w")).byteLength).toBe(4000);
    expect(reads.total).toBeLessThan(110_000);
  });
  test("a legacy file of 6 GB", async () => {
    const total = 1.5e9;
    const head = legacyBytes(dict(["w", fake({ total, offset: total - 1000, shape: [1000] })]), { elements: total });
    const size = head.byteLength - RAMP.byteLength + 4 * total;
    const sparse: ByteSource = {
      name: "m.th",
      size,
      async read(offset, length) {
        const bytes = new Uint8Array(length);
        bytes.set(head.subarray(Math.min(offset, head.byteLength - 16), head.byteLength - 16).subarray(0, length));
        return bytes;
      },
      async close() {},
    };
    const { source, reads } = watched(sparse);
    const checkpoint = await openTorch(source, "pickle");
    expect((await checkpoint.read("w")).byteLength).toBe(4000);
    expect(reads.longest).toBe(1 << 18);
  });
  test("a legacy description longer than the first look", async () => {
    const names = Array.from({ length: 9000 }, (_, i): [string, Part] => [`layer.${i}`, fake({})]);
    const checkpoint = await legacy(dict(...names));
    expect(checkpoint.tensors.size).toBe(9000);
    expect(await valuesOf(checkpoint, "layer.8999")).toEqual([1, 2, 3, 4]);
  });
  test("a compressed storage that tensors share is inflated once", async () => {
    const pickle = bytesOf(0x80, 2, dict(["v", fake({})], ["w", fake({ offset: 2, shape: [2] })]), ".");
    const packed: Packed[] = [
      { name: "m/data.pkl", bytes: Uint8Array.from(pickle), deflate: true },
      { name: "m/data/0", bytes: RAMP, deflate: true },
    ];
    const { source, reads } = watched(archiveSource("m.pth", packed));
    const checkpoint = await openTorch(source, "zip");
    expect(await valuesOf(checkpoint, "v")).toEqual([1, 2, 3, 4]);
    const before = reads.total;
    expect(await valuesOf(checkpoint, "w")).toEqual([3, 4]);
    expect(reads.total).toBe(before);
  });
});

test("mutations of real files: one typed error, or tensors; never anything else", async () => {
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const outcomes = { read: 0, refused: 0 };
  for (const name of ["zip.pth", "zip4.pth", "legacy.th", "deflated.pth", "training.pth"]) {
    const original = saved(name);
    for (let round = 0; round < 400; round++) {
      let bytes = original.slice();
      const kind = random(4);
      for (let i = random(4); i >= 0; i--) {
        const at =
          random(3) === 0 ? bytes.byteLength - 1 - random(Math.min(bytes.byteLength, 900)) : random(bytes.byteLength);
        if (kind === 0) bytes[at] = random(256);
        else if (kind === 1) bytes[at]! ^= 1 << random(8);
        else if (kind === 2) bytes.fill([0, 255, 127, 128][random(4)]!, at, at + 1 + random(8));
        else bytes = bytes.slice(0, Math.max(at, 16));
      }
      try {
        const checkpoint = await open(name, bytes);
        for (const tensor of checkpoint.tensors.keys()) await checkpoint.read(tensor);
        outcomes.read++;
      } catch (error) {
        expect(error).toBeInstanceOf(ModelError);
        outcomes.refused++;
      }
    }
  }
  expect(outcomes.read).toBeGreaterThan(100);
  expect(outcomes.refused).toBeGreaterThan(1000);
});
