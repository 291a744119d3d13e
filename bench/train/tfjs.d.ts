/** Milliseconds of each of `steps` training steps of ResNet-20 with `batch` images. */
export function tfjsSteps(batch: number, steps: number): Promise<number[]>;
