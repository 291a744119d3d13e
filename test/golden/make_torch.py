#!/usr/bin/python3
"""Writes torch.json: checkpoints as PyTorch itself saves them (base64), and the values that torch.load finds in them.

    /usr/bin/python3 test/golden/make_torch.py        (Debian: python3-torch, python3-numpy)

The keys of legacy storages are addresses, so those files differ from one run to the next.
"""

import argparse
import base64
import collections
import io
import json
import os
import zipfile

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)


def saved(value, **how):
    file = io.BytesIO()
    torch.save(value, file, **how)
    return file.getvalue()


def deflated(archive):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return file.getvalue()


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


base = torch.arange(48, dtype=torch.float32).reshape(2, 3, 8)
state = {
    "conv.weight": torch.randn(2, 3, 3, 3),
    "channels_last": torch.randn(3, 2, 2, 2).to(memory_format=torch.channels_last),
    "pointwise": torch.randn(3, 4, 1, 1).to(memory_format=torch.channels_last),
    "transposed": torch.randn(3, 4).t(),
    "shared": base,
    "shared.offset": base[1],
    "shared.slice": base[:, 1:3, 1:6:2],
    "shared.diagonal": base[0].diagonal(),
    "expanded": torch.tensor([7.0, 8.0]).unsqueeze(1).expand(2, 5),
    "scalar": torch.tensor(-1.5),
    "empty": torch.zeros(0, 3),
    "half": torch.tensor([0.5, -65504.0], dtype=torch.float16),
    "bfloat16": torch.tensor([1.0, -3.0e38], dtype=torch.bfloat16),
    "double": torch.tensor([0.1, 1e-300], dtype=torch.float64),
    "bool": torch.tensor([True, False]),
    "uint8": torch.tensor([1, 255], dtype=torch.uint8),
    "int8": torch.tensor([-128, 127], dtype=torch.int8),
    "int32": torch.tensor([-(2**31)], dtype=torch.int32),
    "int64": torch.tensor([2**40]),
}

net = nn.DataParallel(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net(torch.randn(4, 3)).sum().backward()
optimizer.step()
training = {
    "epoch": 90,
    "arch": "resnet18",
    "state_dict": net.state_dict(),
    "best_acc1": torch.tensor(69.75),
    "optimizer": optimizer.state_dict(),
    "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60]).state_dict(),
    "args": argparse.Namespace(lr=0.1, resume=None, milestones=[30, 60]),
    "numpy": [np.float64(3.25), np.arange(3)],
    "rng": torch.get_rng_state()[:16].clone(),
    "history": collections.defaultdict(list, loss=[1.0, 0.5]),
    "others": [2**70, -(2**40), True, b"bytes", {1, 2}, torch.Size([1, 2]), torch.device("cpu"), torch.float32],
}

files = {
    "zip.pth": saved(state),
    "zip4.pth": saved(state, pickle_protocol=4),
    "legacy.th": saved(state, _use_new_zipfile_serialization=False),
    "legacy5.th": saved(state, _use_new_zipfile_serialization=False, pickle_protocol=5),
    "deflated.pth": deflated(saved(state)),
    "training.pth": saved(training),
    "training1.pth": saved(training, pickle_protocol=1),
    "training.th": saved(training, _use_new_zipfile_serialization=False),
    "parameters.pth": saved(dict(net.named_parameters())),
    "evil.pth": saved({"state_dict": {}, "x": Evil()}),
    "evil.th": saved({"x": Evil()}, _use_new_zipfile_serialization=False),
    "module.pth": saved(nn.Linear(2, 2)),
    "sparse.pth": saved({"a": torch.eye(2).to_sparse()}),
    "quantized.pth": saved({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}),
    "short.pth": saved({"a": torch.tensor([1], dtype=torch.int16)}),
}


def values(tensors):
    return {
        name: {"shape": list(tensor.shape), "values": tensor.double().flatten().tolist()}
        for name, tensor in tensors.items()
    }


golden = {
    "state": values(state),
    "training": values(net.state_dict()),
    "files": {name: base64.b64encode(file).decode() for name, file in files.items()},
}
with open(os.path.join(os.path.dirname(__file__), "torch.json"), "w") as out:
    json.dump(golden, out, indent=1)
    out.write("\n")
print({name: len(file) for name, file in files.items()}, out.name)
