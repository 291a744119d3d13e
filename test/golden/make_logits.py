#!/usr/bin/python3
"""Writes logits.json: what PyTorch computes for networks whose weights are not stored.

Both sides generate every tensor from its name; weights.ts is the twin and holds the definition in prose. PyTorch runs in
float64 over weights and inputs that are exact in float32; the results are rounded to float32 once, here.

    /usr/bin/python3 test/golden/make_logits.py        (Debian: python3-torch, python3-torchvision)
"""

import json
import os

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from prng import uniforms
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

torch.manual_seed(0)
torch.set_num_threads(1)


def golden_tensor(name, shape, last_norm):
    u = uniforms(name, int(np.prod(shape)))
    if len(shape) == 4:
        x = (u * 2 - 1) * np.sqrt(6 / (shape[1] * shape[2] * shape[3]))
    elif len(shape) == 2:
        x = (u * 2 - 1) * np.sqrt(3 / shape[1])
    elif name.endswith(".bias") or name.endswith(".running_mean"):
        x = (u - 0.5) * 0.2
    else:
        x = 0.5 + u
        if last_norm is not None and name.endswith(f".{last_norm}.weight"):
            x = x * 0.25
    return x.astype(np.float32).reshape(shape)


def golden_input(shape):
    """[n, h, w, 3]"""
    return (uniforms("input", int(np.prod(shape))) * 4 - 2).astype(np.float32).reshape(shape)


class PlainBlock(BasicBlock):
    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


def plain18(**args):
    net = ResNet(PlainBlock, [2, 2, 2, 2], **args)
    for module in net.modules():
        if isinstance(module, PlainBlock):
            module.downsample = None
    return net


def projected18(**args):
    """Option C: a projection in every block."""
    net = ResNet(BasicBlock, [2, 2, 2, 2], **args)
    for module in net.modules():
        if isinstance(module, BasicBlock) and module.downsample is None:
            planes = module.conv1.in_channels
            module.downsample = nn.Sequential(nn.Conv2d(planes, planes, 1, bias=False), nn.BatchNorm2d(planes))
    return net


def v1_50(**args):
    """The stride on the first 1×1, as He et al. published it."""
    net = torchvision.models.resnet50(**args)
    for module in net.modules():
        if isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    return net


class CifarBlock(nn.Module):
    def __init__(self, c, planes, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(c, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.option = option
        self.changes = stride != 1 or c != planes
        if option == "B" and self.changes:
            self.downsample = nn.Sequential(nn.Conv2d(c, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.option == "none":
            return F.relu(y)
        if not self.changes:
            return F.relu(y + x)
        if self.option == "B":
            return F.relu(y + self.downsample(x))
        planes = y.shape[1]
        return F.relu(y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)))


class Cifar20(nn.Module):
    def __init__(self, option, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        c = 16
        for stage, planes in enumerate([16, 32, 64]):
            blocks = []
            for i in range(3):
                blocks.append(CifarBlock(c, planes, 2 if stage > 0 and i == 0 else 1, option))
                c = planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Squeeze(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = max(8, int(c / 16 + 4) // 8 * 8)
        self.fc1 = nn.Conv2d(c, width, 1)
        self.fc2 = nn.Conv2d(width, c, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class SqueezedBasic(BasicBlock):
    def __init__(self, inplanes, planes, *args, **kwargs):
        super().__init__(inplanes, planes, *args, **kwargs)
        self.se = Squeeze(planes)

    def forward(self, x):
        y = self.se(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class SqueezedBottleneck(Bottleneck):
    def __init__(self, inplanes, planes, *args, **kwargs):
        super().__init__(inplanes, planes, *args, **kwargs)
        self.se = Squeeze(planes * 4)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        y = self.se(self.bn3(self.conv3(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def tweaked(net):
    """ResNet-D: a deep stem, and projections of the means of 2×2 pixels; numbered as timm numbers them."""

    def conv3(i, o, stride=1):
        return nn.Conv2d(i, o, 3, stride, 1, bias=False)

    net.conv1 = nn.Sequential(
        *(conv3(3, 32, 2), nn.BatchNorm2d(32), nn.ReLU(), conv3(32, 32), nn.BatchNorm2d(32), nn.ReLU(), conv3(32, 64))
    )
    for module in net.modules():
        if getattr(module, "downsample", None) is not None:
            conv, bn = module.downsample
            stride = conv.stride[0]
            conv.stride = (1, 1)
            pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) if stride == 2 else nn.Identity()
            module.downsample = nn.Sequential(pool, conv, bn)
    return net


class PreactBlock(nn.Module):
    """A block of ResNet v2, bottleneck or basic."""

    def __init__(self, c, planes, stride, bottleneck):
        super().__init__()
        out = planes * 4 if bottleneck else planes
        shapes = [(1, 1, planes), (3, stride, planes), (1, 1, out)] if bottleneck else [(3, stride, out), (3, 1, out)]
        self.count = len(shapes)
        width = c
        for i, (kernel, step, channels) in enumerate(shapes):
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(width))
            setattr(self, f"conv{i + 1}", nn.Conv2d(width, channels, kernel, step, kernel // 2, bias=False))
            width = channels
        if stride != 1 or c != out:
            self.downsample = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False))

    def forward(self, x):
        first = F.relu(self.bn1(x))
        shortcut = self.downsample(first) if hasattr(self, "downsample") else x
        y = self.conv1(first)
        for i in range(2, self.count + 1):
            y = getattr(self, f"conv{i}")(F.relu(getattr(self, f"bn{i}")(y)))
        return y + shortcut


class Preact(nn.Module):
    def __init__(self, depths, bottleneck, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c = 64
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                planes = 64 << stage
                blocks.append(PreactBlock(c, planes, 2 if stage > 0 and i == 0 else 1, bottleneck))
                c = planes * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.norm = nn.BatchNorm2d(c)
        self.fc = nn.Linear(c, num_classes)

    def forward(self, x):
        x = self.maxpool(self.conv1(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.relu(self.norm(x)).mean((2, 3)))


# name, arch and what differs from it (src/models/resnet.ts), last norm of a residual block, builder, input, classes
NETWORKS = [
    ("resnet18", "resnet18", {}, "bn2", torchvision.models.resnet18, [1, 224, 224, 3], 1000),
    ("resnet18 97×131", "resnet18", {}, "bn2", torchvision.models.resnet18, [1, 97, 131, 3], 10),
    ("resnet50 v1.5", "resnet50", {}, "bn3", torchvision.models.resnet50, [1, 160, 160, 3], 10),
    ("resnet50 v1", "resnet50", {"stride": "1x1"}, "bn3", v1_50, [1, 160, 160, 3], 10),
    ("resnext50_32x4d", "resnext50_32x4d", {}, "bn3", torchvision.models.resnext50_32x4d, [1, 128, 128, 3], 10),
    ("wide_resnet50_2", "wide_resnet50_2", {}, "bn3", torchvision.models.wide_resnet50_2, [1, 96, 96, 3], 10),
    ("resnet18 option C", "resnet18", {"shortcut": "C"}, "bn2", projected18, [1, 96, 96, 3], 10),
    ("plain18", "plain18", {}, None, plain18, [1, 96, 96, 3], 10),
    ("resnet50d", "resnet50d", {}, "bn3", lambda **a: tweaked(torchvision.models.resnet50(**a)), [1, 99, 131, 3], 10),
    ("seresnet18", "seresnet18", {}, "bn2", lambda **a: ResNet(SqueezedBasic, [2, 2, 2, 2], **a), [2, 96, 96, 3], 10),
    (
        *("seresnet50", "seresnet50", {}, "bn3"),
        *(lambda **a: ResNet(SqueezedBottleneck, [3, 4, 6, 3], **a), [2, 64, 64, 3], 10),
    ),
    ("resnetv2_18", "resnetv2_18", {}, None, lambda **a: Preact([2, 2, 2, 2], False, **a), [1, 96, 96, 3], 10),
    ("resnetv2_50", "resnetv2_50", {}, None, lambda **a: Preact([3, 4, 6, 3], True, **a), [1, 96, 96, 3], 10),
    ("resnet20 option A", "resnet20", {}, "bn2", lambda **a: Cifar20("A", **a), [2, 32, 32, 3], 10),
    ("resnet20 option B", "resnet20", {"shortcut": "B"}, "bn2", lambda **a: Cifar20("B", **a), [2, 32, 32, 3], 10),
    ("plain20", "plain20", {}, None, lambda **a: Cifar20("none", **a), [2, 32, 32, 3], 10),
]


def rounded(values):
    """float32, in as few digits as name it exactly."""
    return [float(str(np.float32(value))) for value in np.asarray(values).ravel()]


def run(name, arch, spec, last_norm, build, shape, classes):
    net = build(num_classes=classes).eval()
    state = net.state_dict()
    for key, tensor in state.items():
        if not key.endswith("num_batches_tracked"):
            state[key] = torch.from_numpy(golden_tensor(key, tuple(tensor.shape), last_norm))
    net.load_state_dict(state)

    # Means of the stem's and each stage's output, by the name of the node in src/models/resnet.ts.
    means = {}

    def watch(node, module):
        module.register_forward_hook(lambda _m, _i, out: means.__setitem__(node, float(out.double().mean())))

    if hasattr(net, "maxpool"):
        watch("maxpool", net.maxpool)
    else:
        watch("relu", net.relu)
    for stage in ["layer1", "layer2", "layer3", "layer4"]:
        if hasattr(net, stage):
            watch(f"{stage}.{len(getattr(net, stage)) - 1}.relu", getattr(net, stage))

    x = torch.from_numpy(golden_input(shape).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        single = net(x).double().numpy()
        logits = net.double()(x.double()).numpy()
    error = float(np.abs(single - logits).max())
    print(f"{name:20s} |logits| ≤ {np.abs(logits).max():.3f}  std {logits.std():.3f}  float32 is {error:.1e} off", means)
    return {
        "name": name,
        "arch": arch,
        "spec": {**spec, "classes": classes},
        "lastNorm": last_norm,
        "input": shape,
        "means": {node: rounded([mean])[0] for node, mean in means.items()},
        "logits": rounded(logits[:, :32]),
        "sum": float(logits.sum()),
        "sumOfSquares": float((logits**2).sum()),
        "torchF32Error": float(f"{error:.2g}"),
    }


SAMPLES = [
    ("conv1.weight", [64, 3, 7, 7], None),
    ("layer1.0.conv2.weight", [128, 4, 3, 3], None),
    ("layer4.2.conv1.weight", [512, 2048, 1, 1], None),
    ("fc.weight", [1000, 512], None),
    ("fc.bias", [1000], None),
    ("bn1.weight", [64], "bn2"),
    ("layer1.0.bn2.weight", [64], "bn2"),
    ("layer1.0.bn2.weight", [64], "bn3"),
    ("layer1.0.bn3.weight", [256], "bn3"),
    ("layer2.0.downsample.1.bias", [128], "bn2"),
    ("layer2.0.downsample.1.running_mean", [128], "bn2"),
    ("layer2.0.downsample.1.running_var", [128], "bn2"),
]


def sample(name, shape, last_norm):
    values = golden_input(shape) if name == "input" else golden_tensor(name, shape, last_norm)
    values = values.ravel()
    # The sum of float32 values in float64, in order: equal on both sides to the last bit.
    total = float(np.cumsum(values.astype(np.float64))[-1])
    return {
        "name": name,
        "shape": shape,
        "lastNorm": last_norm,
        "first": rounded(values[:4]),
        "last": rounded(values[-2:]),
        "sum": total,
    }


if __name__ == "__main__":
    golden = {
        "about": "made by make_logits.py; see weights.ts",
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__},
        "tensors": [sample(*each) for each in SAMPLES] + [sample("input", [1, 97, 131, 3], None)],
        "networks": [run(*each) for each in NETWORKS],
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "logits.json")

    def lines(items):
        return "[\n    " + ",\n    ".join(json.dumps(item, ensure_ascii=False) for item in items) + "\n  ]"

    with open(path, "w", encoding="utf-8") as out:
        body = ",\n  ".join(
            f'"{key}": {lines(value) if isinstance(value, list) else json.dumps(value)}' for key, value in golden.items()
        )
        out.write("{\n  " + body + "\n}\n")
