"""
Random small residual networks with random weights, saved as people save them: any modules and dicts around the network,
any classifier, any element type and format. For properties.ts, which loads each and compares it with PyTorch's logits.

    python3 properties.py DIRECTORY COUNT SEED

Writes DIRECTORY/cases.jsonl, one record a file: { file, kind, shape, input, logits … }. `kind` is "runs"; "refuses" where the file
holds more than the network, with `subject`, the tensor that an error must name; "either" where a format need not hold it.
"""

import collections
import enum
import json
import random
import struct
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn.utils import prune, weight_norm

warnings.filterwarnings("ignore")
directory, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


class Phase(enum.Enum):
    train = 1


@dataclass
class Settings:
    lr: float
    phase: Phase


class Basic(nn.Module):
    expansion = 1

    def __init__(self, inside, planes, stride, project, groups, width):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = project

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inside, planes, stride, project, groups, width):
        super().__init__()
        middle = planes * width // 64 * groups
        self.conv1 = nn.Conv2d(inside, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.downsample = project

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's network, and the CIFAR one of it (`imagenet` false), with any head under any name."""

    def __init__(self, block, depths, width, imagenet, channels, head, head_name, groups, group_width):
        super().__init__()
        self.imagenet, self.head_name = imagenet, head_name
        kernel = (7, 2, 3) if imagenet else (3, 1, 1)
        self.conv1 = nn.Conv2d(channels, width, *kernel, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside = width
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                planes, stride = width << stage, 2 if stage > 0 and i == 0 else 1
                outside = planes * block.expansion
                project = None
                if stride > 1 or inside != outside:
                    project = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
                blocks.append(block(inside, planes, stride, project, groups, group_width))
                inside = outside
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)
        if head is not None:
            setattr(self, head_name, head(inside))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.imagenet:
            x = nn.functional.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        x = x.mean((2, 3))
        head = getattr(self, self.head_name, None)
        return x if head is None else head(x)


HEADS = {
    "linear": lambda n: lambda c: nn.Linear(c, n),
    "no bias": lambda n: lambda c: nn.Linear(c, n, bias=False),
    "dropout": lambda n: lambda c: nn.Sequential(nn.Dropout(), nn.Linear(c, n)),
    "mlp": lambda n: lambda c: nn.Sequential(nn.Linear(c, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, n)),
    "norm mlp": lambda n: lambda c: nn.Sequential(
        nn.Linear(c, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(), nn.Linear(12, n)
    ),
    "norm first": lambda n: lambda c: nn.Sequential(nn.BatchNorm1d(c), nn.Dropout(), nn.Linear(c, n)),
    "norm behind": lambda n: lambda c: nn.Sequential(
        nn.Dropout(), nn.Linear(c, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, n)
    ),
    "three": lambda n: lambda c: nn.Sequential(
        nn.Linear(c, 12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, n)
    ),
    "none": lambda n: None,
}
HEAD_NAMES = ["fc", "head", "classifier", "last_linear", "fc_out", "linear", "my_output", "cls"]
PREFIXES = [
    *("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "encoder_q.", "resnet.", "feature_extractor."),
    *("student.", "network.resnet18.", "m0."),
]
WRAPPERS = [
    *("state_dict", "model", "net", "model_dict", "state_dict_ema", "weights", "my_network", "params", "ema", "0"),
]


def randomised(net):
    """Norms with statistics of their own, so that nothing is the identity."""
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.3, 0.3)
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def in_dtype(state, dtype):
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


def safetensors(path, state, metadata):
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64"}
    names[torch.bool], names[torch.uint8] = "BOOL", "U8"
    header, at, blobs = {}, 0, []
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, value in state.items():
        value = value.contiguous()
        raw = value.view(torch.int16).numpy() if value.dtype == torch.bfloat16 else value.numpy()
        blob = raw.tobytes()
        header[name] = {"dtype": names[value.dtype], "shape": list(value.shape), "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def beside(rng, net):
    """What training scripts save beside the weights."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    everything = {
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
        "optimizer_itself": optimizer,
        "scheduler": scheduler.state_dict(),
        "criterion": nn.CrossEntropyLoss(weight=torch.ones(5)),
        "settings": Settings(0.1, Phase.train),
        "phase": Phase.train,
        "rng_state": torch.get_rng_state(),
        "best_acc": torch.tensor(0.5),
        "loss": numpy.float64(0.25),
        "schedule": partial(max, 1),
        "history": collections.defaultdict(list, {"loss": [1.0, 0.5]}),
        "class_names": ["a", "b"],
        "confusion": torch.ones(5, 5, dtype=torch.int64),
        "half": torch.complex(torch.ones(2), torch.ones(2)),
        "nothing": None,
    }
    return {key: everything[key] for key in rng.sample(sorted(everything), rng.randint(0, 6))}


def case(i):
    rng = random.Random(seed * 1_000_003 + i)
    torch.manual_seed(rng.randrange(2**31))
    channels = rng.choice([3, 3, 3, 1])
    imagenet = rng.random() < 0.7
    classes = rng.choice([1, 2, 5, 7])
    head, head_name = rng.choice(sorted(HEADS)), rng.choice(HEAD_NAMES)
    block = rng.choice([Basic, Basic, Bottleneck])
    width = rng.choice([8, 16])
    groups, group_width = (1, 64) if block is Basic or rng.random() < 0.6 else (2, 32 if width > 8 else 64)
    depths = [rng.randint(1, 2) for _ in range(rng.randint(2, 4))]
    net = ResNet(block, depths, width, imagenet, channels, HEADS[head](classes), head_name, groups, group_width)
    net = randomised(net)
    h, w = rng.choice([(32, 32), (48, 48), (40, 64), (64, 33)])
    dtype = rng.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.float64])
    # What the file will hold is what PyTorch computes with.
    net.load_state_dict({k: v.to(dtype).to(v.dtype) if v.is_floating_point() else v for k, v in net.state_dict().items()})
    reparametrised = rng.random() < 0.12 and dtype == torch.float32
    if reparametrised:
        for name, module in net.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and rng.random() < 0.4:
                if rng.random() < 0.5:
                    prune.random_unstructured(module, "weight", 0.3)
                else:
                    weight_norm(module, "weight", rng.choice([0, None]))
    x = torch.rand(2, channels, h, w) * 4 - 2
    with torch.no_grad():
        logits = net(x)
    state = collections.OrderedDict(net.state_dict())
    state = collections.OrderedDict(in_dtype(state, dtype))
    record = {"kind": "runs", "what": [block.__name__, depths, head, head_name, str(dtype), channels, imagenet]}
    record["size"] = [h, w]
    record["ambiguous"] = block is Bottleneck or not imagenet
    kind = rng.choice(["zip", "zip", "legacy", "safetensors", "safetensors", "onnx"])
    if kind == "onnx":
        # A softmax over one number is 1.
        ending = rng.choice([None, None, "softmax" if classes > 1 else None, "sigmoid"])
        whole = net if ending is None else nn.Sequential(net, nn.Softmax(1) if ending == "softmax" else nn.Sigmoid())
        whole.eval()
        file = f"{i}.onnx"
        fold = rng.random() < 0.5
        torch.onnx.export(
            *(whole, x, str(directory / file)),
            opset_version=rng.choice([11, 13, 16]),
            do_constant_folding=fold,
            dynamic_axes={"x": {0: "n"}} if rng.random() < 0.5 else None,
            input_names=["x"],
        )
        # Weight normalisation may be computed by the graph.
        if reparametrised:
            record["kind"] = "either"
        record["output"] = ending
        record["what"].append(f"onnx {ending}")
    else:
        prefix = "".join(rng.choice(PREFIXES) for _ in range(rng.choice([0, 0, 1, 1, 2, 3])))
        named = collections.OrderedDict((prefix + name, value) for name, value in state.items())
        # The head of another module than the network's.
        if head != "none" and prefix and rng.random() < 0.3:
            outer = prefix[: prefix[:-1].rfind(".") + 1]
            named = collections.OrderedDict(
                (outer + name[len(prefix):] if name.startswith(prefix + head_name + ".") else name, value)
                for name, value in named.items()
            )
        choice = rng.random()
        if choice < 0.12 and head != "none":
            extra, value = rng.choice([("second_fc.weight", torch.ones(3, 9)), ("attention.weight", torch.ones(4, 4, 3, 3))])
            named[prefix + extra] = value
            record["kind"], record["subject"] = "refuses", extra
        elif choice < 0.3:
            twin = rng.choice(["ema.", "momentum_encoder.", "teacher."])
            for name, value in state.items():
                named[twin + name] = value + 1 if value.is_floating_point() else value
        if rng.random() < 0.3:
            named[prefix + "conv1.total_ops"] = torch.zeros(1, dtype=torch.float64)
        record["what"].append(f"{kind} {prefix}")
        if kind == "safetensors":
            metadata = rng.choice([None, {"format": "pt"}, {"format": "pt", "size": "123456789", "labels": "cats", "graph": "x"}])
            if rng.random() < 0.3:
                named["mask"] = torch.ones(3, dtype=torch.bool)
            file = f"{i}.safetensors"
            safetensors(directory / file, named, metadata)
        else:
            root = named
            for _ in range(rng.choice([0, 0, 1, 1, 2])):
                entries = list({rng.choice(WRAPPERS): root, **beside(rng, net)}.items())
                rng.shuffle(entries)
                root = dict(entries)
            file = f"{i}.pth"
            torch.save(root, directory / file, _use_new_zipfile_serialization=kind == "zip")
    record["file"] = file
    record["shape"] = [2, h, w, channels]
    record["input"] = [round(float(v), 7) for v in x.permute(0, 2, 3, 1).flatten()]
    # What was rounded is what PyTorch shall see.
    x = torch.tensor(record["input"], dtype=torch.float32).reshape(2, h, w, channels).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = net(x)
    record["logits"] = [float(v) for v in logits.flatten()]
    return record


directory.mkdir(parents=True, exist_ok=True)
with open(directory / "cases.jsonl", "w") as out:
    for i in range(count):
        out.write(json.dumps(case(i)) + "\n")
