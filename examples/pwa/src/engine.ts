/** The page's side of the engine's worker. */
import type { CallName, Calls, Failure, Lesson, Reply, Request } from "./protocol.ts";

/** What failed in the worker. */
class EngineError extends Error {
  readonly code: string | undefined;
  constructor({ name, code, message }: Failure) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  tell?: (value: never) => void;
}

let worker: Worker | undefined;
let last = 0;
const waiting = new Map<number, Waiting>();
let onLesson: (lesson: Lesson) => void = () => {};

function start(): Worker {
  const started = new Worker(new URL("./engine-worker.js", import.meta.url), { type: "module" });
  started.onmessage = ({ data }: MessageEvent<Reply>) => {
    if ("lesson" in data) return onLesson(data.lesson);
    const call = waiting.get(data.id);
    if (call === undefined) return;
    if ("tells" in data) return call.tell?.(data.tells as never);
    waiting.delete(data.id);
    if ("failed" in data) call.reject(new EngineError(data.failed));
    else call.resolve(data.gives);
  };
  started.onerror = ({ message }) => {
    const failed = new EngineError({
      name: "WorkerError",
      code: "worker",
      message: message ?? "the worker did not start",
    });
    for (const { reject } of waiting.values()) reject(failed);
    waiting.clear();
  };
  return started;
}

/** What is told whenever the lesson changes by itself. */
export function whenLessonChanges(told: (lesson: Lesson) => void): void {
  onLesson = told;
}

export interface CallMore<Name extends CallName> {
  readonly signal?: AbortSignal;
  readonly transfer?: readonly Transferable[];
  readonly onTell?: (value: Calls[Name]["tells"]) => void;
}

/** Calls the worker. */
export function call<Name extends CallName>(
  name: Name,
  given: Calls[Name]["given"],
  { signal, transfer = [], onTell }: CallMore<Name> = {},
): Promise<Calls[Name]["gives"]> {
  worker ??= start();
  const id = ++last;
  const post = (request: Request, moved: readonly Transferable[] = []): void =>
    worker!.postMessage(request, [...moved]);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve: resolve as (value: unknown) => void, reject, ...(onTell && { tell: onTell }) });
    signal?.addEventListener("abort", () => post({ id, name: "abort" }), { once: true });
    post({ id, name, given }, transfer);
  });
}
