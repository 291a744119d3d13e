/** What the whole app knows: signals, and what changes them. */
import { computed, signal } from "@preact/signals";
import { DEFAULT_MODEL } from "./config.ts";
import { call, whenLessonChanges } from "./engine.ts";
import { LANGUAGES, type Language, language } from "./messages.ts";
import type { Lesson, Opened, Progress } from "./protocol.ts";

export const TABS = ["see", "teach", "models", "measure"] as const;
export type Tab = (typeof TABS)[number];
export const LOOKS = ["system", "light", "dark"] as const;
export type Look = (typeof LOOKS)[number];

/** Settings, which a browser may refuse to keep. */
const settings = {
  get(key: string): string | undefined {
    try {
      return localStorage.getItem(`spotter.${key}`) ?? undefined;
    } catch {
      return undefined;
    }
  },
  set(key: string, value: string | undefined): void {
    try {
      if (value === undefined) localStorage.removeItem(`spotter.${key}`);
      else localStorage.setItem(`spotter.${key}`, value);
    } catch {}
  },
};

export const tab = signal<Tab>("see");
/** What is open in a tab: a class, or the mistakes. */
export const place = signal<string | undefined>(undefined);
export const look = signal<Look>("system");
export const showsSpeed = signal(settings.get("speed") !== "no");
export const online = signal(navigator.onLine);

export interface Current {
  readonly name: string;
  readonly source: string | Blob;
  readonly opened: Opened;
}
/** The model in use. */
export const current = signal<Current | undefined>(undefined);
/** The model on its way. */
export const opening = signal<{ readonly name: string; readonly progress?: Progress } | undefined>(undefined);
/** Downloads that were stopped, by name. */
export const paused = signal<Readonly<Record<string, Progress>>>({});
export const failed = signal<{ readonly name: string; readonly error: unknown } | undefined>(undefined);
/** Names of the models that are kept whole on this device. */
export const onDevice = signal<readonly string[]>([]);
export const ownFiles = signal<readonly { readonly name: string; readonly bytes: number }[]>([]);

const NOTHING: Lesson = { classes: [], photos: [], waiting: 0, kept: true };
export const lesson = signal<Lesson>(NOTHING);
export const hasTaught = computed(() => new Set(lesson.value.photos.map(({ label }) => label)).size > 0);

export interface Toast {
  readonly text: string;
  readonly action?: { readonly text: string; run(): void };
  readonly isError?: boolean;
}
export const toast = signal<Toast | undefined>(undefined);
/** A new version that waits for its turn. */
export const update = signal<ServiceWorker | undefined>(undefined);
/** Photos that another app shared. */
export const shared = signal<Blob | undefined>(undefined);

/** Milliseconds that a message stays. */
const TOAST_MS = 10_000;
let toastTimer: ReturnType<typeof setTimeout> | undefined;
export function say(next: Toast): void {
  clearTimeout(toastTimer);
  toast.value = next;
  toastTimer = setTimeout(() => {
    toast.value = undefined;
  }, TOAST_MS);
}

/** Goes to a tab, by the address, so that the browser's own back button works. */
export function go(to: Tab, within?: string): void {
  location.hash = within === undefined ? to : `${to}/${encodeURIComponent(within)}`;
}

function follow(): void {
  const [to, within] = location.hash.slice(1).split("/");
  tab.value = TABS.find((name) => name === to) ?? "see";
  place.value = within === undefined ? undefined : decodeURIComponent(within);
}

export function setLook(next: Look): void {
  look.value = next;
  settings.set("look", next);
  document.documentElement.dataset.look = next;
}

export function setLanguage(next: Language): void {
  language.value = next;
  settings.set("language", next);
  document.documentElement.lang = next;
}

export function setShowsSpeed(shows: boolean): void {
  showsSpeed.value = shows;
  settings.set("speed", shows ? undefined : "no");
}

const without = <T>(record: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> =>
  Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));

let stopOpening: AbortController | undefined;

/** Opens a model, downloading what is missing; it becomes the one in use. */
export async function openModel(name: string, source?: string | Blob): Promise<void> {
  stopOpening?.abort();
  const controller = new AbortController();
  stopOpening = controller;
  const before = paused.peek()[name];
  opening.value = { name, ...(before && { progress: before }) };
  paused.value = without(paused.peek(), name);
  failed.value = undefined;
  try {
    const from = source ?? (isOwnFile(name) ? await call("keptModel", { name: fileName(name) }) : name);
    const opened = await call(
      "open",
      { source: from },
      {
        signal: controller.signal,
        onTell: (progress) => {
          if (stopOpening === controller) opening.value = { name, progress };
        },
      },
    );
    current.value = { name, source: from, opened };
    settings.set("model", name);
    await lookOnDevice();
  } catch (error) {
    if (!controller.signal.aborted) failed.value = { name, error };
  } finally {
    if (stopOpening === controller) {
      stopOpening = undefined;
      opening.value = undefined;
    }
  }
}

/** Stops a download; what came stays, and the next one goes on from there. */
export function pauseOpening(): void {
  const { name, progress } = opening.peek() ?? {};
  if (name !== undefined) paused.value = { ...paused.peek(), [name]: progress ?? { done: 0 } };
  stopOpening?.abort();
}

const OWN = "file:";
export const isOwnFile = (name: string): boolean => name.startsWith(OWN);
export const fileName = (name: string): string => name.slice(OWN.length);

/** Opens a file of the user's, and keeps it. */
export async function openFile(file: File): Promise<void> {
  await openModel(`${OWN}${file.name}`, file);
  if (current.peek()?.source !== file) return;
  try {
    await call("keepModel", { file });
    ownFiles.value = await call("keptModels", undefined);
  } catch (error) {
    failed.value = { name: `${OWN}${file.name}`, error };
  }
}

async function lookOnDevice(): Promise<void> {
  onDevice.value = (await call("stored", undefined)).map(({ source }) => source);
}

/** Deletes a model with a name from this device. */
export async function forgetModel(name: string): Promise<void> {
  await call("forgetModel", { name });
  paused.value = without(paused.peek(), name);
  await lookOnDevice();
}

export async function removeFile(name: string): Promise<void> {
  await call("removeModel", { name });
  ownFiles.value = await call("keptModels", undefined);
}

/** Deletes photos, classes, models and settings, then begins from the start. */
export async function forgetAll(): Promise<void> {
  await call("forgetAll", undefined);
  for (const name of await caches.keys().catch(() => [])) {
    if (!name.startsWith("app-")) await caches.delete(name);
  }
  settings.set("model", undefined);
  location.reload();
}

/** Begins: settings, the address, what was taught, and the model of the last visit. */
export async function begin(): Promise<void> {
  const preferred = navigator.language.slice(0, 2);
  const languages = Object.keys(LANGUAGES) as Language[];
  const known = (name: string | undefined): Language | undefined => languages.find((each) => each === name);
  language.value = known(settings.get("language")) ?? known(preferred) ?? "en";
  document.documentElement.lang = language.value;
  setLook(LOOKS.find((name) => name === settings.get("look")) ?? "system");
  follow();
  addEventListener("hashchange", follow);
  for (const event of ["online", "offline"] as const) {
    addEventListener(event, () => {
      online.value = navigator.onLine;
    });
  }
  whenLessonChanges((next) => {
    lesson.value = next;
  });
  const name = settings.get("model") ?? DEFAULT_MODEL;
  if (name !== undefined) void openModel(name);
  try {
    lesson.value = await call("lesson", undefined);
    ownFiles.value = await call("keptModels", undefined);
    await lookOnDevice();
  } catch (error) {
    failed.value ??= { name: "", error };
  }
}
