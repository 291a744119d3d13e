/** The contract in a Worker: `GET /?site=…` answers with its outcomes. */
import * as library from "resnet-wasm/edge";
import { type Expected, type Package, runContract } from "./contract.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const site = new URL(request.url).searchParams.get("site")!;
    const bytesOf = async (name: string): Promise<Uint8Array> => {
      return new Uint8Array(await (await fetch(`${site}/${name}`)).arrayBuffer());
    };
    const given = {
      ...{ f32: await bytesOf("f32"), int8: await bytesOf("int8"), photo: await bytesOf("photo") },
      ...{ torch: await bytesOf("torch"), onnx: await bytesOf("onnx") },
      ...{ stalled: `${site}/stalled.safetensors`, streams: true, oneThread: "a Worker has no threads" },
      undecoded: ["heic", "avif"] as const,
      onlySafetensors: true,
    };
    const expected = (await (await fetch(`${site}/expected.json`)).json()) as Expected;
    return Response.json(await runContract(library as unknown as Package, given, expected));
  },
};
