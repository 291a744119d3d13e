"""Numbers that follow from a name alone; weights.ts is the twin and holds the definition in prose."""

import numpy as np


def uniforms(name, count):
    """`count` float64 in [0, 1)."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h.astype(np.float64) / 2.0**32


def golden_pixels(width, height):
    """[height, width, 4] uint8: squares of 8 by 8, noise beside gradients."""
    noise = np.floor(uniforms(f"image {width}x{height}", width * height * 4) * 256).astype(np.uint8)
    noise = noise.reshape(height, width, 4)
    y, x = np.mgrid[0:height, 0:width]
    smooth = noise.copy()
    smooth[:, :, 0] = x * 255 // max(width - 1, 1)
    smooth[:, :, 1] = y * 255 // max(height - 1, 1)
    # Black and white by turns, where bicubic weights overshoot.
    smooth[:, :, 2] = (noise[:, :, 2] >> 7) * 255
    even = ((x >> 3) + (y >> 3)) % 2 == 0
    return np.where(even[:, :, None], noise, smooth)
