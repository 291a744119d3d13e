/** Runtimes that make int8 twins of published weights (`int8:NAME`), where their own `locate` only finds what others made. */
import type { Runtime } from "./runtime.ts";

/** The runtime, with twins. */
export function withTwins(runtime: Runtime): Runtime {
  const both: Runtime = {
    ...runtime,
    async locate(source, options) {
      const name = twinOf(source);
      if (name === undefined) return runtime.locate(source, options);
      const { locateTwin } = await import("./int8-twin.ts");
      return locateTwin(name, both, options);
    },
  };
  return both;
}

/** `NAME` of `int8:NAME`. */
export function twinOf(source: string): string | undefined {
  return /^int8:(.+)$/.exec(source)?.[1];
}
