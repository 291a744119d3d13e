/** The options of `finetune` and `train`. */
import { type Command, Option } from "commander";
import { AUGMENTS } from "../train/augment.ts";
import { PARTS } from "../train/finetune.ts";
import { SCHEDULES } from "../train/schedules.ts";
import { fromZero, positive, share, whole } from "./parse.ts";

/** Adds what `finetune` and `train` share. */
export function withTraining(command: Command): Command {
  return command
    .requiredOption("--out <file>", "the safetensors file to write")
    .addOption(new Option("--train <part>", "what is trained; all of it from scratch, else the head").choices(PARTS))
    .option("--epochs <n>", "passes over the data", whole(1))
    .option("--batch <n>", "images of a step", whole(1))
    .option("--accumulate <n>", "batches of a step, where memory is short", whole(1))
    .option("--lr <rate>", "the highest learning rate", positive)
    .addOption(new Option("--optimizer <name>", "the update rule").choices(["sgd", "adamw"]))
    .addOption(new Option("--schedule <name>", "how the learning rate changes").choices(SCHEDULES).default("cosine"))
    .option("--warmup <epochs>", "over which the learning rate rises", fromZero)
    .option("--momentum <m>", "of sgd", share)
    .option("--nesterov", "Nesterov's momentum")
    .option("--weight-decay <d>", "weight decay", fromZero)
    .option("--no-decay-norms", "no weight decay for biases and norms")
    .option("--label-smoothing <s>", "part of a label that is spread over all classes", share)
    .option("--clip <norm>", "largest norm of the gradient", positive)
    .option("--ema <share>", "keep an exponential moving average of the weights, with this decay", share)
    .addOption(new Option("--norms <kind>", "statistics of batch norms").choices(["live", "frozen"]))
    .addOption(new Option("--augment <how>", "how strongly images are augmented").choices(AUGMENTS))
    .option("--labels <csv>", "lines of file,class")
    .option("--val <dir>", "images to validate with")
    .option("--val-split <share>", "share of the images held out for validation; 0.2 unless --val is given", share)
    .option("--seed <n>", "of the order, the augmentation and new weights", whole(0))
    .option("--checkpoint-epochs <n>", "epochs from one checkpoint to the next", whole(1))
    .option("--checkpoint-minutes <n>", "minutes from one checkpoint to the next, within an epoch", positive)
    .option("--resume", "continue from OUT.checkpoint, which a stopped run leaves")
    .option("--report <file>", "write an HTML report");
}
