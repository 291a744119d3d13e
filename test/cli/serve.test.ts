/** `resnet-wasm serve` as a user runs it: built, in a process of its own, over real HTTP. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resnetSpec } from "../../src/models/resnet.ts";
import { pngOf } from "../decode/png-file.ts";
import { goldenCheckpoint } from "../golden/checkpoint.ts";

let dir = "";
let photo: Buffer<ArrayBuffer>;

interface Service {
  readonly url: string;
  readonly child: ChildProcess;
  /** Its exit status, and all that it said on stderr. */
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
}

/** Starts the command; `url` is empty when it ends without having listened. */
async function serve(...args: readonly string[]): Promise<Service> {
  const script = new URL("../../dist/cli/main.js", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, "serve", "--json", ...args], { cwd: dir });
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((done) => {
    child.once("close", (code) => done({ code, stderr }));
  });
  const url = await new Promise<string>((done) => {
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      if (stdout.includes("\n")) done((JSON.parse(stdout) as { url: string }).url);
    });
    void ended.then(() => done(""));
  });
  return { url, child, ended };
}

const LOCAL = ["--model", "model.safetensors", "--port", "0", "--quiet"] as const;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "resnet-wasm-serve-"));
  photo = await readFile(new URL("../../node_modules/baboon-image/baboon.png", import.meta.url));
  await writeFile(join(dir, "model.safetensors"), goldenCheckpoint({ ...resnetSpec("resnet20"), shortcut: "B" }));
});
afterAll(() => rm(dir, { recursive: true }));

describe("serve", () => {
  let service: Service;
  beforeAll(async () => {
    service = await serve(...LOCAL, "--max-bytes", "1MB", "--max-pixels", "300000");
  });
  afterAll(() => service.child.kill("SIGKILL"));

  it("classifies photos, many at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const response = await fetch(new URL("classify?top=1", service.url), { method: "POST", body: photo });
        return [response.status, await response.text()] as const;
      }),
    );
    expect(new Set(answers.map(([status]) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(([, text]) => JSON.parse(text).predictions[0].index)).size).toBe(1);
  });
  it("shows its page, and refuses what is wrong", async () => {
    expect(await (await fetch(service.url)).text()).toMatch("<!doctype html>");
    const large = await fetch(new URL("classify", service.url), { method: "POST", body: new Uint8Array(2e6) });
    expect(large.status).toBe(413);
  });
  it("lives on when a client hangs up in the middle of a photo", async () => {
    const { hostname, port } = new URL(service.url);
    await new Promise<void>((done) => {
      const socket = createConnection(Number(port), hostname, () => {
        socket.write("POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n\x89PNG");
        setTimeout(() => socket.destroy(), 50);
      });
      socket.once("close", () => done());
    });
    const response = await fetch(new URL("classify", service.url), { method: "POST", body: photo });
    expect(response.status).toBe(200);
  });
  it("ends on Ctrl-C with status 0, letting requests in progress end", async () => {
    const own = await serve(...LOCAL);
    let begun = (): void => {};
    const started = new Promise<void>((done) => {
      begun = done;
    });
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(photo.subarray(0, 1000));
        await new Promise((done) => setTimeout(done, 200));
        begun();
        await new Promise((done) => setTimeout(done, 200));
        controller.enqueue(photo.subarray(1000));
        controller.close();
      },
    });
    const answer = fetch(new URL("classify", own.url), { method: "POST", body, duplex: "half" } as RequestInit);
    await started;
    own.child.kill("SIGINT");
    expect((await answer).status).toBe(200);
    expect(await own.ended).toEqual({ code: 0, stderr: "" });
  });
});

describe("a photo that takes too long", () => {
  it("ends with its own replica: others are answered meanwhile, and afterwards", async () => {
    const post = (body: Buffer<ArrayBuffer>, to: Service): Promise<Response> =>
      fetch(new URL("classify", to.url), { method: "POST", body });
    // How long a photo takes on this machine now: the slow one takes a hundred times as long.
    const trial = await serve(...LOCAL, "--replicas", "1");
    await post(photo, trial);
    const start = performance.now();
    await post(photo, trial);
    const seconds = Math.max(2, (20 * (performance.now() - start)) / 1000);
    trial.child.kill("SIGTERM");
    await trial.ended;
    const limits = ["--photo-timeout", `${seconds}`, "--max-decode-bytes", "1GB", "--replicas", "2"] as const;
    const own = await serve(...LOCAL, ...limits);
    // Its filter of each row, Paeth's, makes this the slowest that a PNG within the limit can be: some seconds.
    const [w, h] = [9900, 9900];
    const rows = Buffer.alloc(h * (1 + 4 * w));
    for (let y = 0; y < h; ++y) rows[y * (1 + 4 * w)] = 4;
    const slow = pngOf(w, h, rows);
    // Warm: a first photo compiles what the next ones use.
    await Promise.all([post(photo, own), post(photo, own)]);
    const late = post(slow, own);
    const others = await Promise.all(Array.from({ length: 6 }, () => post(photo, own)));
    const refused = await late;
    expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([422, "work"]);
    const after = await Promise.all([post(photo, own), post(photo, own)]);
    expect(after.map(({ status }) => status)).toEqual([200, 200]);
    own.child.kill("SIGTERM");
    expect(await own.ended).toEqual({ code: 0, stderr: "" });
  }, 120_000);
});

describe("refuses to start", () => {
  it("where another program listens, saying so", async () => {
    const other = createServer();
    const port = await new Promise<number>((done) => {
      other.listen(0, "127.0.0.1", () => done((other.address() as { port: number }).port));
    });
    const { ended } = await serve("--model", "model.safetensors", "--port", `${port}`, "--quiet");
    const { code, stderr } = await ended;
    other.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`^127\\.0\\.0\\.1:${port}: .*\\n {2}hint: .*--port.*\\n$`));
  });
  it("without its model", async () => {
    const { code, stderr } = await (await serve("--model", "missing.safetensors", "--port", "0")).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/missing\.safetensors: expected/);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
  it("with threads, whose work would be done where requests are answered", async () => {
    const { code, stderr } = await (await serve(...LOCAL, "--threads", "2")).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch("replicas: expected none beside threads");
  });
  it.each([
    ["--port", "65536"],
    ["--port", "http"],
    ["--origins", "example.com"],
    ["--max-bytes", "much"],
    ["--max-pixels", "0"],
  ])("with %s %s", async (...args) => {
    expect((await (await serve(...LOCAL, ...args)).ended).code).toBe(2);
  });
});
