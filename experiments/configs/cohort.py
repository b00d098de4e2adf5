"""The cohort of compare.py and those that read its models: kinds of suspects, sizes, options.

    python experiments/compare.py --preset small --data-dir DIR

187 models, or 307 with nineteen siblings. After the 162 of an earlier run compare.py took 12
minutes on one CPU core for ResNet18, queries.py 7 and robustness.py, with 42 further models and not
today's 67, 17. Homologous models stand apart from sibling descendants with an AUC of 1.00 (sibling
test, unseen images), 0.96 (extended MGMP), 0.54 (linear CKA).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from configs import common
from configs.common import WIDTHS, Arch, presets

KINDS = {
    "homologous": "started from the source",
    "scratch": "random initialisation, the same task",
    "sibling descendant": "started from another model of the source's data, the same task",
    "cousin descendant": "started from a model of other data of its distribution, the same task",
    "independent": "another model of the source's data, not fine-tuned",
}
"""What a suspect may be; all but the first are not homologous."""

QUERIES: tuple[str, ...] = ("training images", "unseen images", "halves of two")
"""Kinds of queries: what the source was trained on; what no model was; halves of two of
these, side by side."""
TRAINING, UNSEEN, HALVES = QUERIES

OTHER_ARCH = {"resnet18": "alexnet", "alexnet": "resnet18", "vit-small": "resnet18"}
"""What a suspect may be that is not of the source's architecture."""

DEFAULT_TEST = ("both fits", "others")
"""What the sibling test does by default: what is compared, and what is regressed out first."""

CHOOSING = 1000
"""By how many queries the statistic of the sibling test is chosen."""

NUM_QUERIES = (8, 16, 32, 64, 128, 256, 1000)
"""For how many queries compare.py gives the AUC of every method, beside all."""

DRAWS = 3
"""Of so many queries."""

POWER = {"queries": (64, 256, 1000), "siblings": (3, 9)}
"""For how many of them power is reported, beside all."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(common.Preset):
    """How large everything is; the generator is as wide as the source."""

    data: Literal["cifar", "glyphs"]
    num_siblings: int


PRESETS = presets(
    Preset,
    data=("glyphs", "cifar", "cifar"),
    widths=(WIDTHS[0], {"resnet18": 8, "alexnet": 16, "vit-small": 48}, {}),
    source=((3, 32, 0.05), (5, 64, 0.05), (60, 128, 0.1)),
    target=((3, 16, 0.02), (4, 64, 0.05), (30, 128, 0.05)),
    examples=((2000, 400), (10_000, 1500), (20_000, 5000)),
    checkpoints=(3, 4, 6),
    times=({}, {"alexnet": 3}, {}),
    num_siblings=(4, 9, 19),
    num_queries=(1000, 2500, 20_000),
    mgmp=(
        {"epochs": 2, "batch_size": 100},
        {"epochs": 10, "batch_size": 250},
        {"epochs": 20, "batch_size": 256},
    ),
)


@dataclasses.dataclass(frozen=True)
class Args(common.Args):
    """Options of a cohort; the preset demo reads generated images, the others CIFAR."""

    instead: ClassVar[str] = "The preset demo needs no data: --preset demo"
    arch: Arch = "resnet18"
    """Architecture of the source and of all targets."""
    pool_subsets: tuple[int, ...] = (3, 6, 8, 9, 5)
    """Subsets 0 to 9 whose models MGMP learns from."""
    eval_subsets: tuple[int, ...] = (1, 2, 4, 7, 0)
    """Subsets 0 to 9 whose models are the suspects."""
    siblings: int | None = None
    """How many siblings the source has, 3 to 99; by default as the preset says. With m of them no
    exact p-value is below 1 / (m + 1)."""
