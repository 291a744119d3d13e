/** What a page's worker for trainings does. */
import type { ImageInput } from "../decode/input.ts";
import type { Runtime } from "../runtime.ts";
import type { Dataset, Example } from "../train/dataset.ts";
import { finetuneWith, trainNewWith } from "../train/finetune.ts";
import { openImage } from "./images.ts";
import { openModel, type PostedModel } from "./models.ts";
import { openOptions, type PostedOptions } from "./options.ts";
import { type Handler, Moved, type Peer } from "./peer.ts";

/** A set as it is posted: its images stay where they are, and are asked for. */
export type PostedDataset = Pick<Dataset, "classes"> & {
  readonly examples: readonly Pick<Example, "name" | "label">[];
};

/** Which set an image is of. */
export type Part = "train" | "val";

/** Handlers of trainings. `page` is the other end: it has the images, and hears of events. */
export function serveTrainings(runtime: Runtime, page: () => Peer): Readonly<Record<string, Handler>> {
  const optionsOf = (posted: PostedOptions, signal: AbortSignal) => openOptions(page, posted, signal);
  const imageOf = async (part: Part, index: number): Promise<ImageInput> => {
    return openImage(await page().call("image", [part, index]));
  };
  const datasetOf = ({ classes, examples }: PostedDataset, part: Part): Dataset => {
    // Promises of images: a training waits for them.
    const image = (index: number) => () => imageOf(part, index) as unknown as ImageInput;
    return { classes, examples: examples.map((example, index) => ({ ...example, image: image(index) })) };
  };
  const trained = <S>(
    work: (source: S, dataset: Dataset, options: object) => Promise<{ readonly bytes: Uint8Array<ArrayBuffer> }>,
    open: (posted: unknown) => S,
  ): Handler => {
    return async ([posted, dataset, given], signal) => {
      const options = optionsOf(given as PostedOptions, signal);
      const { val } = options;
      const both = typeof val === "object" ? { ...options, val: datasetOf(val as PostedDataset, "val") } : options;
      const result = await work(open(posted), datasetOf(dataset as PostedDataset, "train"), both);
      return new Moved(result, [result.bytes.buffer]);
    };
  };
  const open = (posted: unknown) => openModel(posted as PostedModel);
  return {
    finetune: trained((source, ...rest) => finetuneWith(runtime, source, ...rest), open),
    train: trained((arch: string, ...rest) => trainNewWith(runtime, arch, ...rest), String),
  };
}
