/** Energy that the processors have used, where Linux tells it (RAPL; most virtual machines and plain users do not see it). */
import { readdirSync, readFileSync } from "node:fs";

const ROOT = "/sys/class/powercap";

/** Whole packages; the domains below them (`intel-rapl:0:0`) are part of these. AMD's have the same name. */
const packages = findPackages();

interface Package {
  readonly file: string;
  /** Where its counter starts again, in µJ. */
  readonly range: number;
}

function findPackages(): readonly Package[] {
  try {
    return readdirSync(ROOT)
      .filter((name) => /^intel-rapl:\d+$/.test(name))
      .map((name) => {
        const file = `${ROOT}/${name}/energy_uj`;
        readFileSync(file);
        return { file, range: Number(readFileSync(`${ROOT}/${name}/max_energy_range_uj`, "utf8")) };
      });
  } catch {
    return [];
  }
}

/** Begins to count; the function that comes back says how many joules it were since, or nothing where that is unknown. */
export function countJoules(): () => number | undefined {
  const read = (): readonly number[] => packages.map(({ file }) => Number(readFileSync(file, "utf8")));
  const before = read();
  return () => {
    if (packages.length === 0) return undefined;
    const used = read().map((after, i) => {
      const difference = after - before[i]!;
      return difference < 0 ? difference + packages[i]!.range : difference;
    });
    return used.reduce((a, b) => a + b) / 1e6;
  };
}
