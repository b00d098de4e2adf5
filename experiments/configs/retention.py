"""How much of the source is left in its descendants: strengths of fine-tuning, sizes, variants.

python experiments/retention.py --preset small --data-dir DIR
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from configs import common
from configs.common import WIDTHS, Arch, presets

POOL, EVALUATION = (3, 6, 8, 9, 5), (1, 2, 4, 7, 0)
"""Subsets of the ten tasks, as in row 1 of Table 1."""

PLAIN = "without generator"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    PLAIN: ("paper, without generator", {}),
    f"{PLAIN}, log-probabilities": ("paper, without generator", {"response": "log-probabilities"}),
    "paper": ("paper", {}),
    "paper, z bounded": ("paper", {"bound_latents": True}),
    f"{PLAIN}, four times the steps": ("paper, without generator", {"times_epochs": 4}),
    "extended": ("extended, background only", {}),
}
"""The variant of a row, and what of it is changed. Those of *paper* take equally many steps, unless
they say otherwise; *without generator, log-probabilities* is *paper* but for the generator."""

ONE_SCALE = {f"{name}, logits of one scale": name for name in (PLAIN, "paper")}
"""Variants that are also fitted where all models' logits are brought to a mean square of one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(common.Preset):
    """How large everything is; the generator is as wide as ``generator_width`` says."""

    data: str
    generator_width: dict[str, int]
    strengths: tuple[tuple[int, float], ...]
    """Of fine-tuning, from hardly begun to much: epochs, as many times as ``times`` says, and
    highest learning rate."""


PRESETS = presets(
    Preset,
    data=("glyphs", "cifar", "cifar"),
    widths=WIDTHS,
    generator_width=(
        {"resnet18": 4, "alexnet": 4, "vit-small": 12},
        {"resnet18": 8, "alexnet": 8, "vit-small": 48},
        {},
    ),
    source=((6, 32, 0.05), (45, 64, 0.1), (100, 128, 0.1)),
    target=((3, 16, 0.02), (20, 64, 0.05), (30, 128, 0.05)),
    strengths=(
        ((1, 0.002), (3, 0.02)),
        ((1, 0.002), (3, 0.005), (5, 0.01), (8, 0.02), (12, 0.05)),
        ((1, 0.002), (3, 0.005), (5, 0.01), (8, 0.02), (12, 0.05)),
    ),
    examples=((2000, 400), (10_000, 2000), (None, None)),
    checkpoints=(1, 1, 1),
    times=({}, {"alexnet": 3}, {}),
    num_queries=(1000, 2500, None),
    mgmp=(
        {"epochs": 10, "batch_size": 100},
        {"epochs": 100, "batch_size": 250},
        {"epochs": 100, "batch_size": 256},
    ),
)


@dataclasses.dataclass(frozen=True)
class Args(common.Args):
    """Measure what MGMP sees against what fine-tuning leaves of the source."""

    instead: ClassVar[str] = "The preset demo needs no data: --preset demo"
    arch: Arch = "resnet18"
    """Architecture of all models and of the generator."""
    families: int = 1
    """How many sources, each with targets and MGMPs of its own."""
