#!/usr/bin/python3
"""Writes a converted ResNet-50 as PyTorch and torch.onnx write it, for .ci/doors.ts.

    doors.py MODEL.safetensors FOLDER        (Debian: python3-torch, python3-torchvision)
"""

import json
import os
import sys

import numpy as np
import torch
import torchvision
from torch import nn


def read(path):
    """A safetensors file of F32 tensors, without its library."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        base = 8 + length
        metadata = header.pop("__metadata__")
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(base + begin)
            values = np.frombuffer(file.read(end - begin), "<f4").reshape(entry["shape"])
            tensors[name] = torch.from_numpy(values.copy())
    return tensors, metadata


tensors, metadata = read(sys.argv[1])
folder = sys.argv[2]
epsilon = float(metadata["norm_epsilon"])
net = torchvision.models.resnet50(num_classes=1000)
for module in list(net.modules()):
    if isinstance(module, torchvision.models.resnet.Bottleneck):
        # He et al.'s own: the stride on the first 1×1.
        module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    if isinstance(module, nn.BatchNorm2d):
        module.eps = epsilon
# Keras's convolutions have a bias before their batch norm.
for name, module in net.named_modules():
    if isinstance(module, nn.Conv2d) and f"{name}.bias" in tensors:
        module.bias = nn.Parameter(torch.zeros(module.out_channels))
missing, unexpected = net.load_state_dict(tensors, strict=False)
assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
net.eval()

torch.save(net.state_dict(), os.path.join(folder, "zip.pth"))
torch.save({"state_dict": nn.DataParallel(net).state_dict(), "epoch": 90, "arch": "resnet50"},
           os.path.join(folder, "legacy.pth"), _use_new_zipfile_serialization=False)
example = torch.zeros(1, 3, 224, 224)
for opset, folding in [(9, False), (13, True)]:
    torch.onnx.export(
        net, example, os.path.join(folder, f"opset{opset}.onnx"), opset_version=opset, do_constant_folding=folding,
        training=torch.onnx.TrainingMode.EVAL if folding else torch.onnx.TrainingMode.PRESERVE,
        input_names=["image"], output_names=["logits"], dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
    )  # fmt: skip
print(epsilon)
