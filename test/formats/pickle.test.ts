import { describe, expect, test } from "vitest";
import { ModelError } from "../../src/errors.ts";
import { type Dict, entriesOf as entries, isDict, lookup } from "../../src/formats/torch/objects.ts";
import { unpickle } from "../../src/formats/torch/pickle.ts";
import type { Vocabulary } from "../../src/formats/torch/vocabulary.ts";

const entriesOf = (dict: Dict) => entries(dict.items);

const vocabulary: Vocabulary = {
  calls: new Map([["torch.twice", ([value]) => [value, value]]]),
  persistent: (id) => ({ kind: "stored", id }),
};

/** Bytes of opcodes (numbers) and texts. */
function bytes(...parts: readonly (number | string)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === "number" ? [part] : [...Buffer.from(part)])));
}

const run = (...parts: readonly (number | string)[]) => unpickle("p", bytes(...parts), 0, vocabulary);
const value = (...parts: readonly (number | string)[]) => run(...parts, ".")?.value;
const le = (bits: bigint, count: number) =>
  Array.from({ length: count }, (_, i) => Number((bits >> BigInt(8 * i)) & 255n));

describe("values", () => {
  test("None and booleans, those of protocol 1 too", () => {
    expect(value("(N", 0x88, 0x89, "I01\nI00\nt")).toEqual([null, true, false, true, false]);
  });
  test("integers of every length and sign", () => {
    expect(value("(K", 255, "M", 1, 2, "J", 0xfe, 0xff, 0xff, 0xff, "I-7\nL12L\nt")).toEqual([255, 513, -2, -7, 12]);
    expect(value("(", 0x8a, 0, 0x8a, 1, 0xff, 0x8a, 2, 0, 1, 0x8b, 1, 0, 0, 0, 5, "t")).toEqual([0, -1, 256, 5]);
  });
  test("integers beyond 2^53 are bigints", () => {
    expect(value(0x8a, 10, ...le(0x1950a86a20f9469cfc6cn, 10))).toBe(0x1950a86a20f9469cfc6cn);
    expect(value(0x8a, 9, ...le(-(2n ** 64n), 9))).toBe(-(2n ** 64n));
  });
  test("floats are big-endian", () => expect(value("G", 0x3f, 0xf8, 0, 0, 0, 0, 0, 0)).toBe(1.5));
  test("texts of Python 2 and 3", () => {
    expect(
      value("(U", 2, "ab", "T", 1, 0, 0, 0, "c", "X", 2, 0, 0, 0, "é", 0x8c, 0, 0x8d, ...le(1n, 8), "d", "t"),
    ).toEqual(["ab", "c", "é", "", "d"]);
  });
  test("lists, tuples and sets", () => {
    expect(value("](K", 1, "K", 2, "eK", 3, "a")).toEqual([1, 2, 3]);
    expect(value("(K", 1, 0x85, "K", 1, "K", 2, 0x86, "K", 1, "K", 2, "K", 3, 0x87, ")t")).toEqual([
      [1],
      [1, 2],
      [1, 2, 3],
      [],
    ]);
    expect(value("(", 0x8f, "(K", 1, 0x90, "(K", 2, 0x91, "(K", 3, "lt")).toEqual([[1], [2], [3]]);
  });
  test("dicts keep their order; the last of two keys counts", () => {
    const dict = value("}(U", 1, "b", "K", 1, "U", 1, "a", "K", 2, "uU", 1, "b", "K", 3, "s");
    if (!isDict(dict)) throw new Error("no dict");
    expect([...entriesOf(dict)]).toEqual([
      ["b", 1],
      ["a", 2],
      ["b", 3],
    ]);
    expect(lookup(dict, "b")).toBe(3);
    expect(lookup(dict, "c")).toBeUndefined();
  });
  test("keys that are not texts are passed over", () => {
    const dict = value("(K", 1, "K", 2, "U", 1, "a", "K", 3, "d");
    expect(isDict(dict) && [...entriesOf(dict)]).toEqual([["a", 3]]);
  });
  test("the memo, explicit and implicit", () => {
    expect(value("(]q", 0, "h", 0, "K", 5, "r", 9, 0, 0, 0, "j", 9, 0, 0, 0, "t")).toEqual([[], [], 5, 5]);
    expect(value("(U", 1, "a", 0x94, "U", 1, "b", 0x94, "h", 1, "h", 0, "t")).toEqual(["a", "b", "b", "a"]);
  });
  test("POP, POP_MARK and DUP", () => {
    expect(value("K", 1, "2K", 9, "0(K", 3, "1", 0x86)).toEqual([1, 1]);
    expect(value("K", 1, "(0")).toBe(1);
  });
  test("a cycle", () => {
    const list = value("]q", 0, "h", 0, "a") as unknown[];
    expect(list[0]).toBe(list);
  });
  test("frames and the protocol's number are stepped over; the end is checked", () => {
    const two = bytes(0x80, 4, 0x95, ...le(2n, 8), "K", 1, ".", "N.");
    const first = unpickle("p", two, 0, vocabulary);
    expect(first).toEqual({ value: 1, end: 14 });
    expect(unpickle("p", two, first!.end, vocabulary)).toEqual({ value: null, end: 16 });
  });
});

describe("what is outside the pickle", () => {
  test("names on the list are called with REDUCE, NEWOBJ, NEWOBJ_EX, INST and OBJ", () => {
    const twice = [7, 7];
    expect(value("ctorch\ntwice\nK", 7, 0x85, "R")).toEqual(twice);
    expect(value("U", 5, "torch", "U", 5, "twice", 0x93, "K", 7, 0x85, 0x81)).toEqual(twice);
    expect(value("ctorch\ntwice\nK", 7, 0x85, "}", 0x92)).toEqual(twice);
    expect(value("(K", 7, "itorch\ntwice\n")).toEqual(twice);
    expect(value("(ctorch\ntwice\nK", 7, "o")).toEqual(twice);
  });
  test("persistent ids go to the vocabulary", () => {
    expect(value("U", 1, "k", 0x85, "Q")).toEqual({ kind: "stored", id: ["k"] });
  });
  test("an OrderedDict with attributes, and one as Python 2 writes it", () => {
    const ordered = value("ccollections\nOrderedDict\n)RU", 1, "a", "K", 1, "s}U", 9, "_metadata", "Nsb");
    expect(isDict(ordered) && [...entriesOf(ordered)]).toEqual([["a", 1]]);
    const old = value("ccollections\nOrderedDict\n](](U", 1, "a", "K", 1, "e](U", 1, "b", "K", 2, "ee", 0x85, "R");
    expect(isDict(old) && [...entriesOf(old)]).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
  });
  test("argparse.Namespace, numpy scalars and bytes are passed over", () => {
    const namespace = value("cargparse\nNamespace\n)", 0x81, "}U", 2, "lr", "K", 1, "sb");
    expect(namespace).toMatchObject({ kind: "opaque", name: "argparse.Namespace" });
    const scalar = value("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU", 2, "f8", 0x85, "RC", 1, "x", 0x86, "R");
    expect(scalar).toMatchObject({ kind: "opaque", name: "numpy.core.multiarray.scalar" });
  });
});

describe("no code can run", () => {
  const names = [
    "os system",
    "posix system",
    "nt system",
    "subprocess Popen",
    "builtins eval",
    "builtins exec",
    "__builtin__ __import__",
    "importlib import_module",
    "webbrowser open",
    "torch hub.load",
  ];
  const opaque = [
    "builtins getattr",
    "functools partial",
    "torch._utils _import_dotted_name",
    "torch.storage _load_from_bytes",
    "torch.nn.modules.linear Linear",
    "collections OrderedDict.update",
    "numpy load",
    "__main__ Model",
    " ",
  ];
  for (const name of opaque) {
    const [module, attribute] = name.split(" ") as [string, string];
    const full = `${module}.${attribute}`;
    test(`${full} is only a name, and what it makes is opaque`, () => {
      for (const pickle of [
        [`c${module}\n${attribute}\n(U`, 2, "id", "tR"],
        ["U", module.length, module, "U", attribute.length, attribute, 0x93, ")R"],
        [`(c${module}\n${attribute}\nU`, 2, "id", "o"],
        [`c${module}\n${attribute}\n)`, 0x81, "}b"],
      ]) {
        expect(value(...pickle)).toEqual({ kind: "opaque", name: full });
      }
      // The result of one may be called too: it stays opaque.
      expect(value(`c${module}\n${attribute}\n)R)R`)).toEqual({ kind: "opaque", name: full });
    });
  }
  test("classes derived from dict and list keep their items, or are passed over", () => {
    expect(value("caddict\nDict\n)", 0x81, "U", 1, "a", "K", 1, "s")).toEqual({
      kind: "opaque",
      name: "addict.Dict",
      items: [["a", 1]],
    });
    expect(value("cfastcore\nL\n)", 0x81, "K", 1, "a")).toEqual({ kind: "opaque", name: "fastcore.L" });
  });
  for (const name of names) {
    const [module, attribute] = name.split(" ") as [string, string];
    const full = `${module}.${attribute}`;
    test(`${full} is refused by its name, however it is imported`, () => {
      for (const pickle of [
        [`c${module}\n${attribute}\n(U`, 2, "id", "tR"],
        ["U", module.length, module, "U", attribute.length, attribute, 0x93, ")R"],
        ["(U", 2, "id", `i${module}\n${attribute}\n`],
        [`(c${module}\n${attribute}\nU`, 2, "id", "o"],
        [`c${module}\n${attribute}\n)`, 0x81],
      ]) {
        expect(() => value(...pickle)).toThrow(ModelError);
        expect(() => value(...pickle)).toThrow(`containers only, got ${full}\n`);
      }
    });
  }
  test("a name that would run something gets a warning", () => {
    expect(() => value("cposix\nsystem\n")).toThrow(/hint: nothing of it was run here, but Python would run it/);
  });
  test("extension codes and out-of-band buffers are no opcodes", () => {
    for (const opcode of [0x82, 0x83, 0x84, 0x97, 0x98]) expect(() => value(opcode, 1)).toThrow(/expected an opcode/);
  });
  test("a name of __proto__ changes nothing", () => {
    const dict = value("}U", 9, "__proto__", "}U", 1, "x", "K", 1, "ss");
    expect(isDict(dict) && [...entriesOf(dict)].map(([key]) => key)).toEqual(["__proto__"]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});

describe("ways a pickle can lie", () => {
  const refuses = (message: RegExp, ...parts: readonly (number | string)[]) => {
    expect(() => value(...parts)).toThrow(ModelError);
    expect(() => value(...parts)).toThrow(message);
  };
  test("cut anywhere: there is no value", () => {
    const whole = bytes(
      0x80,
      2,
      "}(X",
      1,
      0,
      0,
      0,
      "a",
      "ccollections\nOrderedDict\n)RJ",
      1,
      2,
      3,
      4,
      0x86,
      "U",
      1,
      "b",
      "Nu.",
    );
    expect(unpickle("p", whole, 0, vocabulary)?.end).toBe(whole.byteLength);
    for (let length = 0; length < whole.byteLength; length++) {
      expect(unpickle("p", whole.subarray(0, length), 0, vocabulary)).toBeUndefined();
    }
  });
  test("a text of 2^63 bytes, and one of 4 GB", () => {
    expect(run(0x8d, 0, 0, 0, 0, 0, 0, 0, 0x80, "a.")).toBeUndefined();
    expect(run("X", 0xff, 0xff, 0xff, 0xff, "a.")).toBeUndefined();
  });
  test("an unknown opcode, with its place", () => refuses(/^p: byte 1: expected an opcode .*, got 0xff/, "N", 0xff));
  test("protocol 6", () => refuses(/protocol 5 at most, got 6/, 0x80, 6));
  test("an empty stack", () => refuses(/a value on the stack/, "0"));
  test("nothing above the mark", () => refuses(/a value on the stack/, "N(a"));
  test("no mark", () => refuses(/a mark on the stack/, "t"));
  test("a memo that was never written", () => refuses(/remembered before, got number 3/, "h", 3));
  test("a memo number beyond the file", () => refuses(/in order, got number 4294967295/, "Nr", 255, 255, 255, 255));
  test("appending to a dict", () => refuses(/a list to append to, got a dict/, "}Na"));
  test("setting an item of a list", () => refuses(/a dict to set items of, got a list/, "]NNs"));
  test("a key without a value", () => refuses(/as many values as keys/, "}(Nu"));
  test("calling a number", () => refuses(/a name to call, got 1/, "K", 1, ")R"));
  test("calling with a number", () => refuses(/arguments for torch\.twice, got 1/, "ctorch\ntwice\nK", 1, "R"));
  test("importing a number", () => refuses(/a module and a name/, "NN", 0x93));
  test("attributes for a number", () => refuses(/may have attributes, got 1/, "K", 1, "}b"));
  test("a name of 10 kB", () => refuses(/a line of at most 255 bytes/, `c${"a".repeat(10_000)}\nb\n`));
  test("an integer of 1 MB", () => refuses(/at most 255 bytes, got one of 1048576/, 0x8b, 0, 0, 16, 0));
  test("an integer that is none", () => refuses(/expected an integer, got "1e9"/, "I1e9\n"));

  test("tuples a million deep are no deeper than others", () => {
    const deep = new Uint8Array(1_000_002).fill(0x85, 1, 1_000_001);
    deep[0] = 0x4e;
    deep[1_000_001] = 0x2e;
    expect(unpickle("p", deep, 0, vocabulary)?.end).toBe(1_000_002);
  });
  test("more opcodes than any checkpoint has", () => {
    const many = new Uint8Array(3_000_000).fill(0x7d);
    expect(() => unpickle("p", many, 0, vocabulary)).toThrow(/at most 2097152 opcodes/);
  });
  test("one list copied again and again takes the memory of one", () => {
    const item = bytes("cbuiltins\nlist\nh", 0, 0x85, "R0");
    const head = bytes("]q", 0, "(", ..."N".repeat(100_000), "e");
    const pickle = new Uint8Array(head.byteLength + 20_000 * item.byteLength + 1);
    pickle.set(head);
    for (let i = 0; i < 20_000; i++) pickle.set(item, head.byteLength + i * item.byteLength);
    pickle[pickle.byteLength - 1] = 0x2e;
    const before = process.memoryUsage().heapUsed;
    expect(unpickle("p", pickle, 0, vocabulary)?.value).toHaveLength(100_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100e6);
  });
});
