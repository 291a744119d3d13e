/** One image in every shape a caller may have it in. */
import { createReadStream, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { BYTE_LIMIT } from "../../src/decode/bytes.ts";
import { decodeImage } from "../../src/decode/image.ts";
import type { ImageInput } from "../../src/decode/input.ts";
import { toPixels } from "../../src/decode/photo.ts";
import { ImageError } from "../../src/errors.ts";
import { nodeRuntime } from "../../src/runtimes/node.ts";

const path = new URL("../../node_modules/baboon-image/baboon.png", import.meta.url).pathname;
const bytes = new Uint8Array(readFileSync(path));
const runtime = nodeRuntime();
const wide = new Uint8Array(bytes.length + 7);
wide.set(bytes, 7);

let server: Server;
let origin: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === "/baboon.png") response.end(bytes);
    else if (request.url === "/large") response.writeHead(200, { "Content-Length": "600000000" }).end();
    else if (request.url === "/page") response.end("<!doctype html><title>Log in</title>");
    else response.writeHead(404).end("no");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

async function* halves(): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, 1000);
  yield bytes.subarray(1000);
}

describe("the same pixels from", () => {
  it.each([
    ["a path", () => path],
    ["bytes", () => bytes],
    ["an ArrayBuffer", () => bytes.slice().buffer],
    ["a view into a larger buffer", () => new DataView(wide.buffer, 7)],
    ["a Blob", () => new Blob([bytes])],
    ["a File", () => new File([bytes], "baboon.png")],
    ["a response", () => new Response(bytes)],
    ["a web stream", () => new Blob([bytes]).stream()],
    ["a Node stream", () => createReadStream(path)],
    ["an async generator", halves],
    ["an http: URL", () => `${origin}/baboon.png`],
    ["a URL object", () => new URL(`${origin}/baboon.png`)],
    ["a file: URL", () => pathToFileURL(path).href],
    ["a file: URL object", () => pathToFileURL(path)],
    ["a data: URL", () => `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`],
    ["a data: URL, percent-encoded", () => `data:;base64,${encodeURIComponent(Buffer.from(bytes).toString("base64"))}`],
  ] as const)("%s", async (_name, make) => {
    const { data } = await toPixels((make as () => ImageInput)(), runtime);
    expect(Buffer.from(data).equals(Buffer.from((await decodeImage(bytes, runtime, "x")).data))).toBe(true);
  });
});

describe("raw pixels", () => {
  it.each([
    ["RGB", Uint8Array.of(1, 2, 3, 4, 5, 6), [1, 2, 3, 255, 4, 5, 6, 255]],
    ["gray", Uint8Array.of(7, 9), [7, 7, 7, 255, 9, 9, 9, 255]],
    ["a Buffer", Buffer.from([7, 9]), [7, 7, 7, 255, 9, 9, 9, 255]],
    ["16-bit RGB", Uint16Array.of(0, 255, 256, 65535, 32768, 1), [0, 0, 1, 255, 255, 128, 0, 255]],
    ["16-bit gray", Uint16Array.of(65535, 32767), [255, 255, 255, 255, 127, 127, 127, 255]],
    ["16-bit RGBA", Uint16Array.of(0, 256, 512, 65535, 0, 0, 0, 0), [0, 1, 2, 255, 0, 0, 0, 0]],
  ])("%s", async (_name, data, want) => {
    const pixels = await toPixels({ width: 2, height: 1, data }, runtime);
    expect([...pixels.data]).toEqual(want);
    expect([pixels.width, pixels.height]).toEqual([2, 1]);
  });
  it.each([
    [4, [1, 2, 3, 9, 4, 5, 6, 9], [1, 2, 3, 9, 4, 5, 6, 9]],
    [3, [1, 2, 3, 4, 5, 6], [1, 2, 3, 255, 4, 5, 6, 255]],
    [2, [1, 9, 4, 9], [1, 1, 1, 255, 4, 4, 4, 255]],
    [1, [1, 4], [1, 1, 1, 255, 4, 4, 4, 255]],
  ])("as sharp gives them, %s channels", async (channels, data, want) => {
    const image = {
      data: Buffer.from(data),
      info: { format: "raw", width: 2, height: 1, channels, size: data.length },
    };
    expect([...(await toPixels(image, runtime)).data]).toEqual(want);
    // `raw({ depth: "ushort" })` gives twice the bytes; of one channel they would be taken for gray and alpha.
    const deep = toPixels({ ...image, data: Buffer.from([...data, ...data]) }, runtime);
    await expect(deep).rejects.toMatchObject({ name: "OptionError", option: "image" });
    await expect(deep).rejects.toThrow(/hint: give raw\(\) no depth/);
  });
  it("RGBA, as they are", async () => {
    const data = new Uint8ClampedArray([1, 2, 3, 4]);
    expect((await toPixels({ width: 1, height: 1, data }, runtime)).data).toBe(data);
  });
  it.each([
    ["Float32Array", new Float32Array(4)],
    ["Float64Array", new Float64Array(4)],
    ["Int8Array", new Int8Array(4)],
    ["Int16Array", new Int16Array(4)],
    ["Uint32Array", new Uint32Array(4)],
    ["array", [0, 0, 0, 0]],
    ["DataView", new DataView(new ArrayBuffer(4))],
    ["string", "0000"],
    ["null", null],
    ["undefined", undefined],
  ])("of a %s are refused, not taken for black", async (name, data) => {
    const result = toPixels({ width: 1, height: 1, data: data as unknown as Uint8Array }, runtime);
    await expect(result).rejects.toMatchObject({ name: "ArgumentTypeError", option: "image" });
    await expect(result).rejects.toThrow(new RegExp(`expected a Uint8Array, .*, got .*${name}`));
  });
  it.each([
    [2, 2, 4, 1.25],
    [0, 1, 0, 1],
    [1.5, 2, 12, 1],
    [-1, -1, 4, 1],
    [100_000, 1, 400_000, 1],
    [Number.NaN, 1, 4, 1],
    ["2" as unknown as number, 1, 8, 1],
  ])("of %s×%s and %s numbers are refused", async (width, height, length, more) => {
    const data = new Uint8Array(length * more);
    await expect(toPixels({ width, height, data }, runtime)).rejects.toMatchObject({
      name: "OptionError",
      option: "image",
    });
  });
});

describe("what a platform draws", () => {
  afterEach(() => vi.unstubAllGlobals());
  const data = Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255);
  const canvas = (getImageData: () => { data: Uint8ClampedArray }) => ({
    width: 2,
    height: 1,
    getContext: () => ({ getImageData }),
  });
  const bitmap = (size: object) => Object.assign(Object.create({ [Symbol.toStringTag]: "ImageBitmap" }), size);
  const take = (image: unknown, maxPixels?: number) => toPixels(image as ImageInput, runtime, maxPixels);
  it("a canvas, also of a library", async () => {
    expect(await take(canvas(() => ({ data })))).toEqual({ width: 2, height: 1, data });
  });
  it("a bitmap, through a canvas", async () => {
    const drawn: unknown[] = [];
    class OffscreenCanvas {
      getContext = () => ({ drawImage: (...args: unknown[]) => drawn.push(args), getImageData: () => ({ data }) });
    }
    vi.stubGlobal("OffscreenCanvas", OffscreenCanvas);
    const image = bitmap({ width: 2, height: 1 });
    expect(await take(image)).toEqual({ width: 2, height: 1, data });
    expect(drawn).toEqual([[image, 0, 0, 2, 1]]);
  });
  it("an image that loads later, though it waits to be scrolled to", async () => {
    const element = Object.assign(
      canvas(() => ({ data })),
      { loading: "lazy", complete: false },
    );
    const decode = async (): Promise<void> => expect(element.loading).toBe("eager");
    expect(await take(Object.assign(element, { decode }))).toEqual({ width: 2, height: 1, data });
  });
  it.each([
    [
      "a video without a frame",
      () =>
        Object.assign(Object.create({ [Symbol.toStringTag]: "HTMLVideoElement" }), { videoWidth: 2, readyState: 1 }),
      "not-found",
      /a video with a frame, got one that has none yet\n {2}hint: wait for its loadeddata event/,
    ],
    [
      "without a canvas to draw to",
      () => bitmap({ width: 2, height: 1 }),
      "unsupported",
      /a platform with OffscreenCanvas/,
    ],
    [
      "of no pixels",
      () => bitmap({ width: 0, height: 0 }),
      "not-found",
      /at least one pixel, got an ImageBitmap of 0×0/,
    ],
    [
      "that failed to load",
      () => ({ ...canvas(() => ({ data })), decode: () => Promise.reject(new Error("EncodingError")) }),
      "not-found",
      /failed to load/,
    ],
    [
      "of another origin",
      () =>
        canvas(() => {
          throw Object.assign(new Error("tainted"), { name: "SecurityError" });
        }),
      "unsupported",
      /image of another origin\n {2}hint: load it with crossorigin="anonymous"/,
    ],
  ] as const)("%s is refused", async (_title, make, code, message) => {
    await expect(take(make())).rejects.toMatchObject({ name: "ImageError", code });
    await expect(take(make())).rejects.toThrow(message);
  });
  it("and no more pixels than the limit", async () => {
    await expect(
      take(
        canvas(() => ({ data })),
        1,
      ),
    ).rejects.toMatchObject({ code: "too-large" });
  });
});

describe("refuses", () => {
  it("a response that is an error", async () => {
    const response = new Response("no", { status: 404 });
    await expect(toPixels(response, runtime)).rejects.toThrow(/expected a response with an image, got status 404/);
  });
  it("a stream of text", async () => {
    const stream = (async function* () {
      yield "hello" as unknown as Uint8Array;
    })();
    await expect(toPixels(stream, runtime)).rejects.toThrow(/image: expected a stream of bytes, got string/);
  });
  it("a stream without end, at the limit", async () => {
    const chunk = new Uint8Array(64e6);
    let closed = false;
    const stream = (async function* () {
      try {
        for (;;) yield chunk;
      } finally {
        closed = true;
      }
    })();
    await expect(toPixels(stream, runtime)).rejects.toThrow(`image: expected at most ${BYTE_LIMIT / 1e6} MB`);
    expect(closed).toBe(true);
  });
  it("more pixels than the caller allows", async () => {
    await expect(toPixels(bytes, runtime, 1e5)).rejects.toThrow("image: expected at most 0.1 megapixels, got 512×512");
  });
  it.each([
    ["a file that is not there", "/no/such/file.png", "not-found"],
    ["a file: URL of another machine", "file://server/share/a.png", "not-found"],
    ["an address that answers with an error", () => `${origin}/nothing`, "not-found"],
    ["an address that does not answer", "http://127.0.0.1:1/a.png", "not-found"],
    ["an address that promises too much", () => `${origin}/large`, "too-large"],
    ["a page", () => `${origin}/page`, "not-an-image"],
    ["a data: URL without contents", "data:image/png;base64", "malformed"],
    ["a data: URL that is no base64", "data:image/png;base64,a", "malformed"],
    ["a data: URL with a broken escape", "data:image/png;base64,%zz", "malformed"],
    ["a data: URL of text", "data:,hello", "not-an-image"],
    ["text with a zero in it", "a\0b", "not-found"],
    ["base64 without data:", Buffer.from(bytes).toString("base64"), "not-found"],
  ] as const)("%s", async (_name, image, code) => {
    const error = await toPixels(typeof image === "string" ? image : image(), runtime).catch((reason) => reason);
    expect(error).toBeInstanceOf(ImageError);
    expect(error.code).toBe(code);
    expect(error.message.length).toBeLessThan(300);
  });
  it("300 kB of a data: URL, without quoting them", async () => {
    const error = await toPixels(`data:image/png;base64,${"A".repeat(300_000)}`, runtime).catch((reason) => reason);
    expect(error.message.length).toBeLessThan(300);
    expect(error.message).toContain("(300022 characters)");
  });
  it.each([null, undefined, 5, true, {}, [], () => {}, Symbol("x")])("%o, which is no image", async (image) => {
    await expect(toPixels(image as unknown as ImageInput, runtime)).rejects.toMatchObject({
      name: "ArgumentTypeError",
    });
  });
});
