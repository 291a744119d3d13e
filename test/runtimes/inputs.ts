/**
 * One photo in every shape that a browser has it in, on a page and in a worker: the same class. Pixels that are known: the same bytes.
 * What cannot be read is refused by its code.
 */
import type * as Library from "../../src/runtimes/browser.ts";
import type { Outcome, Package } from "./contract.ts";

/** What a page or a worker has. */
export interface Place {
  readonly name: string;
  /** The int8 model, and an encoded photo. */
  readonly model: Uint8Array;
  readonly photo: Uint8Array<ArrayBuffer>;
  /** Where the photo is: here, and at another origin. */
  readonly url: string;
  readonly foreign: string;
  /** Best class of the photo. */
  readonly best: number;
}

type Make = () => Library.ImageInput | Promise<Library.ImageInput>;

class Skip extends Error {}

const FOREIGN = /another origin\n.*crossorigin/;
const [WIDTH, HEIGHT] = [64, 48];
/** Time in which a video shows a frame. */
const VIDEO_MS = 5000;

/** RGBA of known colours, opaque. */
function known(): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(4 * WIDTH * HEIGHT);
  for (let p = 0; p < WIDTH * HEIGHT; ++p) {
    const [x, y] = [p % WIDTH, Math.floor(p / WIDTH)];
    data.set([4 * x, 5 * y, (7 * x + 11 * y) % 256, 255], 4 * p);
  }
  return data;
}

function offscreen(width: number, height: number, paint: (context: OffscreenCanvasRenderingContext2D) => void) {
  const canvas = new OffscreenCanvas(width, height);
  paint(canvas.getContext("2d")!);
  return canvas;
}

/** The same file, told to be turned by a quarter (EXIF's orientation 6). */
function turned(photo: Uint8Array): Uint8Array<ArrayBuffer> {
  const tag = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0];
  const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, ...tag, 0, 0, 0, 0];
  const exif = [...[..."Exif\0\0"].map((each) => each.charCodeAt(0)), ...tiff];
  return Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 2, ...exif, ...photo.subarray(2)]);
}

async function media(photo: Uint8Array<ArrayBuffer>): Promise<ImageBitmap> {
  return createImageBitmap(new Blob([photo]));
}

function frameOf(source: OffscreenCanvas | ImageBitmap): VideoFrame {
  if (typeof VideoFrame === "undefined") throw new Skip("this engine has no VideoFrame");
  return new VideoFrame(source, { timestamp: 0 });
}

/** Firefox refuses the third argument by a `TypeError`. */
function wide(width: number, height: number): ImageData | undefined {
  try {
    return new ImageData(width, height, { colorSpace: "display-p3" });
  } catch {
    return undefined;
  }
}

/** What a worker has as well. */
function everywhere({ photo, url }: Place): Readonly<Record<string, Make>> {
  const drawn = async (): Promise<OffscreenCanvas> => {
    const bitmap = await media(photo);
    return offscreen(bitmap.width, bitmap.height, (context) => context.drawImage(bitmap, 0, 0));
  };
  return {
    "an OffscreenCanvas": drawn,
    "an ImageBitmap": () => media(photo),
    "a VideoFrame": async () => frameOf(await drawn()),
    async "an ImageData"() {
      const canvas = await drawn();
      return canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
    },
    "a File": () => new File([photo], "photo.jpg"),
    "a Blob": () => new Blob([photo]),
    "a URL object": () => new URL(url),
    "a blob: URL": () => URL.createObjectURL(new Blob([photo])),
    "a Response": () => fetch(url),
    "an ArrayBuffer": () => photo.slice().buffer,
  };
}

/** What only a page has. */
function onPage({ photo, url }: Place): Readonly<Record<string, Make>> {
  const image = (more: Partial<HTMLImageElement> = {}): HTMLImageElement =>
    Object.assign(new Image(), { ...more, src: url });
  const canvas = async (): Promise<HTMLCanvasElement> => {
    const bitmap = await media(photo);
    const made = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    made.getContext("2d")!.drawImage(bitmap, 0, 0);
    return made;
  };
  return {
    "an img element that still loads": () => image(),
    async "an img element"() {
      const made = image();
      await made.decode();
      return made;
    },
    "an img element that loads when it is scrolled to"() {
      const far = document.createElement("div");
      far.style.paddingTop = "20000px";
      const made = image({ loading: "lazy" });
      far.append(made);
      document.body.append(far);
      return made;
    },
    "an image element of an SVG"() {
      const made = document.createElementNS("http://www.w3.org/2000/svg", "image");
      made.setAttribute("href", url);
      return made;
    },
    "a canvas": canvas,
    async "a canvas that a worker draws to"() {
      const bitmap = await media(photo);
      const made = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
      const context = made.transferControlToOffscreen().getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      // The page's canvas shows it with the next frame.
      await new Promise(requestAnimationFrame);
      await new Promise((done) => setTimeout(done, 100));
      return made;
    },
    async "a video element"() {
      const source = await canvas();
      if (!("captureStream" in source))
        throw new Skip("this engine has no captureStream, and no video file is made here");
      const video = Object.assign(document.createElement("video"), { muted: true, srcObject: source.captureStream() });
      const again = setInterval(() => source.getContext("2d")!.drawImage(source, 0, 0), 50);
      try {
        await video.play();
        for (const end = performance.now() + VIDEO_MS; video.readyState < 2 || video.videoWidth < 16; ) {
          if (performance.now() > end) throw new Skip(`no frame of a captured canvas within ${VIDEO_MS / 1000} s`);
          await new Promise((done) => setTimeout(done, 50));
        }
      } finally {
        clearInterval(again);
      }
      return video;
    },
  };
}

/** Known pixels as a platform holds them; where it may keep other numbers it is not among them. */
function knownEverywhere(): Readonly<Record<string, Make>> {
  const image = (): ImageData => new ImageData(known(), WIDTH, HEIGHT);
  const painted = (): OffscreenCanvas => offscreen(WIDTH, HEIGHT, (context) => context.putImageData(image(), 0, 0));
  return {
    "an ImageData": image,
    "an OffscreenCanvas": painted,
    "an ImageBitmap": () => createImageBitmap(image()),
    "a VideoFrame of RGBA"() {
      if (typeof VideoFrame === "undefined") throw new Skip("this engine has no VideoFrame");
      const size = { codedWidth: WIDTH, codedHeight: HEIGHT, timestamp: 0 };
      return new VideoFrame(known(), { format: "RGBA", ...size });
    },
    "RGB as sharp gives it"() {
      const info = { width: WIDTH, height: HEIGHT, channels: 3 };
      return { data: Uint8Array.from(known().filter((_, i) => i % 4 !== 3)), info };
    },
  };
}

function knownOnPage(): Readonly<Record<string, Make>> {
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  return {
    "a canvas"() {
      canvas.getContext("2d")!.putImageData(new ImageData(known(), WIDTH, HEIGHT), 0, 0);
      return canvas;
    },
  };
}

/** What is refused: by which code, and what it is told to be. */
function refusedEverywhere({
  photo,
}: Place): Readonly<Record<string, readonly [code: string, got: RegExp, make: Make]>> {
  return {
    "a closed ImageBitmap": [
      "not-found",
      /closed/,
      async () => {
        const bitmap = await media(photo);
        bitmap.close();
        return bitmap;
      },
    ],
  };
}

function refusedOnPage({ foreign }: Place): ReturnType<typeof refusedEverywhere> {
  const image = async (): Promise<HTMLImageElement> => {
    const made = Object.assign(new Image(), { src: foreign });
    await made.decode();
    return made;
  };
  return {
    "an img element of another origin": ["unsupported", FOREIGN, image],
    "a canvas with an image of another origin": [
      "unsupported",
      FOREIGN,
      async () => {
        const source = await image();
        const made = document.createElement("canvas");
        made.getContext("2d")!.drawImage(source, 0, 0);
        return made;
      },
    ],
    "an img element without a file": [
      "not-found",
      /failed to load/,
      () => Object.assign(new Image(), { src: "/nothing.jpg" }),
    ],
    "a video element without a frame": ["not-found", /loadeddata/, () => document.createElement("video")],
  };
}

/** Runs all of it; what this engine does not have is an outcome of its own. */
export async function runInputs(library: Pick<Package, "load">, place: Place): Promise<readonly Outcome[]> {
  const isPage = typeof document !== "undefined";
  const outcomes: Outcome[] = [];
  const model = await library.load(place.model);
  const attempt = async (name: string, work: () => Promise<void>): Promise<void> => {
    const title = `${place.name}: ${name}`;
    try {
      await work();
    } catch (error) {
      const { message, stack } = error as Error;
      if (error instanceof Skip) outcomes.push({ name: title, skipped: message });
      else outcomes.push({ name: title, failed: `${message} ${stack ?? ""}` });
    }
  };
  const makers = { ...everywhere(place), ...(isPage ? onPage(place) : {}) };
  for (const [name, make] of Object.entries(makers)) {
    await attempt(name, async () => {
      const [best] = await model.classify(await make(), { topK: 1 });
      if (best!.index !== place.best) throw new Error(`expected class ${place.best}, got ${best!.index}`);
    });
  }
  const raw = await model.preprocess({ width: WIDTH, height: HEIGHT, data: known() });
  for (const [name, make] of Object.entries({ ...knownEverywhere(), ...(isPage ? knownOnPage() : {}) })) {
    await attempt(`known pixels of ${name}`, async () => {
      const { data } = await model.preprocess(await make());
      const other = data.findIndex((value, i) => value !== raw.data[i]);
      if (other >= 0) throw new Error(`expected the bytes of raw pixels, got others from ${other} on`);
    });
  }
  const refused = { ...refusedEverywhere(place), ...(isPage ? refusedOnPage(place) : {}) };
  for (const [name, [code, words, make]] of Object.entries(refused)) {
    await attempt(name, async () => {
      const error = await model.classify(await make()).then(
        () => new Error("expected a failure, got none"),
        (failure: Error) => failure,
      );
      if (!("code" in error) || error.code !== code || !words.test(error.message)) throw error;
    });
  }
  await attempt("what a canvas shows when it is given", async () => {
    const canvas = offscreen(WIDTH, HEIGHT, (context) =>
      context.putImageData(new ImageData(known(), WIDTH, HEIGHT), 0, 0),
    );
    const coming = model.preprocess(canvas);
    canvas.getContext("2d")!.fillRect(0, 0, WIDTH, HEIGHT);
    const { data } = await coming;
    if (data.some((value, i) => value !== raw.data[i])) throw new Error("expected what it showed, got a later picture");
  });
  await attempt("turned by EXIF, once", async () => {
    const file = turned(place.photo);
    const ours = await model.preprocess(file);
    const distance = (other: Float32Array): number =>
      other.reduce((sum, value, i) => sum + Math.abs(value - ours.data[i]!), 0) / other.length;
    const bitmap = await model.preprocess(await media(file));
    const upright = await model.preprocess(place.photo);
    const [near, far] = [distance(bitmap.data), distance(upright.data)];
    if (!(near < 0.02 && far > 0.2))
      throw new Error(`expected the turned picture, got one ${near} from it (upright: ${far})`);
  });
  await attempt("colours beyond sRGB", async () => {
    const image = wide(8, 8);
    if (image?.colorSpace !== "display-p3") throw new Skip("this engine has no ImageData of display-p3");
    for (let p = 0; p < 64; ++p) image.data.set([200, 80, 80, 255], 4 * p);
    const flat = { width: 8, height: 8, data: image.data };
    const [seen, taken] = [await model.preprocess(image), await model.preprocess(flat)];
    // display-p3's (200, 80, 80) is sRGB's (216, 69, 75), by the two standards.
    const step = 1 / 255 / model.model.preprocess.std[0]!;
    const more = (seen.data[0]! - taken.data[0]!) / step;
    if (!(more > 13 && more < 20)) throw new Error(`expected about 16 more of red, got ${more}`);
  });
  await model.dispose();
  const bad = outcomes.some(({ failed }) => failed !== undefined);
  return bad ? outcomes : [{ name: place.name }, ...outcomes];
}
