#!/usr/bin/python3
"""Writes training.json: what PyTorch computes when it trains networks whose weights are not stored.

Weights and inputs are those of make_logits.py (weights.ts has the definition in prose). Image i has label (3 i + 1) modulo the
number of classes. PyTorch runs in float64; tensors are given as their norm and elements spread over them.

    /usr/bin/python3 test/golden/make_training.py        (Debian: python3-torch, python3-torchvision)
"""

import json
import os

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from make_logits import Cifar20, golden_input, golden_tensor, rounded
from torch import nn
from torchvision.models.resnet import Bottleneck

torch.manual_seed(0)
torch.set_num_threads(1)


class Small(nn.Module):
    """A bottleneck network, v1.5, of width 16."""

    def __init__(self, num_classes, depths, groups=1, group_width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c = 16
        for stage, depth in enumerate(depths):
            blocks = []
            planes = 16 << stage
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                down = None
                if stride > 1 or c != planes * 4:
                    down = nn.Sequential(nn.Conv2d(c, planes * 4, 1, stride, bias=False), nn.BatchNorm2d(planes * 4))
                blocks.append(Bottleneck(c, planes, stride, down, groups, group_width))
                c = planes * 4
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


SMALL = {"block": "bottleneck", "depths": [1, 2, 1], "width": 16}
SGD = {"optimizer": "sgd", "learningRate": 0.02, "momentum": 0.9, "weightDecay": 1e-4, "nesterov": False}

# name, arch and what differs from it, last norm of a block, builder, input, norms, what else Trainer is told
NETWORKS = [
    ("resnet20 option A", "resnet20", {}, "bn2", lambda c: Cifar20("A", c), [4, 32, 32, 3], "live", SGD),
    (
        "resnet20 option B",
        "resnet20",
        {"shortcut": "B"},
        "bn2",
        lambda c: Cifar20("B", c),
        [5, 32, 32, 3],
        "live",
        {**SGD, "nesterov": True, "labelSmoothing": 0.1, "decayNorms": False},
    ),
    ("bottleneck", "resnet50", SMALL, "bn3", lambda c: Small(c, [1, 2, 1]), [4, 52, 60, 3], "live", SGD),
    (
        "bottleneck, frozen norms",
        "resnet50",
        SMALL,
        "bn3",
        lambda c: Small(c, [1, 2, 1]),
        [4, 64, 64, 3],
        "frozen",
        {**SGD, "clip": 1.0},
    ),
    (
        "grouped bottleneck, AdamW",
        "resnet50",
        {**SMALL, "depths": [1, 1], "groups": 4, "groupWidth": 16},
        "bn3",
        lambda c: Small(c, [1, 1], 4, 16),
        [3, 47, 61, 3],
        "live",
        {"optimizer": "adamw", "learningRate": 1e-3, "weightDecay": 0.05},
    ),
]


def digest(name, tensor):
    values = tensor.detach().double().numpy().ravel()
    return {
        "name": name,
        "shape": list(tensor.shape),
        "norm": float(np.sqrt((values**2).sum())),
        # Evenly spread, the first included.
        "samples": rounded(values[:: -(-values.size // 12)]),
    }


def run(name, arch, spec, last_norm, build, shape, norms, options, classes=10):
    net = build(classes)
    state = net.state_dict()
    for key, tensor in state.items():
        if not key.endswith("num_batches_tracked"):
            state[key] = torch.from_numpy(golden_tensor(key, tuple(tensor.shape), last_norm))
    net.load_state_dict(state)
    net = net.double().train(norms == "live")
    x = torch.from_numpy(golden_input(shape).transpose(0, 3, 1, 2).copy()).double()
    labels = torch.tensor([(3 * i + 1) % classes for i in range(shape[0])])
    decay = options["weightDecay"]
    named = list(net.named_parameters())
    groups = [
        {"params": [p for _, p in named if p.dim() > 1], "weight_decay": decay},
        {"params": [p for _, p in named if p.dim() == 1], "weight_decay": decay * options.get("decayNorms", True)},
    ]
    if options["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(groups, options["learningRate"], options["momentum"], nesterov=options["nesterov"])
    else:
        optimizer = torch.optim.AdamW(groups, options["learningRate"])
    smoothing = options.get("labelSmoothing", 0.0)
    losses, norms_seen, golden = [], [], None
    for step in range(10):
        optimizer.zero_grad()
        logits = net(x)
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        loss.backward()
        losses.append(float(loss))
        norm = nn.utils.clip_grad_norm_(net.parameters(), options.get("clip", float("inf")))
        norms_seen.append(float(norm))
        if golden is None:
            scale = max(1.0, (float(norm) + 1e-6) / options["clip"]) if "clip" in options else 1.0
            golden = {
                "logits": rounded(logits.detach()),
                "gradients": [digest(key, p.grad * scale) for key, p in named],
            }
        optimizer.step()
    print(f"{name:28s}", [round(loss, 4) for loss in losses], [round(norm, 2) for norm in norms_seen[:3]])
    kept = ["conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var", "fc.weight", "fc.bias"]
    return {
        "name": name,
        "arch": arch,
        "spec": {**spec, "classes": classes},
        "lastNorm": last_norm,
        "input": shape,
        "options": {**options, "norms": norms},
        "losses": losses,
        "gradNorms": norms_seen,
        "logits": golden["logits"],
        "gradients": golden["gradients"],
        "after": [digest(key, net.state_dict()[key]) for key in kept],
    }


if __name__ == "__main__":
    golden = {
        "about": "made by make_training.py; see weights.ts",
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__},
        "networks": [run(*each) for each in NETWORKS],
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "training.json")

    def lines(items, indent):
        inner = " " * (indent + 2)
        return "[\n" + inner + f",\n{inner}".join(items) + "\n" + " " * indent + "]"

    def network(each):
        parts = []
        for key, value in each.items():
            if key in ("gradients", "after"):
                parts.append(f'"{key}": ' + lines([json.dumps(item) for item in value], 6))
            else:
                parts.append(f'"{key}": ' + json.dumps(value, ensure_ascii=False))
        return "{\n      " + ",\n      ".join(parts) + "\n    }"

    with open(path, "w", encoding="utf-8") as out:
        head = ",\n  ".join(f'"{key}": {json.dumps(golden[key])}' for key in ["about", "versions"])
        out.write("{\n  " + head + ',\n  "networks": ' + lines([network(each) for each in golden["networks"]], 2) + "\n}\n")
