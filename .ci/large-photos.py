"""
JPEGs as phones save them, 4:2:0: of 12 megapixels and of 108, each baseline and progressive. They are mosaics of enlarged photos.
Prints a line of JSON: the files by name.

    /usr/bin/python3 .ci/large-photos.py PHOTOS FOLDER      (Debian: python3-pil)
"""

import json
import os
import sys

from PIL import Image

photos, folder = sys.argv[1], sys.argv[2]
names = sorted(name for name in os.listdir(photos) if name.lower().endswith((".jpg", ".jpeg")))
Image.MAX_IMAGE_PIXELS = None


def mosaic(width, height, across, down):
    """Photos side by side, each enlarged to its share."""
    whole = Image.new("RGB", (width, height))
    cell = (-(-width // across), -(-height // down))
    for i in range(across * down):
        with Image.open(os.path.join(photos, names[i % len(names)])) as photo:
            part = photo.convert("RGB").resize(cell, Image.Resampling.BICUBIC)
        whole.paste(part, (i % across * cell[0], i // across * cell[1]))
    return whole


files = {}
for title, size, cells, quality in (("12", (4000, 3000), (4, 4), 92), ("108", (12000, 9000), (10, 8), 94)):
    image = mosaic(*size, *cells)
    for kind, progressive in (("baseline", False), ("progressive", True)):
        path = os.path.join(folder, f"{title}-{kind}.jpg")
        image.save(path, quality=quality, subsampling="4:2:0", progressive=progressive, optimize=progressive)
        files[f"{title} {kind}"] = path
print(json.dumps(files))
