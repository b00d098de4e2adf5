"""A source with its siblings, and suspects of every kind on tasks that nothing was trained for."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from cifar import recipe_for
from command import address
from row import Pair, Row, check_subsets, methods

from mgmp_jax.data.augment import Augmentation
from mgmp_jax.mgmp import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR
from mgmp_jax.recipe import Recipe
from mgmp_jax.spec import ModelSpec

KINDS = {
    "homologous": "started from the source",
    "scratch": "random initialisation, the same task",
    "sibling": "started from another model of the source's data, the same task",
    "cousin": "started from a model of other data of the source's distribution, the same task",
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
        target=Recipe(3, 16, 0.02, snapshots=3),
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
        target=Recipe(4, 64, 0.05, snapshots=4),
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
        target=Recipe(30, 128, 0.05, snapshots=6),
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


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A model whose relation to the source is asked.

    Args:
        spec: the model.
        kind: one of :data:`KINDS`, as seen from the zoo's source.
    """

    spec: ModelSpec
    kind: str


@dataclasses.dataclass(frozen=True)
class Zoo:
    """Everybody.

    Args:
        row: source, pool and methods of MGMP; its evaluation pairs are left out.
        siblings: of the source; with it the candidates of the sibling test.
        suspects: of every kind, on the evaluation tasks.
        rehearsal: descendants of every candidate on the pool tasks, by which the sibling test's
            statistic is chosen: all candidates have equally many, so the choice does not know
            which of them is the source.
        families: descendants of every candidate on the evaluation tasks.
    """

    row: Row
    siblings: tuple[ModelSpec, ...]
    suspects: tuple[Suspect, ...]
    rehearsal: tuple[ModelSpec, ...]
    families: tuple[ModelSpec, ...]

    @property
    def address(self) -> str:
        """A name unique to all that decides its numbers."""
        return address(self.row.name, [self.row, self.specs])

    @property
    def candidates(self) -> tuple[ModelSpec, ...]:
        """Of the sibling test, the source first."""
        return (self.row.source, *self.siblings)

    @property
    def specs(self) -> list[ModelSpec]:
        """All models once, the source first."""
        pairs = [s for pair in self.row.pool for s in (pair.homologous, pair.non_homologous)]
        suspects = [suspect.spec for suspect in self.suspects]
        everybody = [*self.candidates, *pairs, *suspects, *self.rehearsal, *self.families]
        return list(dict.fromkeys(everybody))

    def of_kind(self, kind: str) -> list[int]:
        """Which of the suspects are of a kind."""
        return [i for i, suspect in enumerate(self.suspects) if suspect.kind == kind]


def make_zoo(args: Args) -> Zoo:
    """The zoo that the arguments ask for.

    On every evaluation task the source and two models of each kind give two suspects each: one
    that keeps the head of what it started from, one with a new head. For siblings and cousins the
    two start from different models, none of which is a candidate of the sibling test.

    Raises:
        ValueError: the subsets or the number of siblings are impossible.
    """
    preset = PRESETS[args.preset]
    check_subsets(args.pool_subsets, args.eval_subsets)
    num_siblings = preset.num_siblings if args.siblings is None else args.siblings
    if not 3 <= num_siblings <= 99:
        raise ValueError(f"--siblings must be from 3 to 99, got {num_siblings}")
    source = ModelSpec(
        args.arch,
        f"{preset.data}10",
        recipe_for(preset.source, args.arch, preset.augment),
        width=preset.widths[args.arch],
        num_examples=preset.source_images,
    )
    siblings = tuple(source.sibling(101 + i) for i in range(num_siblings))
    others = [source.sibling(201), source.sibling(202)]
    cousins = [source.cousin(301), source.cousin(302)]
    generator = source.sibling(1001)
    pool = tuple(
        Pair(f"subset {s}", source.descendant(task), task)
        for s in args.pool_subsets
        for task in (_task(args, preset, s, 1 + s),)
    )
    paper = PAPER.replace(
        generator=args.arch, generator_width=preset.widths[args.arch], **preset.mgmp
    )
    return Zoo(
        row=Row(
            name=f"zoo-{preset.data}-{args.arch}-{args.preset}",
            source=source,
            pool=pool,
            evaluation=(),
            num_queries=preset.num_queries,
            methods=methods(
                paper,
                PAPER_WITHOUT_GENERATOR.replace(batch_size=paper.batch_size),
                EXTENDED.replace(batch_size=paper.batch_size),
                [generator],
            ),
            seeds=1,
            paper="-",
        ),
        siblings=siblings,
        suspects=tuple(_suspects(args, preset, source, siblings, others, cousins)),
        rehearsal=_families(args, preset, (source, *siblings), args.pool_subsets),
        families=_families(args, preset, (source, *siblings), args.eval_subsets),
    )


def _suspects(
    args: Args,
    preset: Preset,
    source: ModelSpec,
    siblings: Sequence[ModelSpec],
    others: Sequence[ModelSpec],
    cousins: Sequence[ModelSpec],
) -> list[Suspect]:
    found = []
    for subset in args.eval_subsets:
        kept, new = (_task(args, preset, subset, seed + subset) for seed in (11, 31))
        for start in (source, *others):
            kind = "homologous" if start == source else "sibling"
            if start != others[-1]:
                found.append(Suspect(start.descendant(kept), kind))
            if start != others[0]:
                found.append(Suspect(start.descendant(new, "reinit"), kind))
        for start, task, head in zip(cousins, (kept, new), ("keep", "reinit"), strict=True):
            found.append(Suspect(start.descendant(task, head), "cousin"))
        found += [Suspect(task, "scratch") for task in (kept, new)]
    found += [Suspect(spec, "independent") for spec in (*others, *siblings)]
    return found


def _families(
    args: Args, preset: Preset, candidates: Sequence[ModelSpec], subsets: Sequence[int]
) -> tuple[ModelSpec, ...]:
    """A descendant of every candidate on every task, the head kept or new task by task."""
    return tuple(
        start.descendant(_task(args, preset, subset, 51 + subset), ("keep", "reinit")[i % 2])
        for start in candidates
        for i, subset in enumerate(subsets)
    )


def _task(args: Args, preset: Preset, subset: int, seed: int) -> ModelSpec:
    return ModelSpec(
        args.arch,
        f"{preset.data}100",
        recipe_for(preset.target, args.arch, preset.augment),
        width=preset.widths[args.arch],
        subset=subset,
        num_examples=preset.target_images,
        seed=seed,
    )
