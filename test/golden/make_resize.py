#!/usr/bin/python3
"""Writes resize.json: what torchvision's Resize and CenterCrop, and Pillow's other filters, make of generated images.

/usr/bin/python3 test/golden/make_resize.py        (Debian: python3-pil, python3-torchvision)
"""

import hashlib
import json
import os

import numpy as np
import PIL
import torchvision
from PIL import Image
from prng import golden_pixels
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

FILTERS = {name: InterpolationMode[name.upper()] for name in ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]}

# width, height, resize, crop
CASES = [
    (500, 375, 256, 224),  # ImageNet's usual size
    (375, 500, 256, 224),
    (640, 427, 232, 224),
    (301, 211, 256, 225),  # odd crop of an even side, and corners at x.5
    (211, 301, 255, 224),
    (307, 203, 61, 48),
    (97, 131, 256, 224),  # upscaled
    (33, 47, 64, 57),
    (32, 32, 32, 32),  # nothing to do
    (40, 32, 32, 32),  # crop only
    (31, 33, 32, 32),
    (256, 256, 256, 223),
    (1, 1, 8, 7),
    (1, 1, 1, 1),
    (1, 50, 16, 13),
    (50, 1, 16, 13),
    (2, 3, 40, 33),
    (2000, 20, 256, 224),  # very wide
    (20, 1500, 64, 56),  # very tall
    (800, 600, 16, 14),  # 37-fold
    (320, 240, 1, 1),
]


# width, height, resize [h, w], squash, crop [h, w]
OTHERS = [
    (500, 375, (256, 256), True, (224, 224)),
    (97, 131, (224, 224), True, (224, 224)),
    (500, 375, (366, 183), False, (320, 160)),  # tall
    (375, 500, (183, 366), False, (160, 320)),  # wide
    (640, 427, (112, 224), True, (96, 196)),
    (31, 77, (64, 40), False, (57, 39)),
    (1000, 37, (64, 48), False, (64, 48)),
    (500, 375, (256, 256), False, (224, 224)),
    (2, 3, (5, 9), True, (4, 9)),
]


def resized(image, resize, squash, mode):
    """As torchvision's Resize for a square, timm's ResizeKeepRatio else, or to exactly `resize`."""
    if squash:
        return Resize(resize, mode)(image)
    if resize[0] == resize[1]:
        return Resize(resize[0], mode)(image)
    ratio = min(image.height / resize[0], image.width / resize[1])
    size = [max(low, round(side / ratio)) for side, low in zip((image.height, image.width), resize)]
    return Resize(size, mode)(image)


def case(width, height, resize, squash, crop, name, order="rgb"):
    image = Image.fromarray(golden_pixels(width, height)[:, :, :3])
    if order == "gray":
        image = image.convert("L")
    out = CenterCrop(crop)(resized(image, resize, squash, FILTERS[name]))
    assert out.size == (crop[1], crop[0])
    values = np.asarray(out).ravel()
    return {
        "width": width,
        "height": height,
        "resize": resize,
        "squash": squash,
        "crop": crop,
        "filter": name,
        "order": order,
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        # Of [h, w, c], evenly spread: to see how far off a wrong result is.
        "samples": values[:: max(1, values.size // 16)][:16].tolist(),
    }


def normalised():
    steps = [Resize(20), CenterCrop(16), ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    image = Image.fromarray(golden_pixels(45, 37)[:, :, :3])
    x = Compose(steps)(image).permute(1, 2, 0).numpy().ravel()
    return {"width": 45, "height": 37, "resize": 20, "crop": 16, "values": [float(str(v)) for v in x[::13]]}


golden = {
    "about": "made by make_resize.py",
    "versions": {"Pillow": PIL.__version__, "torchvision": torchvision.__version__},
    "normalised": normalised(),
    "cases": [
        *[case(w, h, (to, to), False, (crop, crop), name) for name in FILTERS for w, h, to, crop in CASES],
        *[case(*sizes, name) for name in FILTERS for sizes in OTHERS],
        *[case(*sizes, "bilinear", "gray") for sizes in OTHERS],
    ],
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize.json")
with open(path, "w", encoding="utf-8") as out:
    cases = ",\n    ".join(json.dumps(each) for each in golden["cases"])
    head = ",\n  ".join(f'"{key}": {json.dumps(golden[key])}' for key in ["about", "versions", "normalised"])
    out.write("{\n  " + head + ',\n  "cases": [\n    ' + cases + "\n  ]\n}\n")
