/**
 * Python pickles, read as data: a machine for their opcodes (protocols 1 to 5, as documented in CPython's pickletools.py)
 * that knows nothing of Python. What a pickle imports is only a name; calling one gives a container, a value that
 * vocabulary.ts describes, or an opaque object, so that no code can run. There is no recursion, and memory is bounded by the
 * number of opcodes.
 */
import { expectedGot, ModelError } from "../../errors.ts";
import { describe, dictOf, type Global, isDict, isGlobal, isOpaque, type Opaque, opaque } from "./objects.ts";
import { CONTAINERS, checkName, type Vocabulary } from "./vocabulary.ts";

/** More than any checkpoint has: a ResNet-152 with its optimizer needs a tenth of it. */
const MAX_OPCODES = 1 << 21;
/** Longest name or number in a line of text, and longest integer, in bytes. */
const MAX_LINE_BYTES = 255;

/** All bytes objects: nothing here has a use for them. */
const BYTES: Opaque = Object.freeze({ kind: "opaque", name: "bytes" });

/** Thrown inside the machine when the bytes end before the pickle does. */
const CUT = Symbol("cut");

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads one pickle that begins at `bytes[from]`; `undefined` when the bytes end before it does. `end` is the offset of the next
 * byte after it. Integers are numbers where they fit, else bigints; tuples, lists and sets are arrays; bytes are passed over.
 *
 * Throws `ModelError` for a name that is not on the list, an opcode that none of PyTorch's pickles has, or a pickle whose
 * opcodes do not fit together.
 */
export function unpickle(
  where: string,
  bytes: Uint8Array,
  from: number,
  vocabulary: Vocabulary,
): { readonly value: unknown; readonly end: number } | undefined {
  try {
    return run(where, bytes, from, vocabulary);
  } catch (error) {
    if (error === CUT) return undefined;
    throw error;
  }
}

function run(
  file: string,
  bytes: Uint8Array,
  from: number,
  vocabulary: Vocabulary,
): { readonly value: unknown; readonly end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: unknown[] = [];
  /** Heights of the stack at each mark. */
  const marks: number[] = [];
  const memo: unknown[] = [];
  let at = from;
  let opcode = from;

  const fail: (expected: string, got: string) => never = (expected, got) => {
    throw new ModelError("malformed", expectedGot(`${file}: byte ${opcode}`, expected, got));
  };
  /** Steps over so many bytes; where they begin. */
  const take = (count: number): number => {
    if (count > bytes.byteLength - at) throw CUT;
    at += count;
    return at - count;
  };
  const u8 = (): number => bytes[take(1)]!;
  const u32 = (): number => view.getUint32(take(4), true);
  /** A length of eight bytes: what is beyond 2^53 is beyond the end of any file too. */
  const u64 = (): number => Number(view.getBigUint64(take(8), true));
  const blob = (count: number): Uint8Array => bytes.subarray(take(count), at);
  const text = (count: number): string => (count === 0 ? "" : UTF8.decode(blob(count)));
  const passBytes = (count: number): void => {
    take(count);
    stack.push(BYTES);
  };
  const line = (): string => {
    const end = bytes.subarray(at, at + MAX_LINE_BYTES + 1).indexOf(0x0a);
    if (end < 0 && bytes.byteLength - at <= MAX_LINE_BYTES) throw CUT;
    if (end < 0) fail(`a line of at most ${MAX_LINE_BYTES} bytes`, "a longer one");
    return text(end + 1).slice(0, -1);
  };
  const long = (count: number): number | bigint => {
    if (count > MAX_LINE_BYTES) fail(`an integer of at most ${MAX_LINE_BYTES} bytes`, `one of ${count}`);
    let hex = "";
    for (const byte of blob(count)) hex = byte.toString(16).padStart(2, "0") + hex;
    return narrow(BigInt.asIntN(8 * count, BigInt(`0x${hex || "0"}`)));
  };

  const pop = (): unknown => {
    if (stack.length <= (marks.at(-1) ?? 0)) fail("a value on the stack", "none");
    return stack.pop();
  };
  const popMark = (): unknown[] => stack.splice(marks.pop() ?? fail("a mark on the stack", "none"));
  const top = (): unknown => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const get = (index: number): void => {
    const value = memo[index];
    if (value === undefined) fail("a value remembered before", `number ${index}`);
    stack.push(value);
  };
  const put = (index: number): void => {
    if (index > bytes.byteLength) fail("values remembered in order", `number ${index}`);
    memo[index] = top();
  };
  const global = (name: string): void => {
    checkName(`${file}: byte ${opcode}`, name);
    stack.push({ kind: "global", name } satisfies Global);
  };
  const call = (callable: unknown, args: unknown): void => {
    if (!isGlobal(callable) && !isOpaque(callable)) fail("a name to call", describe(callable));
    if (!Array.isArray(args)) fail(`arguments for ${callable.name}`, describe(args));
    const meaning = isGlobal(callable)
      ? (vocabulary.calls.get(callable.name) ?? CONTAINERS.get(callable.name))
      : undefined;
    stack.push(meaning === undefined ? opaque(callable.name) : meaning(args, `${file}: byte ${opcode}`));
  };
  const append = (items: readonly unknown[]): void => {
    const list = top();
    // A class derived from list.
    if (isOpaque(list)) return;
    if (!Array.isArray(list)) fail("a list to append to", describe(list));
    for (const item of items) list.push(item);
  };
  const set = (items: readonly unknown[]): void => {
    const dict = top();
    if (!isDict(dict) && !isOpaque(dict)) fail("a dict to set items of", describe(dict));
    if (items.length % 2 !== 0) fail("as many values as keys", `${items.length} items`);
    if (dict === BYTES) fail("a dict to set items of", "bytes");
    // An opaque object of a class derived from dict.
    if (isOpaque(dict)) dict.items ??= [];
    for (let i = 0; i < items.length; i += 2) dict.items!.push([items[i], items[i + 1]]);
  };

  for (let count = 0; count < MAX_OPCODES; count++) {
    opcode = at;
    const code = u8();
    switch (code) {
      case 0x80: {
        const protocol = u8();
        if (protocol > 5) fail("a pickle of protocol 5 at most", `${protocol}`);
        break;
      }
      case 0x95: // FRAME
        take(8);
        break;
      case 0x2e: // STOP
        return { value: pop(), end: at };

      case 0x28: // MARK
        marks.push(stack.length);
        break;
      case 0x30: // POP
        if (marks.at(-1) === stack.length) marks.pop();
        else pop();
        break;
      case 0x31: // POP_MARK
        popMark();
        break;
      case 0x32: // DUP
        stack.push(top());
        break;

      case 0x71: // BINPUT
        put(u8());
        break;
      case 0x72: // LONG_BINPUT
        put(u32());
        break;
      case 0x94: // MEMOIZE
        put(memo.length);
        break;
      case 0x68: // BINGET
        get(u8());
        break;
      case 0x6a: // LONG_BINGET
        get(u32());
        break;

      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x49: {
        // INT: a line of text; protocol 1 has no booleans, it writes 00 and 01
        const digits = line();
        stack.push(digits === "00" ? false : digits === "01" ? true : integer(digits, fail));
        break;
      }
      case 0x4c: // LONG: a line of text
        stack.push(integer(line().replace(/L$/, ""), fail));
        break;
      case 0x4a: // BININT
        stack.push(view.getInt32(take(4), true));
        break;
      case 0x4b: // BININT1
        stack.push(u8());
        break;
      case 0x4d: // BININT2
        stack.push(view.getUint16(take(2), true));
        break;
      case 0x8a: // LONG1
        stack.push(long(u8()));
        break;
      case 0x8b: // LONG4
        stack.push(long(u32()));
        break;
      case 0x47: // BINFLOAT
        stack.push(view.getFloat64(take(8)));
        break;

      case 0x55: // SHORT_BINSTRING
      case 0x8c: // SHORT_BINUNICODE
        stack.push(text(u8()));
        break;
      case 0x54: // BINSTRING
      case 0x58: // BINUNICODE
        stack.push(text(u32()));
        break;
      case 0x8d: // BINUNICODE8
        stack.push(text(u64()));
        break;
      case 0x43: // SHORT_BINBYTES
        passBytes(u8());
        break;
      case 0x42: // BINBYTES
        passBytes(u32());
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        passBytes(u64());
        break;

      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
      case 0x8f: // EMPTY_SET
        stack.push([]);
        break;
      case 0x6c: // LIST
      case 0x74: // TUPLE
      case 0x91: // FROZENSET
        stack.push(popMark());
        break;
      case 0x85: // TUPLE1
        stack.push([pop()]);
        break;
      case 0x86: // TUPLE2
        stack.push([pop(), pop()].reverse());
        break;
      case 0x87: // TUPLE3
        stack.push([pop(), pop(), pop()].reverse());
        break;
      case 0x61: // APPEND
        append([pop()]);
        break;
      case 0x65: // APPENDS
      case 0x90: // ADDITEMS
        append(popMark());
        break;
      case 0x7d: // EMPTY_DICT
        stack.push(dictOf());
        break;
      case 0x64: {
        // DICT
        const items = popMark();
        stack.push(dictOf());
        set(items);
        break;
      }
      case 0x73: // SETITEM
        set([pop(), pop()].reverse());
        break;
      case 0x75: // SETITEMS
        set(popMark());
        break;

      case 0x63: // GLOBAL: module and name, a line each
        global(`${line()}.${line()}`);
        break;
      case 0x93: {
        // STACK_GLOBAL
        const [name, module] = [pop(), pop()];
        if (typeof name !== "string" || typeof module !== "string") {
          fail("a module and a name to import", `${describe(module)} and ${describe(name)}`);
        }
        global(`${module}.${name}`);
        break;
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = pop();
        call(pop(), args);
        break;
      }
      case 0x92: {
        // NEWOBJ_EX: with keyword arguments, which no container needs
        pop();
        const args = pop();
        call(pop(), args);
        break;
      }
      case 0x69: {
        // INST: module and name, a line each; the arguments are on the stack
        const name = `${line()}.${line()}`;
        const args = popMark();
        global(name);
        call(pop(), args);
        break;
      }
      case 0x6f: {
        // OBJ
        const [callable, ...args] = popMark();
        call(callable, args);
        break;
      }
      case 0x62: {
        // BUILD: the attributes of an object, of which none is needed here; those of an OrderedDict are `_metadata`
        pop();
        const value = top();
        if (typeof value !== "object" || value === null) fail("an object that may have attributes", describe(value));
        break;
      }
      case 0x51: // BINPERSID
        stack.push(vocabulary.persistent(pop(), `${file}: byte ${opcode}`));
        break;

      default:
        fail("an opcode as PyTorch's pickles have", `0x${code.toString(16).padStart(2, "0")}`);
    }
  }
  fail(`a pickle of at most ${MAX_OPCODES} opcodes`, "more");
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function integer(digits: string, fail: (expected: string, got: string) => never): number | bigint {
  return /^[+-]?\d+$/.test(digits) ? narrow(BigInt(digits)) : fail("an integer", describe(digits));
}
