/** Values of options on the command line: each parser returns the value, or throws commander's usage error. */
import { InvalidArgumentError } from "commander";
import type { Sides } from "../preprocess.ts";

/** A whole number of at least `least`. */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least) throw new InvalidArgumentError(`expected a whole number from ${least}`);
    return value;
  };
}

/** Three numbers with commas between them, or one. */
export function channels(text: string): readonly number[] {
  const values = text.split(",").map((each) => (each.trim() === "" ? Number.NaN : Number(each)));
  if (values.every(Number.isFinite) && (values.length === 3 || values.length === 1)) return values;
  throw new InvalidArgumentError("expected three numbers R,G,B, or one for gray");
}

/** Three numbers above 0, or one. */
export function deviation(text: string): readonly number[] {
  const values = channels(text);
  if (values.some((value) => value <= 0)) throw new InvalidArgumentError("expected numbers above 0");
  return values;
}

/** A side of a square, or height and width as in `320x192`. */
export function sides(text: string): Sides {
  const [, height, width = height] = /^(\d+)(?:[x×](\d+))?$/i.exec(text) ?? [];
  if (!(Number(height) > 0 && Number(width) > 0)) {
    throw new InvalidArgumentError("expected a whole number of pixels, or height and width as in 320x192");
  }
  return [Number(height), Number(width)];
}

export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("expected a number above 0");
  return value;
}

/** A number of at least 0. */
export function fromZero(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < Number.POSITIVE_INFINITY)) {
    throw new InvalidArgumentError("expected a number from 0");
  }
  return value;
}

/** A number of at least 0 and below 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < 1))
    throw new InvalidArgumentError("expected a number from 0, below 1");
  return value;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** `200MB`, `1.5GiB` or plain bytes. */
export function byteCount(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const scale = UNITS[(unit ?? "").toLowerCase()];
  if (number === undefined || scale === undefined) throw new InvalidArgumentError("expected bytes, as in 200MB");
  return Math.floor(Number(number) * scale);
}

/** 1, 2 or 10. */
export function crops(text: string): number {
  if (!["1", "2", "10"].includes(text)) throw new InvalidArgumentError("expected 1, 2 or 10");
  return Number(text);
}

/** Whole numbers with commas between them. */
export function sizes(text: string): readonly number[] {
  return text.split(",").map(whole(1));
}

/** A TCP port. */
export function port(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65535) throw new InvalidArgumentError("expected a port from 0 to 65535");
  return value;
}

/** Origins with commas between them. */
export function origins(text: string): readonly string[] {
  return text.split(",").map((origin) => {
    if (URL.canParse(origin) && /^https?:$/.test(new URL(origin).protocol)) return new URL(origin).origin;
    throw new InvalidArgumentError("expected origins, as in https://images.example.com");
  });
}

/** One origin, `*` or `none`. */
export function corsOrigin(text: string): string {
  return text === "*" || text === "none" ? text : origins(text)[0]!;
}

/** Names of hosts with commas between them, without ports. */
export function names(text: string): readonly string[] {
  return text.split(",").map((name) => {
    if (name === "*" || (URL.canParse(`http://${name}/`) && new URL(`http://${name}/`).host === name.toLowerCase())) {
      return name;
    }
    throw new InvalidArgumentError("expected names of hosts without ports, as in photos.example.com");
  });
}

/** A probability. */
export function threshold(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError("expected a number from 0 to 1");
  return value;
}
