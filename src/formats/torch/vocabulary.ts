/**
 * The names that a pickle may import. Python's containers become containers; every other class or function is only a name,
 * and what it makes is opaque: no code can run. Names that would run commands are refused all the same: the file is hostile,
 * and Python would run them.
 */
import { expectedGot, ModelError } from "../../errors.ts";
import { describe, dictOf, isDict, isGlobal, opaque } from "./objects.ts";

/** What calling a name gives. Throws `ModelError` when the arguments are not those it takes. */
export type Call = (args: readonly unknown[], where: string) => unknown;

/** What a pickle may name, beyond Python's own containers, that has a meaning. */
export interface Vocabulary {
  /** By full name. */
  readonly calls: ReadonlyMap<string, Call>;
  /** The object outside the pickle under `id`. */
  persistent(id: unknown, where: string): unknown;
}

// What is already a container is taken as it is: copies could be asked for without end.

/** `OrderedDict()`, or as Python 2 writes it, `OrderedDict([[key, value], …])`; `Counter(dict)`. */
const toDict: Call = ([items], where) => {
  if (items === undefined || isDict(items)) return items ?? dictOf();
  if (Array.isArray(items)) return dictOf(items);
  throw new ModelError("malformed", expectedGot(where, "pairs of keys and values to make a dict of", describe(items)));
};

const toList: Call = ([items], where) => {
  if (items === undefined || Array.isArray(items)) return items ?? [];
  throw new ModelError("malformed", expectedGot(where, "a list to make a container of", describe(items)));
};

/** An object as protocols 0 and 1 write it: its class, the builtin it is derived from, and the value of that. */
const reconstruct: Call = ([type, , value]) => {
  const object = opaque(isGlobal(type) ? type.name : "object");
  return isDict(value) ? { ...object, items: value.items } : object;
};

/** Python's own containers. */
export const CONTAINERS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ["collections.OrderedDict", toDict],
  ["collections.Counter", toDict],
  ["collections.defaultdict", () => dictOf()],
  ["collections.deque", toList],
  ...["builtins", "__builtin__"].flatMap((module): [string, Call][] => [
    [`${module}.dict`, toDict],
    ...["list", "tuple", "set", "frozenset"].map((name): [string, Call] => [`${module}.${name}`, toList]),
  ]),
  ...["copyreg", "copy_reg"].map((module): [string, Call] => [`${module}._reconstructor`, reconstruct]),
]);

/** Names that have no place in a checkpoint: Python would run commands, import modules or open files by them. */
const RUNS_CODE =
  /^(?:os|posix|nt|pty|sys|subprocess|commands|runpy|code|socket|shutil|importlib|webbrowser|ctypes|torch\.hub)\.|^(?:builtins|__builtin__)\.(?:eval|exec|execfile|compile|open|__import__|breakpoint)$/;

/**
 * Refuses a name that would run commands in Python.
 *
 * @throws ModelError naming it
 */
export function checkName(where: string, name: string): void {
  if (!RUNS_CODE.test(name)) return;
  const hint =
    "nothing of it was run here, but Python would run it: do not load this file there unless you trust its maker";
  const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  const expected = "tensors, numbers, texts and their containers only";
  throw new ModelError("unsupported", expectedGot(where, expected, shown, hint), { subject: shown });
}
