/** Milliseconds a picture on other devices, one thread, by model: README and bench/README.md of resnet-wasm. */
export interface Device {
  readonly name: string;
  readonly ms: number;
}

const ZEN5 = "AMD Zen 5, Node 26";
export const DEVICES: Readonly<Record<string, readonly Device[]>> = {
  resnet18: [{ name: ZEN5, ms: 30.9 }],
  resnet50: [{ name: ZEN5, ms: 109.1 }],
  "resnet50-int8": [{ name: ZEN5, ms: 36.8 }],
  "resnet50-a1": [{ name: ZEN5, ms: 109.1 }],
};
