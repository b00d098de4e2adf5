"""Sizes of the benchmark. Nothing here imports JAX."""

from __future__ import annotations

import dataclasses
from typing import Literal

Part = Literal["mgmp", "training", "inference", "loss", "sibling", "scan", "start"]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large everything is that is measured."""

    generators: tuple[tuple[str, int, str, int, int], ...]
    """Architecture and width of a generator, those of the pool's models, queries in a batch."""
    tokens: tuple[int, int]
    """Of a text, and how many there are."""
    training: tuple[tuple[int, int], ...]
    """Width of a ResNet18 and images in a batch."""
    images: int
    """That a model of each of these widths answers."""
    loss_rows: tuple[int, ...]
    """Fragments of a model."""
    loss_width: int
    """Of a fragment."""
    block: int
    """Rows of similarities that are held at a time."""
    siblings: tuple[int, ...]
    queries: int
    """That sibling test and scan ask, of width 10."""
    suspects: int
    """That are scanned, by a verifier with the fewest siblings of these."""
    rounds: int
    """How often each thing is timed, at least three times and until seconds are over."""
    seconds: float
    compiled: bool = True
    """Whether PyTorch is compiled too, which takes about a minute each time."""


PRESETS = {
    "full": Sizes(
        generators=(
            ("resnet18", 8, "resnet18", 8, 128),
            ("resnet18", 16, "resnet18", 16, 128),
            ("resnet18", 64, "resnet18", 64, 32),
            ("resnet50", 64, "resnet18", 64, 16),
            ("distilbert", 192, "distilbert", 192, 64),
        ),
        tokens=(64, 8192),
        training=((8, 128), (16, 128), (64, 32)),
        images=512,
        loss_rows=(1024, 2048, 4096, 8192, 16384, 32768),
        loss_width=128,
        block=256,
        siblings=(9, 19, 99),
        queries=2500,
        suspects=1000,
        rounds=15,
        seconds=20,
    ),
    "toy": Sizes(
        generators=(("resnet18", 1, "resnet18", 1, 4),),
        tokens=(4, 16),
        training=((1, 4),),
        images=4,
        loss_rows=(64,),
        loss_width=8,
        block=32,
        siblings=(2, 3),
        queries=60,
        suspects=2,
        rounds=3,
        seconds=1,
        compiled=False,
    ),
}
