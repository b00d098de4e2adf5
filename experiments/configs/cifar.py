"""Table 1 of the paper as data: rows, presets, and the options that choose among them.

Preset small on two CPU cores, by the committed results: row 1 took 35 minutes, rows 2 and 3 with
most models there 15 and 7; row 4 with one seed 27; row 7 with one seed 51.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from _rows import Row, TaskPair, check_at_least_one, check_subsets, variants

from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR
from mgmp_jax.data.augment import Augmentation
from mgmp_jax.store import ModelSpec
from mgmp_jax.training.recipe import Recipe

ROWS: dict[int, tuple[str, tuple[int, ...], tuple[int, ...], str]] = {
    1: ("resnet18", (3, 6, 8, 9, 5), (1, 2, 4, 7, 0), "0.9193 ± 0.0232 (0.7529 ± 0.0347)"),
    2: ("resnet18", (6, 7, 0, 1, 2), (3, 4, 5, 8, 9), "0.9511 ± 0.0432 (0.8219 ± 0.0332)"),
    3: ("resnet18", (9, 3, 7, 8, 1), (4, 2, 5, 0, 6), "0.9607 ± 0.0483 (0.8030 ± 0.0451)"),
    4: ("alexnet", (3, 6, 8, 9, 5), (1, 2, 4, 7, 0), "0.9025 ± 0.0472 (0.7220 ± 0.0687)"),
    5: ("alexnet", (6, 7, 0, 1, 2), (3, 4, 5, 8, 9), "0.9247 ± 0.0392 (0.8471 ± 0.0417)"),
    6: ("alexnet", (9, 3, 7, 8, 1), (4, 2, 5, 0, 6), "0.9106 ± 0.0331 (0.8231 ± 0.0442)"),
    7: ("vit-small", (3, 6, 8, 9, 5), (1, 2, 4, 7, 0), "0.9164 ± 0.0224 (0.8326 ± 0.0306)"),
}
"""Rows of Table 1: architecture, pool subsets, evaluation subsets, the paper's accuracy with
(without) generator."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How large everything is; ``None`` is all there is, or an architecture's own width."""

    widths: dict[str, int | None]
    source_images: int | None
    target_images: int | None
    source: Recipe
    target: Recipe
    num_queries: int | None
    generator: str
    generator_width: int | None
    generator_recipe: Recipe
    mgmp: dict[str, int]
    seeds: int
    halved: tuple[str, ...] = ()
    """Architectures so slow that source and targets get half the epochs."""

    def recipe(self, recipe: Recipe, arch: str, augment: Augmentation) -> Recipe:
        """A recipe of the source or of targets as an architecture needs it."""
        if arch in self.halved:
            halves = {"epochs": recipe.epochs // 2, "checkpoints": -(-recipe.checkpoints // 2)}
            recipe = dataclasses.replace(recipe, **halves)
        return recipe_for(recipe, arch, augment)


PRESETS = {
    "demo": Preset(
        widths={"resnet18": 8, "alexnet": 8, "vit-small": 48},
        source_images=2000,
        target_images=400,
        source=Recipe(4, 32, 0.05),
        target=Recipe(3, 16, 0.02, checkpoints=3),
        num_queries=1000,
        generator="resnet18",
        generator_width=4,
        generator_recipe=Recipe(4, 32, 0.05),
        mgmp={"epochs": 4, "batch_size": 100},
        seeds=1,
    ),
    "small": Preset(
        widths={"resnet18": 16, "alexnet": 16, "vit-small": 48},
        source_images=10_000,
        target_images=2000,
        source=Recipe(12, 128, 0.1),
        target=Recipe(6, 64, 0.05, checkpoints=6),
        num_queries=2500,
        generator="resnet18",
        generator_width=8,
        generator_recipe=Recipe(8, 128, 0.1),
        mgmp={"epochs": 10, "batch_size": 250},
        seeds=3,
        halved=("vit-small",),
    ),
    "paper": Preset(
        widths={"resnet18": None, "alexnet": None, "vit-small": None},
        source_images=None,
        target_images=None,
        source=Recipe(60, 128, 0.1),
        target=Recipe(30, 128, 0.05, checkpoints=6),
        num_queries=None,
        generator="resnet50",
        generator_width=None,
        generator_recipe=Recipe(30, 128, 0.1),
        mgmp={"epochs": 20, "batch_size": 256},
        seeds=3,
    ),
}


@dataclasses.dataclass(frozen=True)
class Args:
    """Table 1 of the paper: provenance of image classifiers."""

    arch: Literal["resnet18", "alexnet", "vit-small"] = "resnet18"
    """Architecture of the source and of all targets."""
    row: int | Literal["all"] | None = None
    """Row of Table 1, 1 to 7, or all of them, whatever the architecture; by default the first one
    of the architecture."""
    pool_subsets: tuple[int, ...] | None = None
    """Subsets 0 to 9 whose models MGMP learns from, instead of the row's."""
    eval_subsets: tuple[int, ...] | None = None
    """Subsets 0 to 9 whose models MGMP is judged on, instead of the row's."""
    generator: Literal["resnet18", "resnet50", "alexnet", "vit-small", "vit-base"] | None = None
    """Architecture of the generator; by default as the preset says, at paper scale resnet50."""
    assemble: Literal["addition", "concatenation"] = "addition"
    """How the paper's method makes fragments of latents and responses."""
    head: Literal["keep", "reinit"] = "keep"
    """Whether homologous models keep the source's last layer or start with a new one."""
    preset: Literal["demo", "small", "paper"] = "paper"
    """How large everything is."""
    data: Literal["cifar", "glyphs"] = "cifar"
    """CIFAR-10 and CIFAR-100, or generated digits and letters."""
    data_dir: Path | None = None
    """Where CIFAR lies; by default MGMP_DATA_DIR or ~/tensorflow_datasets."""
    seeds: int | None = None
    """How many times MGMP is trained; by default as the preset says."""
    together: int = 1
    """How many pool models are trained at once, stacked by vmap. On two CPU cores four stacked take
    4.4 times as long as one after another (results/timings.json)."""
    out: Path = Path("runs")
    """Folder for models and results; models are shared by the rows that need them. One folder is
    for one state of the data in --data-dir, and for one command at a time."""


def make_row(args: Args) -> Row:
    """The row that the arguments ask for.

    Raises:
        ValueError: the row, the subsets or the number of seeds are impossible.
    """
    preset = PRESETS[args.preset]
    name, pool, evaluation, paper = _choose_row(args)
    check_at_least_one("together", args.together)
    seeds = check_at_least_one("seeds", preset.seeds if args.seeds is None else args.seeds)
    augment: Augmentation = "crop-flip" if args.data == "cifar" else "none"
    source = ModelSpec(
        args.arch,
        f"{args.data}10",
        preset.recipe(preset.source, args.arch, augment),
        width=preset.widths[args.arch],
        num_examples=preset.source_images,
    )

    def pair(subset: int) -> TaskPair:
        non_homologous = ModelSpec(
            args.arch,
            f"{args.data}100",
            preset.recipe(preset.target, args.arch, augment),
            width=preset.widths[args.arch],
            subset=subset,
            num_examples=preset.target_images,
            seed=1 + subset,
        )
        homologous = dataclasses.replace(non_homologous, start=source, head=args.head)
        return TaskPair(f"subset {subset}", homologous, non_homologous)

    generator = args.generator or preset.generator
    fixed = ModelSpec(
        generator,
        f"{args.data}10",
        recipe_for(preset.generator_recipe, generator, augment),
        width=preset.generator_width,
        num_examples=preset.source_images,
    )
    paper_config = PAPER.replace(
        generator=generator,
        generator_width=preset.generator_width,
        assemble=args.assemble,
        **preset.mgmp,
    )
    return Row(
        name=f"{args.data}-{args.arch}-{name}-{args.preset}",
        source=source,
        pool=tuple(pair(subset) for subset in pool),
        evaluation=tuple(pair(subset) for subset in evaluation),
        num_queries=preset.num_queries,
        variants=variants(
            paper_config,
            PAPER_WITHOUT_GENERATOR.replace(batch_size=paper_config.batch_size),
            EXTENDED.replace(batch_size=paper_config.batch_size),
            [dataclasses.replace(fixed, seed=1001 + seed) for seed in range(seeds)],
        ),
        seeds=seeds,
        paper=paper,
    )


def _choose_row(args: Args) -> tuple[str, tuple[int, ...], tuple[int, ...], str]:
    """Name, pool subsets, evaluation subsets and the paper's figures."""
    known = [number for number, (arch, *_) in ROWS.items() if arch == args.arch]
    number = known[0] if args.row is None else args.row
    if not isinstance(number, int) or number not in known:
        archs = {number: arch for number, (arch, *_) in ROWS.items()}
        raise ValueError(
            f"rows of {args.arch} in Table 1 are {known}, got {args.row}; of others: {archs}, each "
            "with its --arch"
        )
    _, pool, evaluation, paper = ROWS[number]
    if args.pool_subsets is None and args.eval_subsets is None:
        return f"row{number}", pool, evaluation, paper
    pool, evaluation = args.pool_subsets or (), args.eval_subsets or ()
    check_subsets(pool, evaluation)
    return "subsets", pool, evaluation, "-"


def recipe_for(recipe: Recipe, arch: str, augment: Augmentation) -> Recipe:
    """A recipe of SGD as an architecture needs it."""
    recipe = dataclasses.replace(recipe, augment=augment)
    if arch == "vit-small":
        return dataclasses.replace(recipe, optimizer="adam", learning_rate=1e-3, weight_decay=0.0)
    if arch == "alexnet":
        return dataclasses.replace(recipe, learning_rate=recipe.learning_rate / 5)
    return recipe
