/**
 * Batch norm: with fixed statistics where no convolution could take it in, as in pre-activation networks; in training with
 * those of the batch, and with the addition and the ReLU behind it.
 */
import { NO_CLAMP, type NormNode } from "../graph.ts";
import { type Step, step } from "../tape.ts";
import { bounds, normAffine, normParams, type Op, type TrainOp, type TrainPlace } from "./op.ts";

/** Pixels of a slice that is summed by itself: 16 KB of activations, so that a second look at it finds it in L1. */
function sliceRows(channels: number): number {
  return Math.min(256, Math.max(32, Math.floor(4096 / channels)));
}

function train(node: NormNode, place: TrainPlace): readonly Step[] {
  const [h, w, c] = node.shape;
  const { name, epsilon } = node;
  const pixels = place.batch * h * w;
  const input = place.address(node.inputs[0]!);
  const out = place.address(name);
  const statistics = place.statistics(name);
  const [weight, bias] = [place.param(`${name}.weight`), place.param(`${name}.bias`)];
  const steps: Step[] = [];
  if (place.live(name)) {
    const rows = sliceRows(c);
    const slices = Math.ceil(pixels / rows);
    const partials = place.workspace(8 * c * slices);
    const [mean, variance] = [place.fresh(`${name}.running_mean`), place.fresh(`${name}.running_var`)];
    steps.push(
      step(name, "norm_stats_f32", slices, { pixels, c, rows, input, partials }),
      step(name, "norm_batch_f32", c, {
        pixels,
        c,
        rows,
        partials,
        weight,
        bias,
        statistics,
        fresh: mean,
        freshVariance: variance,
        epsilon,
      }),
    );
  } else {
    const [mean, variance] = [place.param(`${name}.running_mean`), place.param(`${name}.running_var`)];
    steps.push(step(name, "norm_running_f32", c, { c, weight, bias, mean, variance, statistics, epsilon }));
  }
  steps.push(
    node.residual
      ? step(name, "norm_add_f32", pixels, {
          c,
          input,
          parameters: statistics,
          residual: place.address(node.inputs[1]!),
          out,
          ...bounds(node.clamp),
        })
      : step(name, "norm_f32", pixels, { c, input, parameters: statistics, out, ...bounds(node.clamp) }),
  );
  return steps;
}

function backward(node: NormNode, place: TrainPlace): readonly Step[] {
  const [h, w, c] = node.shape;
  const { name } = node;
  const pixels = place.batch * h * w;
  const input = place.address(node.inputs[0]!);
  const statistics = place.statistics(name);
  const dy = place.dy(name);
  const rows = sliceRows(c);
  const slices = Math.ceil(pixels / rows);
  const slopes = place.workspace(8 * c * slices + 12 * c);
  const partials = slopes + 12 * c;
  // Where something was added, the gradient is masked in place: it is that of both operands.
  const masked = node.residual && !isOpen(node) ? dy : 0;
  const output = masked === 0 ? 0 : place.address(name);
  const trained = place.trains(name);
  const dw = trained ? place.paramGradient(`${name}.weight`) : 0;
  const db = trained ? place.paramGradient(`${name}.bias`) : 0;
  const live = place.live(name) ? 1 : 0;
  const steps: Step[] = [
    step(name, "norm_grad_sums_f32", slices, {
      pixels,
      c,
      rows,
      input,
      output,
      dy,
      statistics,
      masked,
      partials,
      ...bounds(node.clamp),
    }),
    step(name, "norm_wgrad_f32", c, { pixels, c, rows, live, partials, statistics, dw, db, slopes }),
  ];
  const dx = place.dx(node, 0);
  if (dx !== undefined) {
    const clamp = node.residual ? NO_CLAMP : node.clamp;
    steps.push(
      step(name, "norm_dgrad_f32", pixels, {
        c,
        adds: dx.adds ? 1 : 0,
        input,
        dy,
        statistics,
        slopes,
        dx: dx.address,
        ...bounds(clamp),
      }),
    );
  }
  const other = node.residual ? place.dx(node, 1) : undefined;
  if (other?.adds) {
    steps.push(step(name, "add_f32", pixels, { c, a: other.address, b: dy, out: other.address, ...bounds(NO_CLAMP) }));
  } else if (other !== undefined && other.address !== dy) {
    steps.push(step(name, "clamp_f32", pixels, { c, input: dy, out: other.address, ...bounds(NO_CLAMP) }));
  }
  return steps;
}

function isOpen({ clamp: [lo, hi] }: NormNode): boolean {
  return lo === NO_CLAMP[0] && hi === NO_CLAMP[1];
}

export const norm: Op<NormNode> = {
  params: (node) => normParams(node.name, node.shape[2]),
  macs: () => 0,
  weightBytes: (node) => node.shape[2] * 8,
  async pack(node, address, packer) {
    const { scale, shift } = await normAffine(node.name, node.epsilon, packer);
    const c = node.shape[2];
    const both = new Float32Array(2 * c);
    both.set(scale);
    both.set(shift, c);
    packer.write(address, both);
  },
  forward(node, place) {
    const [h, w, c] = node.shape;
    const input = place.address(node.inputs[0]!);
    const [lo, hi] = node.clamp;
    const units = place.batch * h * w;
    return [
      step(node.name, "norm_f32", units, {
        c,
        input,
        parameters: place.weights(node.name),
        out: place.address(node.name),
        lo,
        hi,
      }),
    ];
  },
};

export const normTraining: TrainOp<NormNode> = {
  train,
  savedForBackward: (node) => [node.inputs[0]!, ...(node.residual && !isOpen(node) ? [node.name] : [])],
  aliasesGradient: (node) => (node.residual ? 1 : 0),
  backward,
};
