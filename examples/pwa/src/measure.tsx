/** How fast this device is. */
import { useRef, useState } from "preact/hooks";
import { DEVICES } from "./devices.ts";
import { call } from "./engine.ts";
import { digits, inWords, percent, t } from "./messages.ts";
import { Chooser, save } from "./models.tsx";
import { Bar, Button, Page, Problem } from "./parts.tsx";
import type { Measured } from "./protocol.ts";
import { current, fileName, isOwnFile, say } from "./state.ts";

const SEED = 1;
const SECONDS = { quick: 5, full: 60 } as const;
/** Median of the last fifth of the times over that of the first from which on it is said. */
const DRIFTS = 1.1;

interface Result extends Measured {
  readonly model: string;
  readonly date: string;
  readonly browser: string;
  readonly cores: number;
  readonly onBattery?: boolean;
}

async function onBattery(): Promise<boolean | undefined> {
  const { getBattery } = navigator as { getBattery?: () => Promise<{ readonly charging: boolean }> };
  const battery = await getBattery?.call(navigator).catch(() => undefined);
  return battery && !battery.charging;
}

/** One line a figure, for a message to somebody. */
function textOf(result: Result): string {
  const { model, perSecond, p50, p90, p99, firstMs, drift, threads, vectors, build, right, seed, browser, date } =
    result;
  return [
    `resnet-wasm, ${model}, ${date.slice(0, 10)}`,
    `${digits(perSecond)} images a second`,
    `p50 ${digits(p50)} ms, p90 ${digits(p90)} ms, p99 ${digits(p99)} ms, first ${digits(firstMs)} ms`,
    `drift ${digits(drift, 2)}, ${threads} threads, ${vectors}-bit vectors, ${build} kernels`,
    `accuracy check ${right ? "passed" : "failed"}, seed ${seed}`,
    browser,
  ].join("\n");
}

export function MeasurePage() {
  const texts = t();
  const { value: model } = current;
  const [share, setShare] = useState<number>();
  const [result, setResult] = useState<Result>();
  const [problem, setProblem] = useState<unknown>();
  const stop = useRef<AbortController>(undefined);
  if (model === undefined) {
    return (
      <Page title={texts.measure}>
        <p class="lead">{texts.measureText}</p>
        <p class="soft">{texts.needsModel}</p>
        <h2>{texts.models}</h2>
        <Chooser />
      </Page>
    );
  }
  const name = isOwnFile(model.name) ? fileName(model.name) : model.name;
  const run = async (seconds: number): Promise<void> => {
    const controller = new AbortController();
    stop.current = controller;
    setResult(undefined);
    setProblem(undefined);
    setShare(0);
    const lock = await navigator.wakeLock?.request("screen").catch(() => undefined);
    try {
      const { signal } = controller;
      const battery = await onBattery();
      const given = { seconds, seed: SEED, source: model.source };
      const measured = await call("measure", given, { signal, onTell: setShare });
      setResult({
        model: name,
        date: new Date().toISOString(),
        browser: navigator.userAgent,
        cores: navigator.hardwareConcurrency,
        ...(battery !== undefined && { onBattery: battery }),
        ...measured,
      });
    } catch (error) {
      if (!controller.signal.aborted) setProblem(error);
    } finally {
      void lock?.release();
      setShare(undefined);
    }
  };
  return (
    <Page title={texts.measure}>
      <p class="lead">{texts.measureText}</p>
      <p class="soft">{texts.measureModel(name)}</p>
      {share === undefined ? (
        <div class="actions wrap">
          <Button kind="main" icon="measure" onClick={() => void run(SECONDS.quick)}>
            {texts.quick}
          </Button>
          <Button onClick={() => void run(SECONDS.full)}>{texts.full}</Button>
        </div>
      ) : (
        <div class="card measuring">
          <p>{texts.measuring}</p>
          <Bar share={share} label={texts.measure} />
          <Button onClick={() => stop.current!.abort()}>{texts.stop}</Button>
        </div>
      )}
      {problem !== undefined && <Problem text={inWords(problem)} />}
      {!crossOriginIsolated && <p class="soft">{texts.oneThread}</p>}
      {result && <Results result={result} name={model.name} />}
    </Page>
  );
}

function Results({ result, name }: { readonly result: Result; readonly name: string }) {
  const texts = t();
  const ms = (value: number): string => `${digits(value)} ms`;
  const figures = [
    [texts.half, ms(result.p50)],
    [texts.nine, ms(result.p90)],
    [texts.hundred, ms(result.p99)],
    [texts.first, ms(result.firstMs)],
    [texts.drift, result.drift > 1.005 ? percent(result.drift - 1) : texts.none],
    [texts.threads, `${result.threads}`],
    [texts.vectors, texts.bits(result.vectors)],
    [texts.gate, result.right ? texts.gateYes : texts.gateNo],
  ] as const;
  const notes = [
    result.right ? undefined : texts.notRight,
    result.drift > DRIFTS ? texts.notThermal : undefined,
    result.onBattery ? texts.notBattery : undefined,
  ].filter((note) => note !== undefined);
  const others = DEVICES[name] ?? [];
  const bars = [
    { name: texts.thisDevice, ms: result.p50, isThis: true },
    ...others.map((each) => ({ ...each, isThis: false })),
  ];
  const longest = Math.max(...bars.map(({ ms }) => ms));
  return (
    <div class="columns results" aria-live="polite">
      <section class="card">
        <p class="huge figures">{digits(result.perSecond)}</p>
        <p>{texts.aSecond}</p>
        <dl class="figures">
          {figures.map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {notes.map((note) => (
          <p class="warn" key={note}>
            {note}
          </p>
        ))}
        <details>
          <summary>{texts.details}</summary>
          <dl class="figures">
            <div>
              <dt>{texts.kernels}</dt>
              <dd>{result.build}</dd>
            </div>
            <div>
              <dt>{texts.difference}</dt>
              <dd>{result.difference === 0 ? "0" : result.difference.toExponential(1)}</dd>
            </div>
            <div>
              <dt>{texts.seed}</dt>
              <dd>{result.seed}</dd>
            </div>
          </dl>
        </details>
      </section>
      <section class="card">
        <h2>{texts.besides}</h2>
        <p class="soft">{texts.besidesText}</p>
        <ul class="bars">
          {bars.map(({ name, ms, isThis }) => (
            <li key={name} class={isThis ? "this" : ""}>
              <span>{name}</span>
              <span class="figures">{digits(ms)}</span>
              <div style={{ inlineSize: `${(100 * ms) / longest}%` }} />
            </li>
          ))}
        </ul>
        <div class="actions wrap">
          <Button
            onClick={() => {
              navigator.clipboard?.writeText(textOf(result)).then(
                () => say({ text: texts.copied }),
                (error) => say({ text: inWords(error), isError: true }),
              );
            }}
          >
            {texts.copyText}
          </Button>
          <Button
            icon="download"
            onClick={() =>
              save(new Blob([JSON.stringify(result, null, 2)], { type: "application/json" }), "resnet-wasm-speed.json")
            }
          >
            {texts.saveFile}
          </Button>
        </div>
      </section>
    </div>
  );
}
