/** What a pickle describes, as plain data: dicts, imported names, objects of classes that are not run here. */

/** A dict, in the order it was written. Nothing is looked up while a pickle is read, so no keys can be made to collide. */
export interface Dict {
  readonly kind: "dict";
  /** `[key, value]` each, unless the pickle makes the dict of a list of something else. */
  readonly items: unknown[];
}

/** A name that the pickle imports: `torch.FloatStorage`. */
export interface Global {
  readonly kind: "global";
  readonly name: string;
}

/** An object of a class that is only a name here: no code of it is run, and nothing is known about it. */
export interface Opaque {
  readonly kind: "opaque";
  /** The class, or the function that would make the object. */
  readonly name: string;
  /** Where the class is derived from dict: its items, as a `Dict` has them. */
  items?: unknown[];
}

export function isDict(value: unknown): value is Dict {
  return isKind(value, "dict");
}

export function isGlobal(value: unknown): value is Global {
  return isKind(value, "global");
}

export function isOpaque(value: unknown): value is Opaque {
  return isKind(value, "opaque");
}

/** Whether a value is described by an object of this `kind`: nothing in a pickle can make one of its own. */
export function isKind(value: unknown, kind: string): boolean {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === kind;
}

/** The items of a dict, or of an object whose class is derived from dict. */
export function itemsOf(value: unknown): readonly unknown[] | undefined {
  if (isDict(value)) return value.items;
  return isOpaque(value) ? value.items : undefined;
}

/** Keys and values where the keys are texts. */
export function* entriesOf(items: readonly unknown[]): Generator<readonly [string, unknown]> {
  for (const item of items) {
    if (Array.isArray(item) && typeof item[0] === "string") yield [item[0], item[1]];
  }
}

/** The value of a dict's key `key`: the last, as in Python, when the pickle sets it twice. */
export function lookup(dict: Dict, key: string): unknown {
  let found: unknown;
  for (const [each, value] of entriesOf(dict.items)) if (each === key) found = value;
  return found;
}

export function dictOf(items: unknown[] = []): Dict {
  return { kind: "dict", items };
}

export function opaque(name: string): Opaque {
  return { kind: "opaque", name };
}

/** A value as an error shows it, never longer than a line. */
export function describe(value: unknown): string {
  if (typeof value === "string") return value.length > 60 ? `${JSON.stringify(value.slice(0, 60))}…` : `"${value}"`;
  if (typeof value !== "object" || value === null) return value === null ? "None" : String(value).slice(0, 60);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  const { kind, name } = value as { readonly kind: string; readonly name?: string };
  return name === undefined ? `a ${kind}` : name.slice(0, 100);
}
