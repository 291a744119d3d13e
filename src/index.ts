/** The public surface. Each runtime's entry adds `load`, bound to that runtime. */

export type { ByteSource, Folder } from "./bytes.ts";
export type { Checkpoint, Guess, GuessKey } from "./checkpoint.ts";
export {
  Classifier,
  type ImageTensor,
  type LoadOptions,
  loadWith,
  type Matrix,
  type Prediction,
} from "./classifier.ts";
export { type ConvertOptions, convert, type StorageDtype } from "./convert.ts";
export { BYTE_LIMIT } from "./decode/bytes.ts";
export type { Drawable } from "./decode/drawable.ts";
export { PIXEL_LIMIT } from "./decode/image.ts";
export type { ImageInput } from "./decode/input.ts";
export type { RawPixels } from "./decode/raw.ts";
export { DatasetError, type DatasetErrorCode, ModelError } from "./errors.ts";
export { fold } from "./fold.ts";
export { type Format, openCheckpoint, SAFETENSORS } from "./formats/open.ts";
export { openSafetensors, writeSafetensors } from "./formats/safetensors.ts";
export { openSharded, SHARDED } from "./formats/sharded.ts";
export { TFJS } from "./formats/tfjs.ts";
export type { Graph, Node, Shape } from "./graph.ts";
export type { Pixels } from "./image.ts";
export { BUILDS, type Build, supportsRelaxed } from "./kernels.ts";
export { type Model, type ModelOptions, openModel } from "./model.ts";
export { PRETRAINED } from "./models/pretrained.ts";
export { RESNETS, type ResNetSpec, resnet, resnetSpec } from "./models/resnet.ts";
export { macCount, parameterCount } from "./ops/ops.ts";
export { PRESETS, type Preprocess, type PreprocessOptions, type PresetName, type Sides } from "./preprocess.ts";
export { METHODS, type Method, type Quantized, type QuantizeOptions, quantizeWith } from "./quantizer.ts";
export type { Progress, Runtime, Store } from "./runtime.ts";
export type { Dtype, TensorInfo } from "./tensor.ts";
export { AUGMENTS, type Augment } from "./train/augment.ts";
export { type Dataset, type Example, ImageSet, splitDataset } from "./train/dataset.ts";
export {
  type Finetuned,
  type FinetuneNeeds,
  type FinetuneOptions,
  finetuneNeeds,
  finetuneWith,
  type SourceOptions,
  type TrainProgress,
  trainNewWith,
} from "./train/finetune.ts";
export type { EpochRecord, FitProgress } from "./train/fit.ts";
export { PARTS, type Part, type StepOptions, type TrainingOptions } from "./train/options.ts";
export { SCHEDULES, type Schedule } from "./train/schedules.ts";
export { DivergedError, type Trainer, type TrainOptions, trainingNeeds, trainWith } from "./train/trainer.ts";
export type { ClassAccuracy, Validated } from "./train/validate.ts";
export { tune } from "./tune.ts";
export type { Tuning } from "./variants.ts";
export { type Views, viewsOf } from "./views.ts";
