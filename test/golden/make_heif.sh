#!/bin/sh
# Writes heif.json: one picture of 64×48 pixels, (3x, 4y, 255 - x - 2y), as AVIF and HEIC, turned and mirrored by HEIF's properties.
# Debian: libavif-bin, libheif-examples, python3-pil, python3-numpy.
set -eu
cd "$(dirname "$0")"
made=$(mktemp -d)
/usr/bin/python3 -c "
import sys, numpy as np
from PIL import Image
y, x = np.mgrid[0:48, 0:64]
Image.fromarray(np.stack([x * 3, y * 4, 255 - x - y * 2], axis=2).astype(np.uint8)).save(sys.argv[1])
" "$made/picture.png"
avif() { name=$1; shift; avifenc --min 10 --max 20 "$@" "$made/picture.png" "$made/$name.avif" >/dev/null; }
avif plain
avif turned-1 --irot 1
avif turned-3-mirrored-0 --irot 3 --imir 0
avif mirrored-1 --imir 1
heif-enc -q 60 "$made/picture.png" -o "$made/plain.heic"
/usr/bin/python3 -c "
import base64, json, os, sys
names = sorted(os.listdir(sys.argv[1]))
files = {n: base64.b64encode(open(os.path.join(sys.argv[1], n), 'rb').read()).decode() for n in names if not n.endswith('.png')}
json.dump(files, open('heif.json', 'w'), indent=2)
open('heif.json', 'a').write('\n')
" "$made"
rm -r "$made"
