/**
 * What every entry exports besides the functions of `Library`: errors, tables of names, and every type that a public
 * function takes or returns. Graphs, plans and kernels are `lowlevel.ts`; readers and writers of files are `formats.ts`.
 */

export { type ByteSource, type Folder, fromBytes, fromStream } from "./bytes.ts";
export type { Checkpoint, Guess, GuessKey } from "./checkpoint.ts";
export type {
  Activation,
  CallOptions,
  Classifier,
  ClassifyOptions,
  DecodeDefault,
  ImageTensor,
  Layer,
  LoadOptions,
  PhotoOptions,
  Prediction,
} from "./classifier.ts";
export type { ConvertOptions } from "./convert.ts";
export { BYTE_LIMIT, PIXEL_LIMIT } from "./decode/bytes.ts";
export type { Drawable } from "./decode/drawable.ts";
export type { ImageInput } from "./decode/input.ts";
export type { RawPixels, SharpPixels } from "./decode/raw.ts";
export type { DecodeMode } from "./decode/wanted.ts";
export { defineRuntime, type Library } from "./define.ts";
export { type Match, type Matrix, type SearchOptions, search, similarity } from "./embedding.ts";
export type { EngineOptions } from "./engine.ts";
export {
  ArgumentTypeError,
  DatasetError,
  type DatasetErrorCode,
  DivergedError,
  ImageError,
  type ImageErrorCode,
  ModelError,
  type ModelErrorCode,
  OptionError,
  StateError,
} from "./errors.ts";
export { type Format, SAFETENSORS } from "./formats/open.ts";
export type { NamedTensor } from "./formats/safetensors.ts";
export type { Graph, Node, Shape } from "./graph.ts";
export type { Heatmap, HeatmapOptions } from "./heatmap.ts";
export type { Pixels } from "./image.ts";
export type { Inspection, InspectOptions, LayerInspection } from "./inspect.ts";
export { BUILDS, type Build, supportsRelaxed } from "./kernels.ts";
export { METHODS, type Method } from "./methods.ts";
export type { Model, ModelOptions, Source } from "./model.ts";
export { PRETRAINED, type Pretrained } from "./models/pretrained.ts";
export { RESNETS, type ResNetSpec } from "./models/resnet.ts";
export type { Network } from "./network.ts";
export type { CachedModel, CacheOptions, CacheUsage, Persistence, Prefetched } from "./offline.ts";
export { OUTPUT_KINDS, type OutputKind } from "./output.ts";
export {
  type ChannelOrder,
  FILTERS,
  type Filter,
  PRESETS,
  type Preprocess,
  type PreprocessOptions,
  type PresetName,
  type Sides,
  type Triple,
} from "./preprocess.ts";
export type { Observed, Quantized, QuantizeOptions } from "./quantizer.ts";
export type {
  DownloadProgress,
  EntryFolder,
  Hash,
  HuggingFace,
  KnownChecksum,
  Located,
  LocateOptions,
  ModuleName,
  PageStorage,
  Runtime,
  Store,
  StoredEntry,
  StoreFile,
  StoreWriter,
  WorkerHandle,
  WorkerJob,
} from "./runtime.ts";
export type { DownloadOptions, FileSource } from "./source.ts";
export { FILE_FORMATS, type FileFormat, STORAGE_DTYPES, type StorageDtype } from "./stored-values.ts";
export type { Step, Tape } from "./tape.ts";
export { mergeSums, Teacher } from "./teacher.ts";
export type { Dtype, TensorInfo } from "./tensor.ts";
export { AUGMENTS, type Augment } from "./train/augments.ts";
export type { Choice } from "./train/chosen.ts";
export type { CreateTrainerOptions } from "./train/create.ts";
export { type Dataset, type Example, ImageSet, splitDataset } from "./train/dataset.ts";
export type { FeatureStore } from "./train/feature-store.ts";
export type {
  Finetuned,
  FinetuneNeeds,
  FinetuneOptions,
  SourceOptions,
  TrainNewOptions,
  TrainProgress,
} from "./train/finetune.ts";
export type { FitProgress } from "./train/fit.ts";
export type { CrossValidation, FoldResult } from "./train/folds.ts";
export {
  type ClassWeighting,
  type FeatureKind,
  HEADS,
  type HeadName,
  type Kept,
  LOSSES,
  type Loss,
  OPTIMIZERS,
  type OptimizerName,
  PARTS,
  type Part,
  type StepOptions,
  type TrainingOptions,
} from "./train/options.ts";
export { SCHEDULES, type Schedule } from "./train/schedules.ts";
export type { TrainOptions, TrainPart } from "./train/spec.ts";
export type { EpochRecord } from "./train/state.ts";
export type { Targets } from "./train/targets.ts";
export type { TeacherEvaluation, TeacherOptions } from "./train/teacher.ts";
export type { Evaluation, StepResult, Trainer } from "./train/trainer.ts";
export type { TrainerState } from "./train/trainer-state.ts";
export type { ClassAccuracy, Validated } from "./train/validate.ts";
export type { TuneOptions } from "./tune.ts";
export type { Tuning, Vectors } from "./variants.ts";
export type { Views } from "./views.ts";
