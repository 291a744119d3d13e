"""Training steps by PyTorch, on request: `pytorch.py MODEL BATCH THREADS`, then a line on stdin for each step.

Answers a line of milliseconds for each. ResNet-20 is written out here (He et al. 2015, option A shortcuts); ResNet-18 is
torchvision's.
"""
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(x + y)


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for outputs, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range(3):
            layers.append(Block(inputs, outputs, stride if i == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), 32, 10


def resnet18():
    import torchvision

    return torchvision.models.resnet18(), 224, 1000


name, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
net, size, classes = {"resnet20": resnet20, "resnet18": resnet18}[name]()
optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=1e-4)
images, labels = torch.randn(batch, 3, size, size), torch.randint(0, classes, (batch,))
print(torch.__version__, flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    optimizer.zero_grad()
    F.cross_entropy(net(images), labels).backward()
    optimizer.step()
    print(1e3 * (time.perf_counter() - start), flush=True)
