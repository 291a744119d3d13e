"""
Every photo of a folder, and random parts of them encoded in every way that cjpeg and Pillow can: for each a line of JSON with its
file, and width, height and SHA-256 of Pillow's RGB pixels of it, at full size and as drafts of 1/2, 1/4 and 1/8.

    /usr/bin/python3 .ci/jpeg-pillow.py PHOTOS FOLDER COUNT SEED      (Debian: python3-pil, libjpeg-turbo-progs)
"""

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile

from PIL import Image

photos, folder, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.makedirs(folder, exist_ok=True)
files = sorted(name for name in os.listdir(photos) if name.lower().endswith((".jpg", ".jpeg")))
rng = random.Random(seed)

SAMPLINGS = ["1x1", "2x1", "2x2", "1x2", "4x1", "4x2", "2x4", "1x4", "3x1", "1x3", "4x4",
             "2x2,2x1,1x1", "2x2,1x2,1x1", "2x1,1x1,2x1", "2x2,1x1,2x2", "1x1,2x2,1x1", "2x1,2x1,1x1", "2x2,2x2,2x2"]

# Scans of a sequential file: one for each component, or two of them together.
SCRIPTS = ["0; 1; 2;", "0; 1 2;", "0 1; 2;"]
PROGRESSIVE = ["0 1 2: 0 0 0 1; 0: 1 63 0 3; 1: 1 63 0 0; 2: 1 20 0 2; 2: 21 63 0 2; 0: 1 63 3 2; 2: 1 63 2 1; 2: 1 63 1 0;"
               "0: 1 63 2 1; 0 1 2: 0 0 1 0; 0: 1 63 1 0;",
               "0: 0 0 0 0; 1: 0 0 0 0; 2: 0 0 0 0; 0: 1 63 0 0; 1: 1 63 0 0; 2: 1 63 0 0;"]


def by_cjpeg(image):
    options = ["-quality", str(rng.choice([1, 10, 30, 50, 75, 85, 92, 100]))]
    if rng.random() < 0.2:
        options += ["-grayscale"]
    else:
        if rng.random() < 0.15:
            options += ["-rgb"]
        options += ["-sample", rng.choice(SAMPLINGS)]
        kind = rng.random()
        if kind < 0.3:
            options += ["-progressive"]
        elif kind < 0.5:
            script = os.path.join(tempfile.gettempdir(), f"scans-{os.getpid()}.txt")
            with open(script, "w") as file:
                file.write(rng.choice(SCRIPTS + PROGRESSIVE))
            options += ["-scans", script]
    if rng.random() < 0.3:
        options += ["-optimize"]
    if rng.random() < 0.4:
        options += ["-restart", rng.choice(["1", "2", "1B", "3B", "7B"])]
    source = io.BytesIO()
    image.convert("RGB").save(source, "PPM")
    done = subprocess.run(["cjpeg", *options], input=source.getvalue(), capture_output=True)
    return done.stdout if done.returncode == 0 else None, " ".join(options)


def by_pillow(image):
    image = image.convert(rng.choice(["RGB", "L", "CMYK", "CMYK"]))
    options = dict(quality=rng.choice([1, 20, 50, 75, 90, 100]), progressive=rng.random() < 0.4, optimize=rng.random() < 0.4)
    if image.mode != "L":
        options["subsampling"] = rng.choice([0, 1, 2])
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    data = file.getvalue()
    if image.mode == "CMYK" and rng.random() < 0.5:
        # Adobe's marker may say that the first three are luma and chroma.
        at = data.index(b"Adobe") + 11
        data = data[:at] + b"\x02" + data[at + 1:]
    return data, f"{image.mode} {options}"


def digests(data):
    """By the divisor of the size; not of what Pillow refuses (fractional sampling)."""
    results = {}
    for wanted in (1, 2, 4, 8):
        opened = Image.open(io.BytesIO(data))
        if wanted > 1:
            opened.draft(None, (max(1, opened.width // wanted), max(1, opened.height // wanted)))
        try:
            opened.load()
        except OSError:
            return {}
        rgb = opened.convert("RGB")
        by = (opened.decoderconfig or (1,))[0] or 1
        results[by] = [rgb.width, rgb.height, hashlib.sha256(rgb.tobytes()).hexdigest()]
    return results


def tell(file, how, data):
    found = digests(data)
    if found:
        print(json.dumps({"file": file, "how": how, "digests": found}))
    return bool(found)


for name in files:
    with open(os.path.join(photos, name), "rb") as file:
        tell(os.path.join(photos, name), "as it is", file.read())

done = 0
while done < count:
    image = Image.open(os.path.join(photos, rng.choice(files))).convert("RGB")
    width, height = rng.randint(1, 300), rng.randint(1, 300)
    if rng.random() < 0.2:
        width, height = rng.randint(1, 20), rng.randint(1, 20)
    left, top = rng.randint(0, max(0, image.width - width)), rng.randint(0, max(0, image.height - height))
    part = image.crop((left, top, min(image.width, left + width), min(image.height, top + height)))
    data, how = by_cjpeg(part) if rng.random() < 0.7 else by_pillow(part)
    if data is None:
        continue
    path = f"{folder}/{done}.jpg"
    if tell(path, how, data):
        with open(path, "wb") as file:
            file.write(data)
        done += 1
