"""The owner's PyTorch models: small convolutional networks of CIFAR's images."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

WEIGHTS = Path(__file__).with_name("models.safetensors")
MEAN, STD = 0.47, 0.25


class Net(nn.Module):
    """Reads float images ``[b, 3, 32, 32]`` from 0 to 1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (3, 12, 24, 32)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x):
        x = (x - MEAN) / STD
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nn.functional.max_pool2d(nn.functional.relu(norm(conv(x))), 2)
        return self.head(x.mean((2, 3)))


def load(name: str) -> Net:
    """Loads a model by its name in the file of weights."""
    stored = {
        key.removeprefix(f"{name}/"): torch.tensor(value.astype(np.float32))
        for key, value in load_file(WEIGHTS).items()
        if key.startswith(f"{name}/")
    }
    net = Net(len(stored["head.bias"]))
    net.load_state_dict(stored, strict=False)
    return net.eval()


def __getattr__(name: str):
    """Gives a function that loads the model called ``name``, as the command line asks for it."""
    return lambda: load(name)
