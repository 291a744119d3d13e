/** Classes of one's own: photos, how well they are told apart, and the mistakes. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { cameraProblem, frameOf, startCamera, stopCamera, stream } from "./camera.ts";
import { FEW } from "./config.ts";
import { call } from "./engine.ts";
import { inWords, language, percent, t } from "./messages.ts";
import { Chooser } from "./models.tsx";
import { Bar, Button, FileButton, Page, Thumb } from "./parts.tsx";
import type { Judged, Lesson, Photo } from "./protocol.ts";
import { Drawing } from "./see.tsx";
import { current, go, lesson, place, say } from "./state.ts";

const IMAGES = "image/*,.heic,.avif";
/** Milliseconds between two photos of a burst. */
const BURST_EVERY = 125;
/** Milliseconds after which a press is a burst. */
const HOLD_AFTER = 300;
/** Photos of a burst that may wait for the worker. */
const MOST_WAITING = 2;
/** Place of the table of mistakes; no class has this name, because names are trimmed. */
const MISTAKES = " ";

/** Changes the lesson, and says what went wrong. */
async function change(next: Promise<Lesson>): Promise<boolean> {
  try {
    lesson.value = await next;
    return true;
  } catch (error) {
    say({ text: inWords(error), isError: true });
    return false;
  }
}

async function removePhotos(ids: readonly string[], text: string): Promise<void> {
  if (!(await change(call("remove", { ids })))) return;
  say({ text, action: { text: t().undo, run: () => void change(call("restore", { ids })) } });
}

async function movePhotos(photos: readonly Photo[], label: string): Promise<void> {
  const before = Map.groupBy(photos, (photo) => photo.label);
  if (!(await change(call("relabel", { ids: photos.map(({ id }) => id), label })))) return;
  const undo = async (): Promise<void> => {
    for (const [from, moved] of before) await change(call("relabel", { ids: moved.map(({ id }) => id), label: from }));
  };
  say({ text: t().moved(photos.length, label), action: { text: t().undo, run: () => void undo() } });
}

async function addFiles(
  files: readonly File[],
  label: string,
  tell: (share: number | undefined) => void,
): Promise<void> {
  for (const [i, picture] of files.entries()) {
    tell(i / files.length);
    try {
      await call("add", { picture, label });
    } catch (error) {
      say({ text: `${picture.name}: ${inWords(error)}`, isError: true });
    }
  }
  tell(undefined);
  await change(call("lesson", undefined));
}

export function Teach() {
  const texts = t();
  const { value: within } = place;
  useEffect(() => stopCamera, []);
  if (current.value === undefined) {
    return (
      <Page title={texts.teach}>
        <p class="lead">{texts.teachText}</p>
        <p class="soft">{texts.needsModel}</p>
        <h2>{texts.models}</h2>
        <Chooser />
      </Page>
    );
  }
  if (within === MISTAKES) return <Mistakes />;
  if (within !== undefined && lesson.value.classes.includes(within)) return <Class key={within} name={within} />;
  return <Classes />;
}

function Classes() {
  const texts = t();
  const { classes, photos, kept, waiting } = lesson.value;
  const video = useRef<HTMLVideoElement>(null);
  const { value: live } = stream;
  useEffect(() => {
    if (video.current && live) video.current.srcObject = live;
  }, [live]);
  return (
    <Page title={texts.teach}>
      {!kept && <p class="warn">{texts.notKept}</p>}
      <div class="teach">
        <div class="side">
          {live ? (
            <div class="preview">
              <video ref={video} autoplay muted playsInline aria-label={texts.cameraPicture} />
              <Button icon="close" label={texts.stopCamera} onClick={stopCamera} />
            </div>
          ) : (
            classes.length > 0 && (
              <div class="no-preview">
                {cameraProblem.value && <p role="alert">{cameraProblem.value()}</p>}
                <Button icon="camera" onClick={() => void startCamera()}>
                  {texts.startCamera}
                </Button>
              </div>
            )
          )}
          {photos.length > 0 && <Score />}
          {waiting > 0 && <p class="soft">{texts.lookingAgain(waiting)}</p>}
        </div>
        <div class="main">
          {classes.length === 0 && (
            <div class="begin">
              <Drawing />
              <p class="lead">{texts.teachText}</p>
              <p class="soft">{texts.teachEmpty}</p>
            </div>
          )}
          <ul class="classes">
            {classes.map((name) => (
              <ClassCard key={name} name={name} video={() => video.current ?? undefined} />
            ))}
          </ul>
          <NewClass />
        </div>
      </div>
    </Page>
  );
}

function NewClass() {
  const texts = t();
  const [name, setName] = useState("");
  return (
    <form
      class="new-class"
      onSubmit={(event) => {
        event.preventDefault();
        const trimmed = name.trim();
        if (trimmed === "") return;
        setName("");
        void change(call("addClass", { name: trimmed }));
      }}
    >
      <label class="field">
        {texts.newClass}
        <input
          value={name}
          maxLength={60}
          placeholder={texts.className}
          onInput={({ currentTarget }) => setName(currentTarget.value)}
        />
      </label>
      <button type="submit" class="button main" disabled={name.trim() === ""}>
        <span>{texts.add}</span>
      </button>
    </form>
  );
}

/** Of each class how many photos are told right, by the others. */
function worstOf({ classes, photos, judged = [] }: Lesson): { readonly few?: string; readonly taken?: Judged } {
  const counts = new Map(classes.map((name) => [name, photos.filter(({ label }) => label === name).length]));
  const few = [...counts].filter(([, n]) => n < FEW).sort(([, a], [, b]) => a - b)[0]?.[0];
  const wrong = judged.filter(({ label, predicted }) => label !== predicted);
  const taken = wrong.length > judged.length / 10 ? wrong[0] : undefined;
  return { ...(few !== undefined && { few }), ...(taken && { taken }) };
}

/** How sure the model is of itself. */
function Score() {
  const texts = t();
  const { judged, accuracy } = lesson.value;
  if (judged === undefined || accuracy === undefined) return <p class="soft score">{texts.rightNone}</p>;
  const right = judged.filter(({ label, predicted }) => label === predicted).length;
  const { few, taken } = worstOf(lesson.value);
  const advice = few !== undefined ? texts.needsMore(few) : taken && texts.oftenTaken(taken.label, taken.predicted);
  return (
    <div class="card score">
      <div>
        <p class="figures">
          <strong>{percent(accuracy)}</strong>
        </p>
        <p class="soft figures">{texts.rightOf(right, judged.length)}</p>
        {advice !== undefined && <p class="soft">{advice}</p>}
      </div>
      <Button onClick={() => go("teach", MISTAKES)}>{texts.mistakes}</Button>
    </div>
  );
}

function ClassCard({ name, video }: { readonly name: string; readonly video: () => HTMLVideoElement | undefined }) {
  const texts = t();
  const photos = lesson.value.photos.filter(({ label }) => label === name);
  const newest = photos.at(-1);
  const [over, setOver] = useState(false);
  const [share, setShare] = useState<number>();
  return (
    <li
      class={`card class${over ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const moved = event.dataTransfer?.getData("text/x-photo");
        const photo = moved ? lesson.value.photos.find(({ id }) => id === moved) : undefined;
        if (photo) return void movePhotos([photo], name);
        const files = [...(event.dataTransfer?.files ?? [])];
        if (files.length > 0) void addFiles(files, name, setShare);
      }}
    >
      <a class="cover" href={`#teach/${encodeURIComponent(name)}`}>
        {newest ? (
          <Thumb id={newest.id} alt="" />
        ) : (
          <div class="thumb empty">
            <Drawing />
          </div>
        )}
        <span class="name">{name}</span>
        <span class="soft figures">{texts.photos(photos.length)}</span>
      </a>
      {share !== undefined && <Bar share={share} label={texts.addFilesTo(name)} />}
      <div class="actions">
        <FileButton
          accept={IMAGES}
          multiple
          icon="photo"
          label={texts.addFilesTo(name)}
          onFiles={(files) => void addFiles(files, name, setShare)}
        />
        {stream.value && <Record name={name} video={video} />}
      </div>
    </li>
  );
}

/** Hold for many photos, tap for one. */
function Record({ name, video }: { readonly name: string; readonly video: () => HTMLVideoElement | undefined }) {
  const texts = t();
  const [count, setCount] = useState(0);
  const [on, setOn] = useState(false);
  const timers = useRef<{ wait?: ReturnType<typeof setTimeout>; burst?: ReturnType<typeof setInterval> }>({});
  const waiting = useRef(0);
  const shoot = async (): Promise<void> => {
    const element = video();
    if (element === undefined || waiting.current >= MOST_WAITING) return;
    ++waiting.current;
    try {
      const picture = await frameOf(element);
      await call("add", { picture, label: name }, { transfer: [picture] });
      setCount((before) => before + 1);
      navigator.vibrate?.(8);
    } catch (error) {
      stop();
      say({ text: inWords(error), isError: true });
    } finally {
      --waiting.current;
    }
  };
  const start = (): void => {
    if (on) return;
    setOn(true);
    setCount(0);
    void shoot();
    timers.current.wait = setTimeout(() => {
      timers.current.burst = setInterval(() => void shoot(), BURST_EVERY);
    }, HOLD_AFTER);
  };
  const stop = (): void => {
    clearTimeout(timers.current.wait);
    clearInterval(timers.current.burst);
    setOn(false);
  };
  useEffect(() => stop, []);
  return (
    <button
      type="button"
      class={`record${on ? " on" : ""}`}
      aria-label={texts.record(name)}
      title={texts.record(name)}
      onPointerDown={({ button, currentTarget, pointerId }) => {
        if (button !== 0) return;
        currentTarget.setPointerCapture(pointerId);
        start();
      }}
      onPointerUp={stop}
      onPointerCancel={stop}
      onContextMenu={(event) => event.preventDefault()}
      onKeyDown={(event) => {
        if (event.key !== " " && event.key !== "Enter") return;
        event.preventDefault();
        if (!event.repeat) start();
      }}
      onKeyUp={stop}
      onBlur={stop}
    >
      {on ? count : ""}
    </button>
  );
}

/** What the others think of a photo, where they doubt. */
function doubts(judged: readonly Judged[] | undefined): ReadonlyMap<string, Judged> {
  return new Map(judged?.filter(({ label, predicted }) => label !== predicted).map((each) => [each.id, each]));
}

/** Photos that can be chosen, deleted and moved. */
function Photos({ photos }: { readonly photos: readonly Photo[] }) {
  const texts = t();
  const { classes, judged } = lesson.value;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const wrong = useMemo(() => doubts(judged), [judged]);
  const picked = photos.filter(({ id }) => chosen.has(id));
  const toggle = (id: string): void => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const remove = (): void => {
    setChosen(new Set());
    void removePhotos(
      picked.map(({ id }) => id),
      texts.removed(picked.length),
    );
  };
  const time = new Intl.DateTimeFormat(language.value, { dateStyle: "short", timeStyle: "medium" });
  if (photos.length === 0) return <p class="soft">{texts.noPhotosYet}</p>;
  return (
    <>
      <ul
        class="photos"
        onKeyDown={({ key }) => (key === "Delete" || key === "Backspace") && picked.length > 0 && remove()}
      >
        {photos.map((photo) => {
          const doubt = wrong.get(photo.id);
          return (
            <li key={photo.id}>
              <button
                type="button"
                class={doubt ? "photo doubt" : "photo"}
                aria-pressed={chosen.has(photo.id)}
                aria-label={[
                  texts.photoOf(photo.label, time.format(photo.at)),
                  doubt && texts.doubtful(doubt.predicted),
                ]
                  .filter(Boolean)
                  .join(", ")}
                draggable
                onDragStart={({ dataTransfer }) => dataTransfer?.setData("text/x-photo", photo.id)}
                onClick={() => toggle(photo.id)}
              >
                <Thumb id={photo.id} alt="" />
                {doubt && <span class="remark">{texts.doubtful(doubt.predicted)}</span>}
              </button>
            </li>
          );
        })}
      </ul>
      {picked.length > 0 && (
        <fieldset class="tray" aria-label={texts.selected(picked.length)}>
          <span class="figures">{texts.selected(picked.length)}</span>
          <select
            aria-label={texts.move}
            value=""
            onChange={({ currentTarget: { value } }) => {
              setChosen(new Set());
              void movePhotos(picked, value);
            }}
          >
            <option value="" disabled>
              {texts.move}
            </option>
            {classes.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
          <Button icon="remove" label={texts.removePhotos} onClick={remove} />
        </fieldset>
      )}
    </>
  );
}

function Class({ name }: { readonly name: string }) {
  const texts = t();
  const [share, setShare] = useState<number>();
  const [next, setNext] = useState(name);
  const photos = lesson.value.photos.filter(({ label }) => label === name).toReversed();
  const rename = async (): Promise<void> => {
    const to = next.trim();
    if (to === "" || to === name) return;
    if (await change(call("rename", { from: name, to }))) go("teach", to);
  };
  const remove = async (): Promise<void> => {
    const ids = photos.map(({ id }) => id);
    if (!(await change(call("removeClass", { name })))) return;
    go("teach");
    const undo = async (): Promise<void> => {
      await change(call("addClass", { name }));
      await change(call("restore", { ids }));
    };
    say({ text: texts.classRemoved(name), action: { text: texts.undo, run: () => void undo() } });
  };
  return (
    <Page title={name} back={() => go("teach")}>
      <p class="soft figures">{texts.photos(photos.length)}</p>
      {share !== undefined && <Bar share={share} label={texts.addFilesTo(name)} />}
      <div class="tools">
        <form
          class="new-class"
          onSubmit={(event) => {
            event.preventDefault();
            void rename();
          }}
        >
          <label class="field">
            {texts.className}
            <input value={next} maxLength={60} onInput={({ currentTarget }) => setNext(currentTarget.value)} />
          </label>
          <button type="submit" class="button plain" disabled={next.trim() === "" || next.trim() === name}>
            <span>{texts.rename}</span>
          </button>
        </form>
        <div class="actions wrap">
          <FileButton accept={IMAGES} multiple icon="photo" onFiles={(files) => void addFiles(files, name, setShare)}>
            {texts.addFiles}
          </FileButton>
          <Button icon="remove" onClick={() => void remove()}>
            {texts.removeClass}
          </Button>
        </div>
      </div>
      <Photos photos={photos} />
    </Page>
  );
}

/** What photos are, and what they are taken for. */
function Mistakes() {
  const texts = t();
  const { classes, photos, judged = [] } = lesson.value;
  const [cell, setCell] = useState<readonly [string, string]>();
  const byId = new Map(photos.map((photo) => [photo.id, photo]));
  const at = (label: string, predicted: string): readonly Judged[] =>
    judged.filter((each) => each.label === label && each.predicted === predicted);
  const shown = cell ? at(...cell).flatMap(({ id }) => byId.get(id) ?? []) : [];
  const wrong = judged.some(({ label, predicted }) => label !== predicted);
  const cellText = (label: string, predicted: string, n: number): string =>
    label === predicted ? texts.areRight(label, n) : texts.isTakenFor(label, predicted, n);
  return (
    <Page title={texts.mistakes} back={() => go("teach")}>
      <p class="soft">{wrong ? texts.mistakesText : texts.mistakesNone}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="table" tabIndex={0} aria-label={texts.mistakes}>
        <table>
          <thead>
            <tr>
              <td />
              {classes.map((name) => (
                <th key={name} scope="col">
                  <span>{name}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {classes.map((label) => (
              <tr key={label}>
                <th scope="row">
                  <span>{label}</span>
                </th>
                {classes.map((predicted) => {
                  const n = at(label, predicted).length;
                  const isOpen = cell?.[0] === label && cell[1] === predicted;
                  return (
                    <td key={predicted} class={label === predicted ? "right" : n > 0 ? "wrong" : ""}>
                      {n > 0 && (
                        <button
                          type="button"
                          aria-pressed={isOpen}
                          aria-label={cellText(label, predicted, n)}
                          onClick={() => setCell(isOpen ? undefined : [label, predicted])}
                        >
                          {n}
                        </button>
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {cell && shown.length > 0 && (
        <section>
          <h2>{cellText(...cell, shown.length)}</h2>
          <Photos photos={shown} />
        </section>
      )}
    </Page>
  );
}
