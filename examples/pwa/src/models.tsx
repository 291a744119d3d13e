/** What is on the device: models, photos, storage. */

import { useEffect, useState } from "preact/hooks";
import { PRETRAINED } from "resnet-wasm";
import { OFFERED } from "./config.ts";
import { call } from "./engine.ts";
import { inWords, megabytes, percent, t } from "./messages.ts";
import { Bar, Button, FileButton, Page, Problem } from "./parts.tsx";
import {
  current,
  failed,
  fileName,
  forgetAll,
  forgetModel,
  isOwnFile,
  lesson,
  onDevice,
  openFile,
  opening,
  openModel,
  ownFiles,
  paused,
  pauseOpening,
  removeFile,
  say,
} from "./state.ts";

/** What the library takes of memory when nothing else is said: for f32 twice the weights, for int8 two and a half times. */
function memoryOf(name: string, bytes: number): number {
  return name.endsWith("-int8") ? Math.max(64e6, 2.5 * bytes) : Math.max(180e6, 2 * bytes);
}

/** Where the browser tells how much memory there is, no model should take more than a quarter. */
function isTooLarge(memory: number): boolean {
  const { deviceMemory } = navigator as { readonly deviceMemory?: number };
  return deviceMemory !== undefined && memory > deviceMemory * 0.25e9;
}

/** The models to choose from, and a file of one's own. */
export function Chooser() {
  const texts = t();
  return (
    <>
      <Troubles />
      <ul class="models">
        {OFFERED.filter((name) => name !== current.value?.name).map((name) => (
          <Offer key={name} name={name} />
        ))}
        {ownFiles.value
          .filter(({ name }) => current.value?.name !== `file:${name}`)
          .map(({ name, bytes }) => (
            <li key={name} class="card model">
              <div>
                <h3>{name}</h3>
                <p class="soft">{megabytes(bytes)}</p>
              </div>
              <div class="actions">
                <Button
                  icon="remove"
                  kind="quiet"
                  label={texts.removeModel(name)}
                  onClick={() => void removeFile(name)}
                />
                <Button onClick={() => void openModel(`file:${name}`)}>{texts.use}</Button>
              </div>
            </li>
          ))}
        <li class="card model">
          <div>
            <h3>{texts.file}</h3>
            <p class="soft">{texts.fileText}</p>
          </div>
          <div class="actions">
            <FileButton
              accept=".safetensors,.pth,.pt,.bin,.onnx"
              icon="file"
              onFiles={([file]) => void openFile(file!)}
            >
              {texts.openFile}
            </FileButton>
          </div>
        </li>
      </ul>
    </>
  );
}

function Troubles() {
  const { value: trouble } = failed;
  if (trouble === undefined) return null;
  const { name, error } = trouble;
  const again = name !== "" && !isOwnFile(name);
  return (
    <Problem
      text={name === "" ? inWords(error) : `${isOwnFile(name) ? fileName(name) : name}: ${inWords(error)}`}
      action={again && <Button onClick={() => void openModel(name)}>{t().tryAgain}</Button>}
    />
  );
}

function Offer({ name }: { readonly name: (typeof OFFERED)[number] }) {
  const texts = t();
  const { bytes, top1, measured, source } = PRETRAINED[name]!;
  const memory = memoryOf(name, bytes);
  const { value: way } = opening;
  const before = paused.value[name];
  const made = source.startsWith("int8:") ? source.slice("int8:".length) : undefined;
  const isHere = onDevice.value.includes(name);
  const right = top1 ?? measured?.top1;
  const from = made === undefined ? "" : megabytes(PRETRAINED[made]!.bytes);
  return (
    <li class="card model">
      <div>
        <h3>{name}</h3>
        <p class="soft">
          {made === undefined
            ? texts.needs(megabytes(bytes), megabytes(memory))
            : texts.makes(megabytes(bytes), from, megabytes(memory))}
        </p>
        <p class="soft">
          {right !== undefined && texts.accuracy(percent(right / 100))}
          {isHere && ` · ${texts.onDevice}`}
          {before !== undefined && ` · ${texts.paused(megabytes(before.done))}`}
        </p>
        {isTooLarge(memory) && <p class="warn">{texts.tooLarge}</p>}
      </div>
      {way?.name === name ? (
        <Opening />
      ) : (
        <div class="actions">
          {(isHere || before !== undefined) && (
            <Button icon="remove" kind="quiet" label={texts.removeModel(name)} onClick={() => void forgetModel(name)} />
          )}
          <Button
            icon={isHere ? "check" : before ? "play" : "download"}
            label={`${isHere ? texts.use : before ? texts.resume : texts.download}: ${name}`}
            onClick={() => void openModel(name)}
          >
            {isHere ? texts.use : before ? texts.resume : texts.download}
          </Button>
        </div>
      )}
    </li>
  );
}

/** A model on its way. */
function Opening() {
  const texts = t();
  const { name, progress } = opening.value!;
  const { done, total } = progress ?? { done: 0 };
  return (
    <div class="opening">
      <Bar share={total === undefined ? undefined : done / total} label={texts.loadingModel(name)} />
      <span class="soft figures">
        {texts.ofBytes(megabytes(done), total === undefined ? undefined : megabytes(total))}
      </span>
      <Button icon="pause" onClick={pauseOpening}>
        {texts.pause}
      </Button>
    </div>
  );
}

export function Models() {
  const texts = t();
  const { value: model } = current;
  return (
    <Page title={texts.models}>
      <div class="columns">
        <div>
          {model && (
            <section>
              <h2>{texts.inUse}</h2>
              <div class="card model used">
                <div>
                  <h3>{isOwnFile(model.name) ? fileName(model.name) : model.name}</h3>
                  <p class="soft">
                    {texts.names(model.opened.classes)} · {megabytes(model.opened.memoryBytes)}
                  </p>
                  <details>
                    <summary>{texts.details}</summary>
                    <dl>
                      <dt>{texts.kernels}</dt>
                      <dd>{model.opened.build}</dd>
                      <dt>{texts.vectors}</dt>
                      <dd>{texts.bits(model.opened.vectors)}</dd>
                      <dt>{texts.threads}</dt>
                      <dd>{model.opened.threads}</dd>
                    </dl>
                  </details>
                </div>
              </div>
            </section>
          )}
          <section>
            <h2>{texts.toChoose}</h2>
            <Chooser />
          </section>
        </div>
        <div>
          <YourClasses />
          <Storage />
        </div>
      </div>
    </Page>
  );
}

/** Gives a file to the user. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function YourClasses() {
  const texts = t();
  const { photos } = lesson.value;
  const [share, setShare] = useState<number>();
  const run = async (
    work: (onTell: (progress: { done: number; total?: number }) => void) => Promise<void>,
  ): Promise<void> => {
    setShare(0);
    try {
      await work(({ done, total }) => setShare(total === undefined ? undefined : done / total));
    } catch (error) {
      say({ text: inWords(error), isError: true });
    } finally {
      setShare(undefined);
    }
  };
  return (
    <section>
      <h2>{texts.yourClasses}</h2>
      <div class="card">
        <p>{texts.photos(photos.length)}</p>
        <p class="soft">{texts.yourClassesText}</p>
        {share !== undefined && <Bar share={share} label={texts.yourClasses} />}
        <div class="actions wrap">
          <Button
            icon="download"
            disabled={photos.length === 0}
            onClick={() =>
              void run(async (onTell) => save(await call("exportPhotos", undefined, { onTell }), "spotter.zip"))
            }
          >
            {texts.exportPhotos}
          </Button>
          <Button
            icon="download"
            disabled={lesson.value.judged === undefined}
            onClick={() => void run(async () => save(await call("exportModel", undefined), "spotter.safetensors"))}
          >
            {texts.exportModel}
          </Button>
          <FileButton
            accept=".zip"
            icon="add"
            onFiles={([file]) =>
              void run(async (onTell) => {
                lesson.value = await call("importPhotos", { file: file! }, { onTell });
                say({ text: texts.imported(lesson.value.photos.length) });
              })
            }
          >
            {texts.importPhotos}
          </FileButton>
        </div>
      </div>
    </section>
  );
}

function Storage() {
  const texts = t();
  const [estimate, setEstimate] = useState<StorageEstimate>();
  const [isSafe, setSafe] = useState<boolean>();
  const [refused, setRefused] = useState(false);
  const [asks, setAsks] = useState(false);
  useEffect(() => {
    const { storage } = navigator;
    storage?.estimate().then(setEstimate, () => {});
    storage?.persisted().then(setSafe, () => {});
  }, [current.value, lesson.value, ownFiles.value]);
  const { usage = 0, quota = 0 } = estimate ?? {};
  const persist = async (): Promise<void> => {
    const agreed = await navigator.storage.persist().catch(() => false);
    setSafe(agreed);
    setRefused(!agreed);
  };
  return (
    <section>
      <h2>{texts.storage}</h2>
      <div class="card">
        {estimate && (
          <>
            <p class="figures">{texts.used(megabytes(usage), megabytes(quota - usage))}</p>
            <div class="bar" aria-hidden="true">
              <div style={{ inlineSize: `${quota === 0 ? 0 : (100 * usage) / quota}%` }} />
            </div>
          </>
        )}
        {!lesson.value.kept && <p class="warn">{texts.notKept}</p>}
        {isSafe !== undefined && (
          <p class="soft">{isSafe ? texts.keptSafe : refused ? texts.notSafeNow : texts.notSafe}</p>
        )}
        <p class="soft">{texts.worksText}</p>
        <div class="actions wrap">
          {isSafe === false && (
            <Button icon="safe" onClick={() => void persist()}>
              {texts.keepSafe}
            </Button>
          )}
          {!asks && (
            <Button icon="remove" onClick={() => setAsks(true)}>
              {texts.forgetAll}
            </Button>
          )}
        </div>
        {asks && (
          <div class="problem" role="alertdialog" aria-label={texts.forgetAll}>
            <p>{texts.forgetSure}</p>
            <div class="actions wrap">
              <Button onClick={() => setAsks(false)}>{texts.cancel}</Button>
              <Button kind="danger" icon="remove" onClick={() => void forgetAll()}>
                {texts.forgetYes}
              </Button>
            </div>
          </div>
        )}
      </div>
    </section>
  );
}
