"""Table 1 of the paper: its rows, and how large they are.

    python experiments/cifar.py --arch resnet18 --preset small --data-dir DIR

Row 1 took 35 minutes on two CPU cores with three seeds, models included, row 4 27 minutes and row 7
51 with one; rows of one architecture share their models. Row 1 scores 0.999 (extended), 0.604
(paper); the paper's own models 0.919.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from configs.common import Arch, ImageArgs, Recipe, check_subsets

ROWS: dict[int, tuple[str, tuple[int, ...], tuple[int, ...], str]] = {
    1: ("resnet18", (3, 6, 8, 9, 5), (1, 2, 4, 7, 0), "0.9193 ± 0.0232 (0.7529 ± 0.0347)"),
    2: ("resnet18", (6, 7, 0, 1, 2), (3, 4, 5, 8, 9), "0.9511 ± 0.0432 (0.8219 ± 0.0332)"),
    3: ("resnet18", (9, 3, 7, 8, 1), (4, 2, 5, 0, 6), "0.9607 ± 0.0483 (0.8030 ± 0.0451)"),
    4: ("alexnet", (3, 6, 8, 9, 5), (1, 2, 4, 7, 0), "0.9025 ± 0.0472 (0.7220 ± 0.0687)"),
    5: ("alexnet", (6, 7, 0, 1, 2), (3, 4, 5, 8, 9), "0.9247 ± 0.0392 (0.8471 ± 0.0417)"),
    6: ("alexnet", (9, 3, 7, 8, 1), (4, 2, 5, 0, 6), "0.9106 ± 0.0331 (0.8231 ± 0.0442)"),
    7: ("vit-small", (3, 6, 8, 9, 5), (1, 2, 4, 7, 0), "0.9164 ± 0.0224 (0.8326 ± 0.0306)"),
}
"""Architecture, pool subsets, evaluation subsets, the paper's accuracy with (without) generator."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How large everything is; ``None`` is all there is, or an architecture's own width."""

    widths: dict[str, int | None]
    images: tuple[int | None, int | None]
    """Of the source, and of a target."""
    source: Recipe
    target: Recipe
    checkpoints: int
    """Along the training of a target."""
    num_queries: int | None
    generator: tuple[str, int | None, Recipe]
    """Architecture, width and recipe."""
    mgmp: dict[str, int]
    seeds: int
    halved: tuple[str, ...] = ()
    """Architectures so slow that source and targets get half the epochs."""


PRESETS = {
    "demo": Preset(
        widths={"resnet18": 8, "alexnet": 8, "vit-small": 48},
        images=(2000, 400),
        source=(4, 32, 0.05),
        target=(3, 16, 0.02),
        checkpoints=3,
        num_queries=1000,
        generator=("resnet18", 4, (4, 32, 0.05)),
        mgmp={"epochs": 4, "batch_size": 100},
        seeds=1,
    ),
    "small": Preset(
        widths={"resnet18": 16, "alexnet": 16, "vit-small": 48},
        images=(10_000, 2000),
        source=(12, 128, 0.1),
        target=(6, 64, 0.05),
        checkpoints=6,
        num_queries=2500,
        generator=("resnet18", 8, (8, 128, 0.1)),
        mgmp={"epochs": 10, "batch_size": 250},
        seeds=3,
        halved=("vit-small",),
    ),
    "paper": Preset(
        widths={"resnet18": None, "alexnet": None, "vit-small": None},
        images=(None, None),
        source=(60, 128, 0.1),
        target=(30, 128, 0.05),
        checkpoints=6,
        num_queries=None,
        generator=("resnet50", None, (30, 128, 0.1)),
        mgmp={"epochs": 20, "batch_size": 256},
        seeds=3,
    ),
}


@dataclasses.dataclass(frozen=True)
class Args(ImageArgs):
    """Fill Table 1 of the paper: provenance of image classifiers."""

    arch: Arch = "resnet18"
    """Architecture of the source and of all targets."""
    row: int | Literal["all"] | None = None
    """Row of Table 1, 1 to 7, or all of them, whatever the architecture; by default the first one
    of the architecture."""
    pool_subsets: tuple[int, ...] | None = None
    """Subsets 0 to 9 whose models MGMP learns from, instead of the row's."""
    eval_subsets: tuple[int, ...] | None = None
    """Subsets 0 to 9 whose models MGMP is evaluated on, instead of the row's."""
    generator: Literal["resnet18", "resnet50", "alexnet", "vit-small", "vit-base"] | None = None
    """Architecture of the generator; by default as the preset says, at paper scale resnet50."""
    assemble: Literal["addition", "concatenation"] = "addition"
    """How the paper's method makes fragments of latents and responses."""
    head: Literal["keep", "reinit"] = "keep"
    """Whether homologous models keep the source's last layer or start with a new one."""
    seeds: int | None = None
    """How many times MGMP is trained; by default as the preset says."""
    together: int = 1
    """How many pool models are trained at once, stacked by vmap. On two CPU cores four stacked take
    4.4 times as long as one after another (results/timings.json)."""


def choose_row(args: Args) -> tuple[str, tuple[tuple[int, ...], tuple[int, ...], str]]:
    """Chooses a row: its name; its pool subsets, evaluation subsets and the paper's figures.

    Raises:
        ValueError: the row or the subsets are impossible.
    """
    known = {number: row for number, row in ROWS.items() if row[0] == args.arch}
    number = min(known) if args.row is None else args.row
    if number not in known:
        archs = {number: arch for number, (arch, *_) in ROWS.items()}
        raise ValueError(
            f"rows of {args.arch} in Table 1 are {list(known)}, got {args.row}; of others: "
            f"{archs}, each with its --arch"
        )
    if args.pool_subsets is None and args.eval_subsets is None:
        _, pool, evaluation, paper = known[int(number)]
        return f"row{number}", (pool, evaluation, paper)
    pool, evaluation = args.pool_subsets or (), args.eval_subsets or ()
    check_subsets(pool, evaluation)
    return "subsets", (pool, evaluation, "-")
