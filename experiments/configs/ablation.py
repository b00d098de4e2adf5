"""Table 5 of the paper as data, and what is changed one by one in the paper's method.

Preset small on two CPU cores, with cifar.py's models there, by the committed results: the six
variants of Table 5 took 37 minutes, the changes one by one 12 of which most were trained before.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from _rows import Row, Variant, check_at_least_one

from configs import cifar
from mgmp_jax.config import MGMPConfig

TABLE_5 = {
    "ResNet50, addition, |o| = 10": 0.9193,
    "ViT-small, addition, |o| = 10": 0.9004,
    "ViT-base, addition, |o| = 10": 0.9137,
    "ResNet50, concatenation, |o| = 20": 0.9264,
    "ResNet50, concatenation, |o| = 60": 0.9416,
    "ResNet50, concatenation, |o| = 110": 0.9478,
}
"""The paper's accuracy of each variant."""

WIDTHS: dict[str, dict[str, int | None]] = {
    "demo": {"resnet50": 4, "vit-small": 12, "vit-base": 24},
    "small": {"resnet50": 8, "vit-small": 48, "vit-base": 96},
    "paper": {"resnet50": None, "vit-small": None, "vit-base": None},
}
"""Of the generators; ``None`` is an architecture's own."""


@dataclasses.dataclass(frozen=True)
class Args:
    """Table 5 of the paper, and what each part of the method brings."""

    preset: Literal["demo", "small", "paper"] = "paper"
    """How large everything is, as in cifar.py."""
    data: Literal["cifar", "glyphs"] = "cifar"
    """CIFAR-10 and CIFAR-100, or generated digits and letters."""
    data_dir: Path | None = None
    """Where CIFAR lies; by default MGMP_DATA_DIR or ~/tensorflow_datasets."""
    seeds: int = 1
    """How many times each variant is trained."""
    out: Path = Path("runs")
    """Folder for models and results. One folder is for one state of the data in --data-dir, and
    for one command at a time."""


def table_5(paper: MGMPConfig, widths: dict[str, int | None]) -> dict[str, MGMPConfig]:
    """The rows of Table 5."""

    def of(generator: str, **changes: Any) -> MGMPConfig:
        return paper.replace(generator=generator, generator_width=widths[generator], **changes)

    rows = [of(generator) for generator in ("resnet50", "vit-small", "vit-base")]
    rows += [of("resnet50", assemble="concatenation", latent=width) for width in (10, 50, 100)]
    return dict(zip(TABLE_5, rows, strict=True))


def changed(paper: MGMPConfig) -> dict[str, MGMPConfig]:
    """The paper's method, and the same with one thing changed each."""
    changes: dict[str, dict[str, Any]] = {
        "unchanged": {},
        "τ = 0.1": {"temperature": 0.1},
        "τ = 1": {"temperature": 1.0},
        "λ = 0": {"weight_decay": 0.0},
        "λ = 0.01": {"weight_decay": 0.01},
        "logits": {"response": "logits"},
        "probabilities": {"response": "probabilities"},
        "without L_S": {"similarity_weight": 0.0},
        "without L_I": {"cohesion_weight": 0.0},
        "without L_S and L_I": {"similarity_weight": 0.0, "cohesion_weight": 0.0},
        "sums in L_S and L_I": {"reduction": "sum"},
        "ten times the epochs": {"epochs": 10 * paper.epochs},
    }
    return {name: paper.replace(**change) for name, change in changes.items()}


def make_rows(args: Args) -> list[Row]:
    """Row 1 of Table 1 with the variants of Table 5, and of the loss, in place of its methods."""
    row = cifar.make_row(cifar.Args(preset=args.preset, data=args.data))
    paper, seeds = row.variants["paper"].config, check_at_least_one("seeds", args.seeds)
    return [
        dataclasses.replace(
            row,
            name=f"ablation-{name}-{row.name}",
            variants={n: Variant(config) for n, config in configs.items()},
            seeds=seeds,
            paper="-",
        )
        for name, configs in (
            ("table5", table_5(paper, WIDTHS[args.preset])),
            ("changes", changed(paper)),
        )
    ]
