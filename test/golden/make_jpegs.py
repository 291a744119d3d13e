"""
Writes jpegs.json: small JPEGs of a synthetic picture, in every way they are coded, and SHA-256 of the RGB pixels that Pillow sees in
each, at full size and as drafts of 1/2, 1/4 and 1/8, and in the beginnings of some, with LOAD_TRUNCATED_IMAGES. Pillow 9.4.0 with libjpeg-turbo 2.1.5, and its cjpeg.

    /usr/bin/python3 test/golden/make_jpegs.py > test/golden/jpegs.json
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image, ImageFile


def picture(width, height):
    """Smooth colours, sharp edges and a little noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rng = np.random.default_rng(width * 1000 + height)
    waves = [np.sin(x / 5 + y / 9), np.cos(x / 11 - y / 6), np.sin((x + y) / 4) * np.cos(y / 3)]
    rgb = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 6, (height, width, 1))
    rgb[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 30)
    rgb[:, width * 3 // 4 :] *= 0.3
    return Image.fromarray(np.clip(np.round(rgb), 0, 255).astype(np.uint8))


def by_cjpeg(image, options, scans=None):
    source = io.BytesIO()
    image.save(source, "PPM")
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "scans")
        if scans is not None:
            with open(script, "w") as file:
                file.write(scans)
            options += f" -scans {script}"
        return subprocess.run(["cjpeg", *options.split()], input=source.getvalue(), capture_output=True, check=True).stdout


def by_pillow(image, mode, **options):
    file = io.BytesIO()
    image.convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def as_ycck(data):
    """Adobe's marker says that the first three are luma and chroma."""
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


def without_tables(data):
    """As a frame of Motion JPEG: no Huffman tables."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if data[at + 1] != 0xC4:
            out += data[at:end]
        at = end
    return out + data[at:]


odd, wide, tiny = picture(43, 29), picture(59, 18), picture(3, 5)
files = {}
for sampling in ["1x1", "2x1", "2x2", "1x2", "4x1", "4x2", "3x1", "1x4", "2x2,2x1,1x1", "2x2,1x2,2x1", "1x1,2x2,1x1"]:
    files[f"sampling {sampling}"] = by_cjpeg(odd, f"-quality 75 -sample {sampling}")
for quality in [1, 25, 50, 97, 100]:
    files[f"quality {quality}"] = by_cjpeg(odd if quality < 90 else picture(21, 19), f"-quality {quality} -sample 2x2")
files["optimised"] = by_cjpeg(wide, "-quality 85 -optimize")
files["gray"] = by_cjpeg(odd, "-quality 80 -grayscale")
files["gray with factors"] = by_cjpeg(odd, "-quality 80 -grayscale -sample 2x2")
files["RGB"] = by_cjpeg(odd, "-quality 60 -rgb")
files["restarts"] = by_cjpeg(odd, "-quality 70 -restart 1 -sample 2x2")
files["restarts each block"] = by_cjpeg(wide, "-quality 50 -restart 1B -sample 2x1")
files["progressive"] = by_cjpeg(odd, "-quality 75 -progressive")
files["progressive, gray"] = by_cjpeg(odd, "-quality 75 -progressive -grayscale")
files["progressive, restarts"] = by_cjpeg(odd, "-quality 85 -progressive -restart 2B -sample 1x2")
files["progressive, without refinement"] = by_cjpeg(
    odd, "-quality 75", "0: 0 0 0 0; 1: 0 0 0 0; 2: 0 0 0 0; 0: 1 63 0 0; 1: 1 63 0 0; 2: 1 63 0 0;"
)
files["a scan for each component"] = by_cjpeg(odd, "-quality 75", "0; 1; 2;")
files["a scan for two components"] = by_cjpeg(wide, "-quality 75 -restart 2B", "0 1; 2;")
files["tiny"] = by_cjpeg(tiny, "-quality 90 -sample 2x2")
files["tiny, 2x1"] = by_cjpeg(tiny, "-quality 90 -sample 2x1")
files["one pixel"] = by_cjpeg(picture(1, 1), "-quality 90")
files["CMYK"] = by_pillow(odd, "CMYK", quality=75)
files["YCCK"] = as_ycck(by_pillow(odd, "CMYK", quality=75, subsampling=2))
files["CMYK, progressive"] = by_pillow(odd, "CMYK", quality=50, progressive=True, subsampling=1)
files["without Huffman tables"] = without_tables(by_pillow(wide, "RGB", quality=60))

# Of progressive ones libjpeg smooths what is not there yet, which is not done here.
CUT = ["sampling 1x1", "sampling 2x2", "quality 100", "gray", "restarts", "CMYK"]
result = {}
for name, data in files.items():
    digests = []
    for by in (1, 2, 4, 8):
        opened = Image.open(io.BytesIO(data))
        if by > 1:
            # A draft is at least as large as asked, to both sides; a scale larger than the image is not to be had.
            opened.draft(None, (max(1, opened.width // by), max(1, opened.height // by)))
        opened.load()
        done = (opened.decoderconfig or (1,))[0] or 1
        if done != by:
            digests.append(None)
            continue
        rgb = opened.convert("RGB")
        digests.append([rgb.width, rgb.height, hashlib.sha256(rgb.tobytes()).hexdigest()])
    result[name] = {"base64": base64.b64encode(data).decode(), "digests": digests}
    if name in CUT:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        codes = data.index(b"\xff\xda") + 20
        lengths = [codes + (len(data) - codes) * part // 8 for part in (1, 3, 6, 8)]
        result[name]["cut"] = [
            [length, hashlib.sha256(Image.open(io.BytesIO(data[:length])).convert("RGB").tobytes()).hexdigest()]
            for length in lengths
        ]
        ImageFile.LOAD_TRUNCATED_IMAGES = False
lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
print("{\n" + ",\n".join(lines) + "\n}")
