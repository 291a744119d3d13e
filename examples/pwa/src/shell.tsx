/** The four places, and what stands over all of them. */
import { useEffect, useRef } from "preact/hooks";
import { Icon, type IconName } from "./icons.tsx";
import { MeasurePage } from "./measure.tsx";
import { LANGUAGES, type Language, language, t } from "./messages.ts";
import { Models } from "./models.tsx";
import { Button } from "./parts.tsx";
import { See } from "./see.tsx";
import {
  LOOKS,
  look,
  online,
  setLanguage,
  setLook,
  setShowsSpeed,
  showsSpeed,
  TABS,
  type Tab,
  tab,
  toast,
  update,
} from "./state.ts";
import { Teach } from "./teach.tsx";

const PLACES: Readonly<Record<Tab, () => preact.JSX.Element>> = {
  see: See,
  teach: Teach,
  models: Models,
  measure: MeasurePage,
};
const ICONS: Readonly<Record<Tab, IconName>> = { see: "see", teach: "teach", models: "models", measure: "measure" };

export function App() {
  const texts = t();
  const { value: open } = tab;
  const Place = PLACES[open];
  const settings = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    document.title = `${texts[open]} · Spotter`;
  }, [texts, open]);
  return (
    <>
      <nav aria-label={texts.places}>
        {TABS.map((name) => (
          <a key={name} href={`#${name}`} aria-current={name === open ? "page" : undefined}>
            <Icon name={ICONS[name]} />
            <span>{texts[name]}</span>
          </a>
        ))}
        <button type="button" onClick={() => settings.current!.showModal()}>
          <Icon name="settings" />
          <span>{texts.settings}</span>
        </button>
      </nav>
      <main key={open}>
        {!online.value && (
          <p class="offline">
            <Icon name="offline" /> {texts.offline}
          </p>
        )}
        <Place />
      </main>
      <Notices />
      <dialog ref={settings} aria-labelledby="settings">
        <header>
          <h2 id="settings">{texts.settings}</h2>
          <Button icon="close" kind="quiet" label={texts.close} onClick={() => settings.current!.close()} />
        </header>
        <Settings />
      </dialog>
    </>
  );
}

function Settings() {
  const texts = t();
  const looks = { system: texts.lookSystem, light: texts.lookLight, dark: texts.lookDark };
  return (
    <>
      <label class="field">
        {texts.language}
        <select value={language.value} onChange={({ currentTarget: { value } }) => setLanguage(value as Language)}>
          {Object.entries(LANGUAGES).map(([name, text]) => (
            <option key={name} value={name} lang={name}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        {texts.look}
        <select
          value={look.value}
          onChange={({ currentTarget: { value } }) => setLook(LOOKS.find((name) => name === value)!)}
        >
          {LOOKS.map((name) => (
            <option key={name} value={name}>
              {looks[name]}
            </option>
          ))}
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={showsSpeed.value}
          onChange={({ currentTarget: { checked } }) => setShowsSpeed(checked)}
        />
        {texts.showSpeed}
      </label>
    </>
  );
}

/** What happened, and what can be done about it. */
function Notices() {
  const texts = t();
  const { value: said } = toast;
  return (
    <div class="notices" role="status">
      {update.value && (
        <div class="notice update">
          <span>{texts.updateReady}</span>
          <Button
            kind="quiet"
            onClick={() => {
              update.value = undefined;
            }}
          >
            {texts.later}
          </Button>
          <Button kind="quiet" onClick={() => update.value!.postMessage("take over")}>
            {texts.updateNow}
          </Button>
        </div>
      )}
      {said && (
        <div class={said.isError ? "notice error" : "notice"}>
          <span>{said.text}</span>
          {said.action && (
            <Button
              kind="quiet"
              onClick={() => {
                const { run } = said.action!;
                toast.value = undefined;
                run();
              }}
            >
              {said.action.text}
            </Button>
          )}
          <Button
            icon="close"
            kind="quiet"
            label={texts.close}
            onClick={() => {
              toast.value = undefined;
            }}
          />
        </div>
      )}
    </div>
  );
}
