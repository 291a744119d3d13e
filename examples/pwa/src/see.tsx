/** Point, and read what it is. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Prediction } from "resnet-wasm";
import { bestOf, Smoothed } from "./answers.ts";
import {
  cameraProblem,
  flipCamera,
  frameOf,
  mayStart,
  severalCameras,
  startCamera,
  stopCamera,
  stream,
} from "./camera.ts";
import { SURE } from "./config.ts";
import { call } from "./engine.ts";
import { digits, inWords, percent, t } from "./messages.ts";
import { Chooser } from "./models.tsx";
import { Button, Choice, FileButton, Problem, Thumb } from "./parts.tsx";
import type { Asked, Heat, Looked, Photo, Picture } from "./protocol.ts";
import { Stage } from "./stage.tsx";
import { current, hasTaught, shared, showsSpeed } from "./state.ts";

const IMAGES = "image/*,.heic,.avif";
/** Milliseconds between two spoken answers at least. */
const SPEAK_EVERY = 2000;
/** Milliseconds over which frames are counted. */
const COUNT_OVER = 5000;

/** The photo that is shown instead of the camera. */
const photo = signal<Blob | undefined>(undefined);
const asked = signal<Asked>("model");

export function See() {
  const { value: model } = current;
  useEffect(() => {
    if (shared.value !== undefined) {
      photo.value = shared.value;
      shared.value = undefined;
    }
  }, [shared.value]);
  useEffect(() => {
    const paste = ({ clipboardData }: ClipboardEvent): void => {
      const file = [...(clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (file) photo.value = file;
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, []);
  if (model === undefined) return <Welcome />;
  return <Viewer key={model.name} />;
}

function Welcome() {
  const texts = t();
  return (
    <div class="page welcome">
      <h1 class="large">{texts.welcome}</h1>
      <p class="lead">{texts.welcomeText}</p>
      <p class="soft">{texts.chooseFirst}</p>
      <h2>{texts.models}</h2>
      <Chooser />
    </div>
  );
}

interface Shown {
  readonly rows: readonly Prediction[];
  readonly best: Prediction | undefined;
  readonly ms: number;
  readonly fps?: number;
  readonly heat?: Heat;
}

function Viewer() {
  const texts = t();
  const video = useRef<HTMLVideoElement>(null);
  const smoothed = useRef(new Smoothed());
  const frames = useRef<number[]>([]);
  const [size, setSize] = useState<{ width: number; height: number }>();
  const [shown, setShown] = useState<Shown>();
  const [heatOf, setHeatOf] = useState<string>();
  const [held, setHeld] = useState(false);
  const [strength, setStrength] = useState<number>(0.7);
  const [sliding, setSliding] = useState(false);
  const [similar, setSimilar] = useState<readonly { photo: Photo; score: number }[]>();
  const [problem, setProblem] = useState<unknown>();
  const [url, setUrl] = useState<string>();
  const [over, setOver] = useState(false);
  const { value: file } = photo;
  const { value: live } = stream;
  const question = hasTaught.value ? asked.value : "model";

  const again = (): void => {
    smoothed.current = new Smoothed();
    frames.current = [];
    setShown(undefined);
    setSimilar(undefined);
    setProblem(undefined);
  };

  const take = ({ answers, ms, heat }: Looked, isLive: boolean): void => {
    const now = performance.now();
    const rows = smoothed.current.add(answers, now);
    frames.current = [...frames.current.filter((at) => at > now - COUNT_OVER), now];
    const [first = now] = frames.current;
    const fps = isLive && frames.current.length > 1 ? (1000 * (frames.current.length - 1)) / (now - first) : undefined;
    setShown({ rows, best: bestOf(rows), ms, ...(fps !== undefined && { fps }), ...(heat && { heat }) });
  };

  // The camera starts by itself where it was allowed before.
  useEffect(() => {
    const resume = async (): Promise<void> => {
      if ((await mayStart()) && photo.peek() === undefined && stream.peek() === undefined) await startCamera();
    };
    void resume();
    return stopCamera;
  }, []);

  useEffect(() => {
    if (video.current && live) video.current.srcObject = live;
    setHeld(false);
  }, [live, file]);

  // One frame at a time: what comes while the worker computes is dropped.
  useEffect(() => {
    const { current: element } = video;
    if (file !== undefined || live === undefined || element === null) return;
    again();
    let ended = false;
    const next = (): Promise<unknown> =>
      new Promise((resolve) => {
        if (document.hidden || element.paused) setTimeout(resolve, 100);
        else if ("requestVideoFrameCallback" in element) element.requestVideoFrameCallback(resolve);
        else requestAnimationFrame(resolve);
      });
    const run = async (): Promise<void> => {
      for (let was = false; !ended; await next()) {
        // A held picture is looked at once more, for its heat map.
        if (document.hidden || (element.paused && was)) continue;
        const frame = await frameOf(element);
        if (ended) return frame.close();
        was = element.paused;
        const given = { picture: frame, asked: question, ...(heatOf !== undefined && { heat: heatOf }) };
        const looked = await call("look", given, { transfer: [frame] });
        if (!ended) take(looked, !element.paused);
      }
    };
    run().catch((error) => !ended && setProblem(error));
    return () => {
      ended = true;
    };
  }, [live, file, question, heatOf]);

  useEffect(() => {
    if (file === undefined) return setUrl(undefined);
    const address = URL.createObjectURL(file);
    setUrl(address);
    setSize(undefined);
    return () => URL.revokeObjectURL(address);
  }, [file]);

  useEffect(() => {
    if (file === undefined) return;
    let ended = false;
    const given = { picture: file, asked: question, ...(heatOf !== undefined && { heat: heatOf }) };
    call("look", given).then(
      (looked) => {
        if (ended) return;
        smoothed.current = new Smoothed();
        take(looked, false);
      },
      (error) => !ended && setProblem(error),
    );
    return () => {
      ended = true;
    };
  }, [file, question, heatOf]);

  const open = (next: Blob): void => {
    again();
    setHeatOf(undefined);
    photo.value = next;
  };
  const toCamera = (): void => {
    again();
    setHeatOf(undefined);
    setSize(undefined);
    photo.value = undefined;
    if (live === undefined) void startCamera();
  };
  const hold = (): void => {
    const { current: element } = video;
    if (element === null) return;
    if (element.paused) void element.play();
    else element.pause();
    setHeld(element.paused);
    setSimilar(undefined);
  };
  const findSimilar = async (): Promise<void> => {
    const picture: Picture | undefined = file ?? (video.current ? await frameOf(video.current) : undefined);
    if (picture === undefined) return;
    const transfer = picture instanceof Blob ? [] : [picture];
    setSimilar(await call("similar", { picture }, { transfer }));
  };

  const isCamera = file === undefined && live !== undefined;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: what is dropped can be chosen by a button too
    <div
      class={`see${over ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const [dropped] = event.dataTransfer?.files ?? [];
        if (dropped) open(dropped);
      }}
    >
      <h1 class="hidden">{texts.see}</h1>
      <div class="viewfinder">
        {isCamera && (
          <Stage size={size} fit="cover" heat={shown?.heat} strength={strength}>
            <video
              ref={video}
              autoplay
              muted
              playsInline
              aria-label={texts.cameraPicture}
              onResize={({ currentTarget: { videoWidth: width, videoHeight: height } }) => setSize({ width, height })}
              onLoadedMetadata={({ currentTarget: { videoWidth: width, videoHeight: height } }) =>
                setSize({ width, height })
              }
            />
          </Stage>
        )}
        {file !== undefined && (
          <Stage size={size} fit="contain" heat={shown?.heat} strength={strength}>
            {url !== undefined && (
              <img
                src={url}
                alt={texts.yourPhoto}
                decoding="async"
                onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
                  setSize({ width, height })
                }
              />
            )}
          </Stage>
        )}
        {file === undefined && live === undefined && (
          <div class="begin">
            <Drawing />
            {cameraProblem.value ? <p role="alert">{cameraProblem.value()}</p> : <p>{texts.cameraText}</p>}
            <Button kind="main" icon="camera" onClick={() => void startCamera()}>
              {cameraProblem.value ? texts.tryAgain : texts.startCamera}
            </Button>
          </div>
        )}
        {showsSpeed.value && shown && (
          <p class="speed">
            {texts.speed(digits(shown.ms, 0), shown.fps === undefined ? undefined : digits(shown.fps))}
          </p>
        )}
        <p class="dropping" aria-hidden="true">
          {texts.drop}
        </p>
        <div class="controls">
          <FileButton accept={IMAGES} icon="photo" label={texts.choosePhoto} onFiles={([first]) => open(first!)} />
          {isCamera ? (
            <button
              type="button"
              class="shutter"
              aria-pressed={held}
              aria-label={held ? texts.goOn : texts.hold}
              title={held ? texts.goOn : texts.hold}
              onClick={hold}
            />
          ) : (
            <span class="no-shutter" />
          )}
          {isCamera && severalCameras.value && (
            <Button icon="flip" label={texts.flip} onClick={() => void flipCamera()} />
          )}
          {file !== undefined && <Button icon="camera" label={texts.backToCamera} onClick={toCamera} />}
          {((isCamera && !severalCameras.value) || (file === undefined && live === undefined)) && (
            <span class="no-button" />
          )}
        </div>
      </div>
      <section class="panel" aria-label={texts.answers}>
        {hasTaught.value && (
          <Choice
            label={texts.answers}
            names={{ model: texts.everyday, taught: texts.mine }}
            value={question}
            onChange={(name) => {
              setHeatOf(undefined);
              asked.value = name;
            }}
          />
        )}
        {problem !== undefined ? (
          <Problem
            text={inWords(problem)}
            action={
              <FileButton accept={IMAGES} icon="photo" onFiles={([first]) => open(first!)}>
                {texts.choosePhoto}
              </FileButton>
            }
          />
        ) : shown === undefined ? (
          isCamera || file !== undefined ? (
            <p class="answer soft">{texts.looking}</p>
          ) : (
            <Idle />
          )
        ) : (
          <Answers
            shown={shown}
            heatOf={heatOf}
            canHeat={question === "model"}
            onRow={(label) => setHeatOf(label === heatOf ? undefined : label)}
            onStrength={() => setSliding(!sliding)}
          />
        )}
        {sliding && heatOf !== undefined && (
          <label class="field">
            {texts.strength}
            <input
              type="range"
              min="0"
              max="1"
              step="0.05"
              value={strength}
              onInput={({ currentTarget }) => setStrength(Number(currentTarget.value))}
            />
          </label>
        )}
        {(held || file !== undefined) && shown && hasTaught.value && similar === undefined && (
          <Button icon="similar" onClick={() => void findSimilar().catch(setProblem)}>
            {texts.likeThis}
          </Button>
        )}
        {similar !== undefined && (
          <ul class="similar">
            {similar.map(({ photo: { id, label }, score }) => (
              <li key={id}>
                <Thumb id={id} alt={label} />
                <span>
                  {label} {percent(Math.max(0, score))}
                </span>
              </li>
            ))}
          </ul>
        )}
      </section>
      <Spoken best={shown?.best} />
    </div>
  );
}

/** Three photos, for places that are empty. */
export function Drawing() {
  return (
    <svg class="drawing" viewBox="0 0 120 72" aria-hidden="true">
      <g transform="rotate(-9 30 40)">
        <rect x="8" y="16" width="44" height="44" rx="6" />
        <path d="M16 50l10-14 8 9 5-5 7 10" />
      </g>
      <g transform="rotate(9 90 40)">
        <rect x="68" y="16" width="44" height="44" rx="6" />
        <path d="M90 50V34M90 40c-9 0-9-8-9-8 9-1 9 8 9 8zM90 38c8 0 9-7 9-7-8-1-9 7-9 7z" />
      </g>
      <rect class="front" x="36" y="10" width="48" height="48" rx="6" />
      <path
        class="over"
        d="M48 30h20v10a8 8 0 0 1-8 8h-4a8 8 0 0 1-8-8zM68 33h3a4 4 0 0 1 0 8h-3M54 25c0-3 3-3 3-6M61 25c0-3 3-3 3-6"
      />
    </svg>
  );
}

function Idle() {
  const { name, opened } = current.value!;
  const texts = t();
  return (
    <div class="idle">
      <p class="answer soft">{texts.welcome}</p>
      <p class="soft">
        {name.replace(/^file:/, "")}, {texts.names(opened.classes)}
      </p>
    </div>
  );
}

function Answers({
  shown,
  heatOf,
  canHeat,
  onRow,
  onStrength,
}: {
  readonly shown: Shown;
  readonly heatOf: string | undefined;
  readonly canHeat: boolean;
  readonly onRow: (label: string) => void;
  readonly onStrength: () => void;
}) {
  const texts = t();
  const { best, rows } = shown;
  const isSure = best !== undefined && best.probability >= SURE;
  return (
    <>
      <p class={isSure ? "answer" : "answer soft"}>{isSure ? best.label : texts.notSure}</p>
      <ul class="rows">
        {rows.map(({ label, probability }) => (
          <li key={label}>
            <button
              type="button"
              class="row"
              aria-pressed={heatOf === label}
              disabled={!canHeat}
              title={canHeat ? texts.showWhere(label) : undefined}
              onClick={() => onRow(label)}
              onContextMenu={(event) => {
                event.preventDefault();
                onStrength();
              }}
            >
              <span class="name">{label}</span>
              <span class="value">{percent(probability)}</span>
              <span class="level" style={{ transform: `scaleX(${probability})` }} />
            </button>
          </li>
        ))}
      </ul>
      <p class="hint soft">
        {!isSure ? texts.notSureText : canHeat && heatOf === undefined ? texts.whereHint : "\u00a0"}
      </p>
    </>
  );
}

/** Tells a screen reader a new best answer, at most once in two seconds. */
function Spoken({ best }: { readonly best: Prediction | undefined }) {
  const [text, setText] = useState("");
  const last = useRef({ at: 0, label: "" });
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const label = best === undefined ? "" : best.probability < SURE ? t().notSure : best.label;
  useEffect(() => {
    if (label === "" || label === last.current.label) return;
    const wait = Math.max(0, last.current.at + SPEAK_EVERY - performance.now());
    timer.current = setTimeout(() => {
      last.current = { at: performance.now(), label };
      setText(label);
    }, wait);
    return () => clearTimeout(timer.current);
  }, [label]);
  return (
    <p class="hidden" aria-live="polite" role="status">
      {text}
    </p>
  );
}
