"""The cohort as data: kinds of suspects, presets and options of compare, queries and robustness.

Preset small on one CPU core, with the 163 models of compare.py there, by the committed results:
compare.py took 12 to 26 minutes, queries.py 3 to 7, robustness.py 17.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mgmp_jax.data.augment import Augmentation
from mgmp_jax.training.recipe import Recipe

KINDS = {
    "homologous": "started from the source",
    "scratch": "random initialisation, the same task",
    "sibling descendant": "started from another model of the source's data, the same task",
    "cousin descendant": "started from a model of other data of its distribution, the same task",
    "independent": "another model of the source's data, not fine-tuned",
}
"""What a suspect may be; all but the first are not homologous."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How large everything is."""

    data: Literal["cifar", "glyphs"]
    widths: Mapping[str, int | None]
    """Of each architecture, for source, targets and generator; ``None`` is its own."""
    source_images: int
    target_images: int
    source: Recipe
    target: Recipe
    num_siblings: int
    num_queries: int
    mgmp: dict[str, int]

    @property
    def augment(self) -> Augmentation:
        """Of the training images."""
        return "crop-flip" if self.data == "cifar" else "none"


PRESETS = {
    "demo": Preset(
        data="glyphs",
        widths={"resnet18": 8, "alexnet": 8, "vit-small": 48},
        source_images=2000,
        target_images=400,
        source=Recipe(3, 32, 0.05),
        target=Recipe(3, 16, 0.02, checkpoints=3),
        num_siblings=4,
        num_queries=1000,
        mgmp={"epochs": 2, "batch_size": 100},
    ),
    "small": Preset(
        data="cifar",
        widths={"resnet18": 8, "alexnet": 16, "vit-small": 48},
        source_images=10_000,
        target_images=1500,
        source=Recipe(5, 64, 0.05),
        target=Recipe(4, 64, 0.05, checkpoints=4),
        num_siblings=9,
        num_queries=2500,
        mgmp={"epochs": 10, "batch_size": 250},
    ),
    "paper": Preset(
        data="cifar",
        widths={"resnet18": None, "alexnet": None, "vit-small": None},
        source_images=20_000,
        target_images=5000,
        source=Recipe(60, 128, 0.1),
        target=Recipe(30, 128, 0.05, checkpoints=6),
        num_siblings=19,
        num_queries=20_000,
        mgmp={"epochs": 20, "batch_size": 256},
    ),
}


@dataclasses.dataclass(frozen=True)
class Args:
    """A source, its siblings, and suspects of all kinds."""

    arch: Literal["resnet18", "alexnet", "vit-small"] = "resnet18"
    """Architecture of the source and of all targets."""
    preset: Literal["demo", "small", "paper"] = "paper"
    """How large everything is; demo reads generated images, the others CIFAR."""
    pool_subsets: tuple[int, ...] = (3, 6, 8, 9, 5)
    """Subsets 0 to 9 whose models MGMP learns from."""
    eval_subsets: tuple[int, ...] = (1, 2, 4, 7, 0)
    """Subsets 0 to 9 whose models are the suspects."""
    siblings: int | None = None
    """How many siblings the source has, 3 to 99; by default as the preset says. With m of them no
    exact p-value is below 1 / (m + 1)."""
    data_dir: Path | None = None
    """Where CIFAR lies; by default MGMP_DATA_DIR or ~/tensorflow_datasets."""
    out: Path = Path("runs")
    """Folder for models and results. One folder is for one state of the data in --data-dir, and
    for one command at a time."""


NUM_QUERIES = (8, 16, 32, 64, 128, 256, 1000)
"""For how many queries compare.py gives the AUC of every method, beside all."""

DRAWS = 3
"""Of so many queries."""
