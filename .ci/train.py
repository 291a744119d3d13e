"""Loads a fine-tuned ResNet-50 into torchvision's, by the names in the file."""
import json
import struct
import sys

import torch
import torchvision

with open(sys.argv[1], "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    body = file.read()
state = {}
for name, info in header.items():
    if name == "__metadata__":
        continue
    start, end = info["data_offsets"]
    state[name] = torch.frombuffer(bytearray(body[start:end]), dtype=torch.float32).reshape(info["shape"])
classes = state["fc.weight"].shape[0]
network = torchvision.models.resnet50(num_classes=classes)
# This ResNet-50 is Keras's: its convolutions have biases, which torchvision's norms can take in.
for name in [name for name in state if name.endswith(".bias") and name[:-4] + "weight" in state and state[name[:-4] + "weight"].dim() == 4]:
    norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")[: -len(".bias")]
    state[norm + ".running_mean"] -= state.pop(name)
print(network.load_state_dict(state))
