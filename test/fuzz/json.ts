/** Mutations of JSON that leave it JSON, mostly: values of other kinds and sizes, keys gone or doubled, deep nesting. */
import type { Random } from "./random.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Stands for text that `JSON.stringify` would not write. */
const RAW = "\u0001raw:";
const ODD: readonly Json[] = [
  ...[-1, 0, 1, 2, 3, 7, 0.5, 64, 1000, 50_000, 1e6, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53, 1e308, -1e308, 1e-320],
  ...[
    null,
    true,
    false,
    "",
    "0",
    "F32",
    "conv",
    "__proto__",
    "constructor",
    "../../etc/passwd",
    "\u0000",
    "é".repeat(40),
  ],
  ...[`${RAW}1e999`, `${RAW}-1e999`, `${RAW}-0`, `${RAW}123456789012345678901234567890`],
];

/** The text with one to three values changed; as it is when it is no JSON. */
export function mutateJson(text: string, random: Random): string {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    return text;
  }
  const root: { value: Json } = { value };
  for (let changes = 1 + random.below(3); changes > 0; --changes) {
    change(root, random);
    if (isLarge(root.value)) return text;
  }
  return stringify(root.value);
}

/** Whether the text would take minutes to write: a value may stand in the tree a thousand times, and so may its parts. */
function isLarge(value: Json): boolean {
  const rest: Json[] = [value];
  for (let seen = 0; rest.length > 0; ++seen) {
    if (seen > 100_000) return true;
    const next = rest.pop()!;
    if (typeof next === "object" && next !== null) for (const each of Object.values(next)) rest.push(each);
  }
  return false;
}

function stringify(value: Json): string {
  try {
    return (JSON.stringify(value) ?? "null").replace(/"\\u0001raw:([^"]*)"/g, "$1");
  } catch {
    return "null";
  }
}

/** The places in the tree that hold a value, 5000 at most; without recursion, as the tree may be deep. */
function places(root: object): [holder: Record<string, Json>, key: string][] {
  const found: [holder: Record<string, Json>, key: string][] = [];
  const rest = [root as Record<string, Json>];
  for (let holder = rest.pop(); holder !== undefined && found.length < 5000; holder = rest.pop()) {
    for (const [key, value] of Object.entries(holder)) {
      found.push([holder, key]);
      if (typeof value === "object" && value !== null) rest.push(value as Record<string, Json>);
    }
  }
  return found;
}

function change(root: { value: Json }, random: Random): void {
  const all = places(root);
  const [holder, key] = random.pick(all);
  const value = holder[key]!;
  // Metadata of weight files holds JSON in its texts.
  if (typeof value === "string" && /^\s*[[{]/.test(value) && !random.oneIn(4)) {
    holder[key] = mutateJson(value, random);
    return;
  }
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
      holder[key] = typeof value === "number" && random.oneIn(2) ? nearby(value, random) : random.pick(ODD);
      return;
    case 3:
      if (holder === (root as object)) return;
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      return;
    case 4:
      holder[key] = copyOf(random.pick(all));
      return;
    case 5: {
      let deep: Json = value;
      for (let depth = random.oneIn(10) ? 5000 : 1 + random.below(3); depth > 0; --depth)
        deep = random.oneIn(2) ? [deep] : { a: deep };
      holder[key] = deep;
      return;
    }
    case 6:
      if (Array.isArray(value) && value.length > 0) {
        const times = random.oneIn(10) ? 1000 : 1 + random.below(3);
        if (value.length * times < 20_000) holder[key] = Array(times).fill(value).flat() as Json[];
      } else holder[key] = [value, value];
      return;
    case 7: {
      holder[random.oneIn(2) ? `x${key}` : random.pick(all)[1]] = value;
      return;
    }
    default:
      if (typeof value === "string")
        holder[key] = random.oneIn(20)
          ? value.repeat(1 + 10_000 / (1 + value.length))
          : value.slice(random.below(value.length + 1));
      else holder[key] = `${value}`;
  }
}

function nearby(value: number, random: Random): number {
  return random.pick([-value, value + 1, value - 1, value * 2, value / 2, value * 1e6, value + 0.5]);
}

function copyOf([holder, key]: readonly [Record<string, Json>, string]): Json {
  try {
    return structuredClone(holder[key]!);
  } catch {
    return null;
  }
}
