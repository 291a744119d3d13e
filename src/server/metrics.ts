/** Counts of the service, as Prometheus reads them (text format 0.0.4). */

/** Upper edges of the histogram of durations, in seconds. */
const EDGES = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

/** A number that is read when it is asked for. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly value: () => number | undefined;
}

export interface Metrics {
  /** Counts an answered request. */
  answered(route: string, status: number, ms: number): void;
  /** All of it as text. */
  print(gauges: readonly Gauge[]): string;
}

export function createMetrics(): Metrics {
  const requests = new Map<string, number>();
  const buckets = new Array<number>(EDGES.length).fill(0);
  let [count, seconds] = [0, 0];
  return {
    answered(route, status, ms) {
      const labels = `route="${route}",status="${status}"`;
      requests.set(labels, (requests.get(labels) ?? 0) + 1);
      if (route !== "/classify" || status !== 200) return;
      count += 1;
      seconds += ms / 1000;
      EDGES.forEach((edge, i) => {
        if (ms <= 1000 * edge) buckets[i]! += 1;
      });
    },
    print(gauges) {
      const lines: string[] = [];
      const describe = (name: string, type: string, help: string): void => {
        lines.push(`# HELP ${PREFIX}${name} ${help}`, `# TYPE ${PREFIX}${name} ${type}`);
      };
      describe("requests_total", "counter", "Requests that were answered.");
      for (const [labels, value] of requests) lines.push(`${PREFIX}requests_total{${labels}} ${value}`);
      describe("classify_duration_seconds", "histogram", "From a request to its answer with classes.");
      EDGES.forEach((edge, i) => {
        lines.push(`${PREFIX}classify_duration_seconds_bucket{le="${edge}"} ${buckets[i]}`);
      });
      lines.push(`${PREFIX}classify_duration_seconds_bucket{le="+Inf"} ${count}`);
      lines.push(
        `${PREFIX}classify_duration_seconds_sum ${seconds}`,
        `${PREFIX}classify_duration_seconds_count ${count}`,
      );
      for (const { name, help, value } of gauges) {
        const now = value();
        if (now === undefined) continue;
        describe(name, "gauge", help);
        lines.push(`${PREFIX}${name} ${now}`);
      }
      return `${lines.join("\n")}\n`;
    },
  };
}

const PREFIX = "resnet_wasm_";
