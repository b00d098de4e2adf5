"""Table 1 of the paper: its rows, and how large they are.

    python experiments/cifar.py --arch resnet18 --preset small --data-dir DIR

Rows of one architecture share their models. On two CPU cores, beside other work, the 24 models of
row 1 took an hour, and the MGMPs of a row five to ten minutes with three seeds. Row 1 scores 0.9999
(extended), 0.647 (paper); the paper's own models 0.919.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from configs import common
from configs.common import WIDTHS, Arch, ImageArgs, Recipe, check_subsets, presets

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(common.Preset):
    """How large everything is; ``None`` is all there is, or an architecture's own width."""

    generator: tuple[str, int | None, Recipe]
    """Architecture, width and recipe."""


PRESETS = presets(
    Preset,
    widths=WIDTHS,
    source=((4, 32, 0.05), (45, 64, 0.1), (60, 128, 0.1)),
    target=((3, 16, 0.02), (12, 64, 0.05), (30, 128, 0.05)),
    examples=((2000, 400), (10_000, 2000), (None, None)),
    checkpoints=(3, 6, 6),
    num_queries=(1000, 2500, None),
    generator=(
        ("resnet18", 4, (4, 32, 0.05)),
        ("resnet18", 8, (8, 128, 0.1)),
        ("resnet50", None, (30, 128, 0.1)),
    ),
    mgmp=(
        {"epochs": 4, "batch_size": 100},
        {"epochs": 10, "batch_size": 250},
        {"epochs": 20, "batch_size": 256},
    ),
    seeds=(1, 3, 3),
    times=({}, {"alexnet": 3, "vit-small": 0.5}, {}),
)


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
    seeds: int | None = None
    """How many times MGMP is trained; by default as the preset says."""


def choose_row(args: Args) -> tuple[str, tuple[int, ...], tuple[int, ...], str]:
    """Chooses a row: its name, pool subsets, evaluation subsets and the paper's figures."""
    archs = {number: arch for number, (arch, *_) in ROWS.items()}
    known = [number for number, arch in archs.items() if arch == args.arch]
    number = known[0] if args.row is None else args.row
    if not isinstance(number, int) or number not in known:
        others = ", ".join(f"{n} with --arch {arch}" for n, arch in archs.items() if n not in known)
        raise ValueError(
            f"rows of {args.arch} in Table 1 are {known}, got {args.row}; others: {others}"
        )
    if args.pool_subsets is None and args.eval_subsets is None:
        return (f"row{number}", *ROWS[number][1:])
    pool, evaluation = args.pool_subsets or (), args.eval_subsets or ()
    check_subsets(pool, evaluation)
    return "subsets", pool, evaluation, "-"
