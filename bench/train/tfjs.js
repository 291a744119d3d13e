/** ResNet-20 in TensorFlow.js's cpu backend: the only one of its portable backends that can train a convolution. */
import * as tf from "@tensorflow/tfjs";

const STAGES = [
  [16, 1],
  [32, 2],
  [64, 2],
];

export async function tfjsSteps(batch, steps) {
  await tf.setBackend("cpu");
  await tf.ready();
  const weights = new Map();
  const weight = (name, shape, make) => {
    const known = weights.get(name) ?? tf.variable(tf.reshape(make(), shape));
    weights.set(name, known);
    return known;
  };
  const conv = (name, x, n, stride) => {
    const shape = [3, 3, x.shape[3], n];
    const kernel = weight(name, shape, () => tf.randomNormal(shape, 0, Math.sqrt(2 / (9 * n))));
    return tf.conv2d(x, kernel, stride, "same");
  };
  const norm = (name, x) => {
    const n = x.shape[3];
    const { mean, variance } = tf.moments(x, [0, 1, 2]);
    const scale = weight(`${name}.weight`, [n], () => tf.ones([n]));
    const shift = weight(`${name}.bias`, [n], () => tf.zeros([n]));
    return tf.batchNorm(x, mean, variance, shift, scale, 1e-5);
  };
  const network = (images) => {
    let x = tf.relu(norm("bn1", conv("conv1", images, 16, 1)));
    STAGES.forEach(([n, first], stage) => {
      for (let block = 0; block < 3; ++block) {
        const stride = block === 0 ? first : 1;
        const name = `${stage}.${block}`;
        const inner = tf.relu(norm(`${name}.bn1`, conv(`${name}.conv1`, x, n, stride)));
        const residual = norm(`${name}.bn2`, conv(`${name}.conv2`, inner, n, 1));
        let shortcut = x;
        if (stride > 1) {
          const margin = (n - x.shape[3]) / 2;
          const picked = tf.avgPool(x, 1, stride, "valid");
          shortcut = tf.pad(picked, [
            [0, 0],
            [0, 0],
            [0, 0],
            [margin, margin],
          ]);
        }
        x = tf.relu(tf.add(residual, shortcut));
      }
    });
    const last = weight("fc", [64, 10], () => tf.randomUniform([64, 10], -0.125, 0.125));
    return tf.matMul(tf.mean(x, [1, 2]), last);
  };
  const images = tf.randomNormal([batch, 32, 32, 3]);
  const labels = tf.oneHot(tf.mod(tf.range(0, batch, 1, "int32"), tf.scalar(10, "int32")), 10);
  const optimizer = tf.train.momentum(0.01, 0.9);
  network(images).dispose();
  const times = [];
  for (let i = 0; i < steps; ++i) {
    const start = performance.now();
    const loss = optimizer.minimize(() => tf.losses.softmaxCrossEntropy(labels, network(images)), true);
    await loss.data();
    times.push(performance.now() - start);
  }
  return times;
}
