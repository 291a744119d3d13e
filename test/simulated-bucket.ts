/** A bucket and a queue that hold nothing, for walks over as many images as one likes, and consumers that die. */
import type { WalkMessage } from "../examples/batch/src/messages.ts";
import { type Cursor, startWalk, type WalkEnv, walkOn } from "../examples/batch/src/walk.ts";

/** Digits of names in the order of UTF-8, from one to four bytes: the last two are in another order in strings. */
const DIGITS = ["!", "0", "a", "é", "水", "Ｚ", "𝙕"];

const hash = (i: number): number => {
  let h = Math.imul(i ^ (i >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return (h ^ (h >>> 15)) >>> 0;
};

/** A sorted list of names that is computed: which of `size` numbers are images, and which of them have a result. */
export class Names {
  readonly size: number;
  readonly #width: number;
  constructor(size: number) {
    this.size = size;
    this.#width = Math.ceil(Math.log(size) / Math.log(DIGITS.length));
  }
  name(i: number): string {
    let name = "";
    for (let rest = i, k = 0; k < this.#width; ++k, rest = Math.floor(rest / DIGITS.length))
      name = DIGITS[rest % DIGITS.length] + name;
    return name;
  }
  index(name: string): number {
    let i = 0;
    for (const digit of name) i = i * DIGITS.length + DIGITS.indexOf(digit);
    return i;
  }
  /** Nine of ten. */
  isImage(i: number): boolean {
    return hash(i) % 10 !== 0;
  }
  /** None in the first fifth, where everything is new; all in the second; then one of three, whether it has an image or not. */
  hasResult(i: number): boolean {
    const fifth = Math.floor((5 * i) / this.size);
    return fifth === 1 || (fifth > 1 && hash(i + 0x5bd1e995) % 3 === 0);
  }
  needsWork(i: number): boolean {
    return this.isImage(i) && !this.hasResult(i);
  }
}

export interface Walked {
  /** How often each image was put on the queue. */
  readonly times: Uint8Array;
  readonly calls: number;
  /** Consumers that died at a call, calls that threw, messages that came twice at the same time. */
  readonly deaths: number;
  readonly errors: number;
  readonly doubles: number;
  /** Times that the walk stood still, because the faster of two consumers of one message had died, and was asked for again. */
  readonly stalls: number;
  readonly messages: number;
}
export interface WalkOptions {
  /** Numbers from 0 to 1. */
  readonly random: () => number;
  /** Probabilities: that a consumer dies at a call, that a call throws, that a message comes twice. */
  readonly death: number;
  readonly error: number;
  readonly double: number;
  /** After every message, with the images that it has gone past. */
  readonly onMessage?: (images: number) => void;
}

/** Walks over all names as the Worker does, whatever happens to its consumers. */
export async function walkAll(names: Names, options: WalkOptions): Promise<Walked> {
  const { random, death, error, double, onMessage } = options;
  const times = new Uint8Array(names.size);
  let [calls, deaths, errors, doubles, stalls, messages] = [0, 0, 0, 0, 0, 0];
  const queue: { readonly body: WalkMessage; attempts: number }[] = [];
  const objects = new Map<string, { readonly text: string; readonly etag: string }>();

  const list = ({ prefix, startAfter }: { prefix: string; startAfter?: string }) => {
    const folder = prefix.slice(0, prefix.indexOf("/") + 1);
    const has = (i: number): boolean => (folder === "images/" ? names.isImage(i) : names.hasResult(i));
    const found: { key: string }[] = [];
    let i = startAfter === undefined ? 0 : names.index(startAfter.slice(folder.length)) + 1;
    for (; i < names.size && found.length < 1000; ++i) if (has(i)) found.push({ key: folder + names.name(i) });
    while (i < names.size && !has(i)) ++i;
    return { objects: found, truncated: i < names.size };
  };
  const put = (key: string, text: string, { onlyIf }: { onlyIf?: { etagMatches: string } }) => {
    if (onlyIf !== undefined && objects.get(key)?.etag !== onlyIf.etagMatches) return null;
    const object = { text, etag: `${calls}` };
    objects.set(key, object);
    return object;
  };
  const get = (key: string) => {
    const object = objects.get(key);
    return object === undefined ? null : { etag: object.etag, json: async () => JSON.parse(object.text) };
  };
  const sendBatch = (batch: readonly { readonly body: { readonly key: string } }[]): void => {
    if (batch.length > 100) throw new Error(`expected at most 100 messages, got ${batch.length}`);
    for (const { body } of batch) times[names.index(body.key)]! += 1;
  };

  /** What a consumer sees; `die` ends it: no call of it comes back any more. */
  const envOf = (die: () => void): WalkEnv => {
    const call =
      <Arguments extends readonly unknown[], Result>(act: (...from: Arguments) => Result) =>
      async (...from: Arguments): Promise<Result> => {
        calls += 1;
        if (random() < error) {
          errors += 1;
          throw new Error("Too Many Requests");
        }
        const dies = random() < death;
        const isDone = !dies || random() < 0.5;
        const result = isDone ? act(...from) : undefined;
        if (!dies) return result as Result;
        deaths += 1;
        die();
        return new Promise(() => {});
      };
    const send = (body: WalkMessage): void => void queue.push({ body, attempts: 0 });
    const env = {
      BUCKET: { list: call(list), get: call(get), put: call(put) },
      JOBS: { send: call(send), sendBatch: call(sendBatch) },
    };
    return env as unknown as WalkEnv;
  };
  /** Does something as a consumer: whether it came to its end. */
  const consume = async (act: (env: WalkEnv) => Promise<unknown>): Promise<boolean> => {
    let die = (): void => {};
    const dead = new Promise<boolean>((done) => {
      die = () => done(false);
    });
    const alive = act(envOf(die)).then(
      () => true,
      () => false,
    );
    return Promise.race([alive, dead]);
  };
  const cursor = (): Cursor | undefined => JSON.parse(objects.get("walks/*")?.text ?? "null") ?? undefined;
  const start = async (): Promise<void> => {
    while (!(await consume((env) => startWalk(env, "")))) {}
  };

  await start();
  while (!cursor()!.done) {
    const message = queue.shift();
    if (message === undefined) {
      stalls += 1;
      await start();
      continue;
    }
    messages += 1;
    message.attempts += 1;
    const deliver = () => consume((env) => walkOn(env, message.body, message.attempts));
    const isDouble = random() < double;
    doubles += isDouble ? 1 : 0;
    const ends = await Promise.all(isDouble ? [deliver(), deliver()] : [deliver()]);
    // Acknowledged by one, it does not come again.
    if (!ends.includes(true)) queue.push(message);
    onMessage?.(cursor()!.images);
  }
  return { times, calls, deaths, errors, doubles, stalls, messages };
}
