#!/usr/bin/python3
"""Writes images.json: small encoded images and what Pillow decodes them to.

/usr/bin/python3 test/golden/make_images.py        (Debian: python3-pil, python3-numpy)
"""

import base64
import io
import json
import os
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps
from prng import uniforms

W, H = 19, 13
y, x = np.mgrid[0:H, 0:W]
# Smooth, so that JPEG keeps it.
RGB = np.stack([x * 13, y * 19, 255 - x * 5 - y * 10], axis=2).astype(np.uint8)
NOISE = np.floor(uniforms("alpha", W * H) * 256).astype(np.uint8).reshape(H, W)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(color, depth, rows, interlace=0):
    """What Pillow cannot write: `rows` are bytes without filters."""
    header = struct.pack(">IIBBBBB", W, H, depth, color, 0, 0, interlace)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def adam7(pixels):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [pixels[y0::dy, x0::dx] for x0, y0, dx, dy in passes]
    return [row.tobytes() for part in parts if part.size > 0 for row in part]


image = Image.fromarray(RGB)
gray = image.convert("L")
rgba = Image.fromarray(np.dstack([RGB, NOISE]))


def turned(kind, orientation, **options):
    """The picture with an EXIF tag that says how to hold it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, exif=exif, **options)


def ycck():
    """Adobe's: the inks' complements as luma and chroma; Pillow writes CMYK, so the marker is changed and the planes too."""
    inks = image.convert("CMYK")
    c, m, yellow, k = [np.asarray(plane).astype(np.float64) for plane in inks.split()]
    # Inks are stored inverted; their complements are R, G and B, and these are turned into Y, Cb and Cr.
    r, g, b = 255 - c, 255 - m, 255 - yellow
    r, g, b = 255 - r, 255 - g, 255 - b
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    planes = [luma, 128 - 0.168736 * r - 0.331264 * g + 0.5 * b, 128 + 0.5 * r - 0.418688 * g - 0.081312 * b, k]
    mixed = Image.merge("CMYK", [Image.fromarray(np.clip(np.round(plane), 0, 255).astype(np.uint8)) for plane in planes])
    data = bytearray(encoded(mixed, "JPEG", quality=95))
    marker = data.index(b"Adobe")
    data[marker + 11] = 2
    return bytes(data)


deep = RGB.astype(np.uint16) * 256 + np.arange(W, dtype=np.uint16)[None, :, None] * 11
deep_rows = [row.astype(">u2").tobytes() for row in deep]
deep_gray_rows = [row.astype(">u2").tobytes() for row in deep[:, :, 0]]
palette = image.quantize(16)



def u16(*numbers):
    return b"".join(struct.pack("<H", number) for number in numbers)


def gif(parts, screen=(W, H), palette=None):
    """A GIF by hand: what Pillow cannot write."""
    table = b"" if palette is None else palette
    flags = 0 if palette is None else 0x80 | (len(palette) // 3).bit_length() - 2
    return b"GIF89a" + u16(*screen) + bytes([flags, 0, 0]) + table + b"".join(parts) + b";"


def codes_of(data):
    """The picture of a GIF that Pillow wrote: from its descriptor to the end of its blocks."""
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    while data[at] != 0x2C:
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    return data[at:-1]


plain_gif = encoded(palette, "GIF", interlace=0)
table = plain_gif[13 : 13 + 3 * 2 ** ((plain_gif[10] & 7) + 1)]
picture = codes_of(plain_gif)
assert picture[9] & 0x80 == 0
moved = picture[:1] + u16(2, 1) + picture[5:]
own_table = picture[:9] + bytes([0x80 | plain_gif[10] & 7]) + table[::-1] + picture[10:]
comment = b"!\xfe" + b"\x05hello" * 3 + b"\0"
transparent = b"!\xf9\x04\x01" + u16(0) + b"\x03\0"


def animated_webp(**options):
    frames = [rgba, rgba.rotate(180)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], **options)


# name: bytes, and the RGB they hold: None for what Pillow decodes them to
IMAGES = {
    "baseline.jpg": (encoded(image, "JPEG", quality=95, subsampling=0), None),
    "subsampled.jpg": (encoded(image, "JPEG", quality=95, subsampling=2), None),
    "progressive.jpg": (encoded(image, "JPEG", quality=95, subsampling=0, progressive=True), None),
    "gray.jpg": (encoded(gray, "JPEG", quality=95), None),
    **{f"turned-{i}.jpg": (turned("JPEG", i, quality=95, subsampling=0), None) for i in range(1, 9)},
    "turned-6.png": (turned("PNG", 6), None),
    "turned-8.webp": (turned("WEBP", 8, lossless=True), None),
    "restarts.jpg": (encoded(image, "JPEG", quality=95, subsampling=0, restart_marker_blocks=1), None),
    "cmyk.jpg": (encoded(image.convert("CMYK"), "JPEG", quality=95), None),
    "ycck.jpg": (ycck(), None),
    "lossy.webp": (encoded(image, "WEBP", quality=90), None),
    "lossless.webp": (encoded(image, "WEBP", lossless=True), None),
    "alpha.webp": (encoded(rgba, "WEBP", lossless=True, exact=True), None),
    "still.gif": (encoded(palette, "GIF"), None),
    "animated.gif": (encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]), None),
    "interlaced.gif": (encoded(palette, "GIF", interlace=1), None),
    "no-trailer.gif": (plain_gif[:-1], None),
    "comments.gif": (gif([comment, transparent, comment, picture], palette=table), None),
    "larger-screen.gif": (gif([moved], (W + 6, H + 4), table), None),
    "larger-screen-transparent.gif": (gif([transparent, moved], (W + 6, H + 4), table), None),
    "beyond-its-screen.gif": (gif([moved], (W - 5, H - 5), table), None),
    "own-table.gif": (gif([own_table], palette=table), None),
    "short-table.gif": (gif([picture], palette=table[:24]), None),
    "two-colours.gif": (encoded(gray.convert("1"), "GIF"), None),
    "many-colours.gif": (encoded(image.resize((90, 70)).quantize(256), "GIF"), None),
    "animated.webp": (animated_webp(lossless=True, exact=True), None),
    "animated-lossy.webp": (animated_webp(quality=90), None),
    "rgb.png": (encoded(image, "PNG"), None),
    "four-colours.png": (png(0, 2, [bytes([0x1B] * 5)] * H), None),
    "sixteen-grays.png": (png(0, 4, [bytes(range(5, 245, 24))] * H), None),
    "interlaced-bits.png": (encoded(gray.convert("1"), "PNG"), None),
    "noise.png": (encoded(Image.fromarray(np.dstack([NOISE, NOISE[::-1], NOISE[:, ::-1]])), "PNG"), None),
    "rgba.png": (encoded(rgba, "PNG"), None),
    "gray.png": (encoded(gray, "PNG"), None),
    "gray-alpha.png": (encoded(rgba.convert("LA"), "PNG"), None),
    "one-bit.png": (encoded(gray.convert("1"), "PNG"), None),
    "palette.png": (encoded(palette, "PNG"), None),
    "palette-transparent.png": (encoded(palette, "PNG", transparency=3), None),
    "sixteen-bit.png": (png(2, 16, deep_rows), (deep >> 8).astype(np.uint8)),
    "sixteen-bit-gray.png": (png(0, 16, deep_gray_rows), np.repeat((deep[:, :, :1] >> 8).astype(np.uint8), 3, 2)),
    "interlaced.png": (png(2, 8, adam7(RGB), 1), RGB),
}


def entry(data, pixels):
    if pixels is None:
        pixels = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    shown = base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()
    size = {} if pixels.shape == (H, W, 3) else {"size": [pixels.shape[1], pixels.shape[0]]}
    return {"base64": base64.b64encode(data).decode(), "rgbZlib": shown, **size}


golden = {name: entry(*each) for name, each in IMAGES.items()}
golden["rgba.png"]["alphaZlib"] = base64.b64encode(zlib.compress(NOISE.tobytes(), 9)).decode()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "images.json")
with open(path, "w", encoding="utf-8") as out:
    images = ",\n    ".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in golden.items())
    about = {"about": "made by make_images.py", "pillow": PIL.__version__, "width": W, "height": H}
    head = ",\n  ".join(f'"{key}": {json.dumps(value)}' for key, value in about.items())
    out.write("{\n  " + head + ',\n  "images": {\n    ' + images + "\n  }\n}\n")
