/**
 * Weights that are not stored: each tensor is generated from its name, here and in make_logits.py, bit for bit alike.
 *
 * Seed: FNV-1a (32 bits) of the name in UTF-8. Element i: h = seed + i · 0x9E3779B1 modulo 2³², then murmur3's finalizer;
 * u = h / 2³², in [0, 1). With PyTorch's shapes, computed in f64 and rounded to f32 once:
 *
 * - rank 4, a convolution `[out, in / groups, kh, kw]`: (2u − 1) · √(6 / (in / groups · kh · kw))
 * - rank 2, a linear layer `[out, in]`: (2u − 1) · √(3 / in)
 * - `.bias` and `.running_mean`: (u − 0.5) · 0.2
 * - `.weight` of a norm and `.running_var`: 0.5 + u; a quarter of it for the weight of the last norm of a residual block,
 *   so that activations stay bounded in deep networks
 * - the input: 4u − 2
 */

function seedOf(name: string): number {
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  return seed;
}

/** Element i of a tensor: u, in [0, 1). */
function uniformAt(seed: number, i: number): number {
  let h = seed + Math.imul(i, 0x9e3779b1);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return (h >>> 0) / 2 ** 32;
}

/**
 * `count` numbers that follow from `name` alone: (u · scale + shift) · gain. Numbers, not a function that would be called
 * for each: networks have up to 67 million.
 */
function uniforms(name: string, count: number, scale: number, shift: number, gain: number): Float32Array {
  const seed = seedOf(name);
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; ++i) numbers[i] = (uniformAt(seed, i) * scale + shift) * gain;
  return numbers;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/**
 * A parameter of a golden network, in C order.
 *
 * @param name torchvision's, as `layer1.0.conv1.weight`
 * @param shape PyTorch's
 * @param lastNorm the last norm of the network's residual blocks (`lastNorm` in logits.json): `bn2` for basic blocks,
 * `bn3` for bottlenecks, null for a plain network
 */
export function goldenTensor(name: string, shape: readonly number[], lastNorm: string | null = null): Float32Array {
  const count = elements(shape);
  if (shape.length === 4) {
    const bound = Math.sqrt(6 / elements(shape.slice(1)));
    return uniforms(name, count, 2, -1, bound);
  }
  if (shape.length === 2) {
    const bound = Math.sqrt(3 / shape[1]!);
    return uniforms(name, count, 2, -1, bound);
  }
  if (/\.(bias|running_mean)$/.test(name)) return uniforms(name, count, 1, -0.5, 0.2);
  const gain = lastNorm !== null && name.endsWith(`.${lastNorm}.weight`) ? 0.25 : 1;
  return uniforms(name, count, 1, 0.5, gain);
}

/** The input of every golden network: `[n, h, w, 3]`, −2…2. */
export function goldenInput(shape: readonly number[]): Float32Array {
  return uniforms("input", elements(shape), 4, -2, 1);
}

/** Squares of 8 by 8, noise beside gradients: `[height, width, 4]` RGBA. */
export function goldenPixels(width: number, height: number): Uint8Array {
  const seed = seedOf(`image ${width}x${height}`);
  return new Uint8Array(width * height * 4).map((_, i) => {
    const value = Math.floor(uniformAt(seed, i) * 256);
    const x = (i >> 2) % width;
    const y = Math.floor((i >> 2) / width);
    if (((x >> 3) + (y >> 3)) % 2 === 0) return value;
    switch (i & 3) {
      case 0:
        return Math.floor((x * 255) / Math.max(width - 1, 1));
      case 1:
        return Math.floor((y * 255) / Math.max(height - 1, 1));
      case 2:
        // Black and white by turns, where bicubic weights overshoot.
        return (value >> 7) * 255;
      default:
        return value;
    }
  });
}
