"""Table 2 of the paper as data: rows, stand-ins, presets, and the options that choose among them.

Preset small, MiniLM, on two CPU cores, by the committed results: row 1 with three seeds took 64
minutes; row 3 with one seed and its models there 7.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from _rows import Row, TaskPair, check_at_least_one, check_subsets, variants

from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR
from mgmp_jax.data.tokenizer import Tokens
from mgmp_jax.store import ModelSpec
from mgmp_jax.training.recipe import Recipe

ROWS: dict[int, tuple[str, str, tuple[str, ...], tuple[str, ...], str]] = {
    1: (
        "distilbert",
        "ag_news",
        ("amazon_review_full", "dbpedia_14", "yahoo_answers_topics"),
        ("20_newsgroups", "yelp_review_full"),
        "0.8377 ± 0.0778 (0.7203 ± 0.0936)",
    ),
    2: (
        "distilbert",
        "yahoo_answers_topics",
        ("20_newsgroups", "dbpedia_14", "amazon_review_full"),
        ("ag_news", "yelp_review_full"),
        "0.8625 ± 0.0903 (0.7875 ± 0.1003)",
    ),
    3: (
        "distilbert",
        "20_newsgroups",
        ("yahoo_answers_topics", "yelp_review_full", "20_newsgroups"),
        ("ag_news", "dbpedia_14"),
        "0.9395 ± 0.0554 (0.8371 ± 0.0964)",
    ),
    4: (
        "bert-base",
        "ag_news",
        ("amazon_review_full", "dbpedia_14", "yahoo_answers_topics"),
        ("20_newsgroups", "yelp_review_full"),
        "0.8656 ± 0.0802 (0.7074 ± 0.0918)",
    ),
}
"""Rows of Table 2: architecture, source, pool, evaluation, the paper's accuracy with (without)
generator."""

STAND_INS = {
    1: {
        "dbpedia_14": "dbpedia_14.0",
        "yahoo_answers_topics": "dbpedia_14.1",
        "20_newsgroups": "20_newsgroups.0",
        "yelp_review_full": "20_newsgroups.1",
    },
    3: {
        "yahoo_answers_topics": "dbpedia_14.0",
        "yelp_review_full": "amazon_review_full",
        "dbpedia_14": "dbpedia_14.1",
    },
}
STAND_INS[4] = STAND_INS[1]
"""For each row what stands for the sets that may not be passed on: other sets, or halves of them
by their classes, so that no class is in the pool and in the evaluation too."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How large everything is; ``None`` is all there is, or an architecture's own width."""

    width: int | None
    max_length: int
    source_examples: int | None
    target_examples: int | None
    source: Recipe
    target: Recipe
    num_queries: int | None
    mgmp: dict[str, Any]
    seeds: int


def _recipe(epochs: int, batch_size: int, learning_rate: float, **more: int) -> Recipe:
    return Recipe(epochs, batch_size, learning_rate, "adam", 0.0, "none", **more)


PRESETS = {
    "demo": Preset(
        width=48,
        max_length=32,
        source_examples=2000,
        target_examples=600,
        source=_recipe(4, 32, 1e-3),
        target=_recipe(6, 16, 2e-3, checkpoints=3),
        num_queries=1000,
        mgmp={"epochs": 4, "batch_size": 100, "learning_rate": 1e-3},
        seeds=1,
    ),
    "small": Preset(
        width=None,
        max_length=64,
        source_examples=2000,
        target_examples=800,
        source=_recipe(3, 16, 1e-4, frozen=3),
        target=_recipe(3, 16, 1e-4, frozen=3, checkpoints=3),
        num_queries=2000,
        mgmp={"epochs": 3, "batch_size": 100, "learning_rate": 1e-4},
        seeds=3,
    ),
    "paper": Preset(
        width=None,
        max_length=128,
        source_examples=None,
        target_examples=None,
        source=_recipe(3, 32, 5e-5),
        target=_recipe(3, 32, 5e-5, checkpoints=3),
        num_queries=None,
        mgmp={"epochs": 5, "batch_size": 64, "learning_rate": 5e-5},
        seeds=3,
    ),
}


@dataclasses.dataclass(frozen=True)
class Args:
    """Table 2 of the paper: provenance of text classifiers."""

    arch: Literal["distilbert", "bert-base", "minilm"] = "distilbert"
    """Architecture of the source, of all targets and of the generator."""
    row: int | Literal["all"] | None = None
    """Row of Table 2, 1 to 4, or all of the architecture, of which those are named as not run whose
    data are not at hand; by default the first one of the architecture."""
    stand_ins: bool = False
    """Put halves of other sets in the place of those that may not be passed on."""
    pretrained: str | None = None
    """Public checkpoint to start from: a folder in Hugging Face layout or an id of the hub. By
    default everything starts from random weights, with a vocabulary learnt from the source's
    texts."""
    non_homologous: Literal["pretrained", "random"] | None = None
    """What non-homologous models start from; by default the checkpoint where there is one."""
    preset: Literal["demo", "small", "paper"] = "paper"
    """How large everything is."""
    data: Literal["text", "topics"] | None = None
    """The paper's sets, or generated texts; by default topics for the preset demo only."""
    pool_subsets: tuple[int, ...] = (3, 6, 8)
    """Subsets 0 to 9 of the generated texts whose models MGMP learns from."""
    eval_subsets: tuple[int, ...] = (1, 2)
    """Subsets 0 to 9 of the generated texts whose models MGMP is judged on."""
    data_dir: Path | None = None
    """Folder of NAME/train.parquet and NAME/test.parquet; by default MGMP_DATA_DIR."""
    seeds: int | None = None
    """How many times MGMP is trained; by default as the preset says."""
    out: Path = Path("runs")
    """Folder for models and results; models are shared by the rows that need them. One folder is
    for one state of the data in --data-dir, and for one command at a time."""


@dataclasses.dataclass(frozen=True)
class Tasks:
    """Source, pool and evaluation data of a row, each ``NAME`` or ``NAME.SUBSET``."""

    name: str
    source: str
    pool: tuple[str, ...]
    evaluation: tuple[str, ...]
    paper: str
    stands_for: dict[str, str] = dataclasses.field(default_factory=dict)


def rows_of(arch: str) -> list[int]:
    """The rows of Table 2 that an architecture is for; MiniLM stands in for DistilBERT."""
    arch = "distilbert" if arch == "minilm" else arch
    return [number for number, (of_row, *_) in ROWS.items() if of_row == arch]


def choose_tasks(args: Args) -> Tasks:
    """The tasks that the arguments ask for.

    Raises:
        ValueError: there is no such row, or the subsets are impossible.
    """
    if args.data == "topics" or (args.data is None and args.preset == "demo"):
        check_subsets(args.pool_subsets, args.eval_subsets)
        if args.row is not None or args.stand_ins:
            raise ValueError("generated texts have no --row and no --stand-ins; choose --data text")
        pool, evaluation = (
            tuple(f"topics100.{subset}" for subset in subsets)
            for subsets in (args.pool_subsets, args.eval_subsets)
        )
        return Tasks("topics", "topics10", pool, evaluation, "-")
    known = rows_of(args.arch)
    number = known[0] if args.row is None else args.row
    if not isinstance(number, int) or number not in known:
        raise ValueError(f"rows of {args.arch} in Table 2 are {known}, got {args.row}")
    _, source, pool, evaluation, paper = ROWS[number]
    stand_ins: dict[str, str] = {}
    if args.stand_ins:
        if number not in STAND_INS:
            raise ValueError(f"row {number} has no stand-ins; rows {list(STAND_INS)} have")
        stand_ins = STAND_INS[number]
    return Tasks(
        f"row{number}{'-stand-ins' if stand_ins else ''}",
        source,
        tuple(stand_ins.get(task, task) for task in pool),
        tuple(stand_ins.get(task, task) for task in evaluation),
        paper,
        {stand_in: task for task, stand_in in stand_ins.items() if not stand_in.startswith(task)},
    )


def make_row(
    args: Args, tasks: Tasks, tokens: Tokens, pretrained: str | None, vocab_size: int | None = None
) -> Row:
    """The row that the arguments ask for.

    Args:
        args: the command line.
        tasks: from :func:`choose_tasks`.
        tokens: what the models read.
        pretrained: digest of the checkpoint, ``None`` for random weights.
        vocab_size: of the checkpoint, which may be larger than that of the tokens.

    Raises:
        ValueError: the arguments contradict each other.
    """
    preset = PRESETS[args.preset]
    seeds = check_at_least_one("seeds", preset.seeds if args.seeds is None else args.seeds)
    if args.non_homologous == "pretrained" and pretrained is None:
        raise ValueError("--non-homologous pretrained needs --pretrained PATH_OR_ID")
    start = None if args.non_homologous == "random" else pretrained
    source = _model(args, tokens, tasks.source, preset.source, pretrained)
    source = dataclasses.replace(source, num_examples=preset.source_examples)

    def pair(seed: int, task: str) -> TaskPair:
        non_homologous = _model(args, tokens, task, preset.target, start)
        non_homologous = dataclasses.replace(
            non_homologous, num_examples=preset.target_examples, seed=seed
        )
        homologous = dataclasses.replace(
            non_homologous,
            recipe=_recipe_from(preset.target, pretrained),
            start=source,
            head="reinit",
            pretrained=None,
        )
        stands_for = tasks.stands_for.get(task)
        name = f"{task} (for {stands_for})" if stands_for else task
        return TaskPair(name, homologous, non_homologous)

    paper = PAPER.replace(
        generator=args.arch,
        generator_width=source.width,
        generator_vocab_size=max(tokens.vocab_size, vocab_size or 0),
        response="embedding",
        **preset.mgmp,
    )
    pairs = [pair(seed, task) for seed, task in enumerate(tasks.pool + tasks.evaluation, 1)]
    return Row(
        name=f"{args.arch}-{tasks.name}-{args.preset}-{'pretrained' if start else 'random'}",
        source=source,
        pool=tuple(pairs[: len(tasks.pool)]),
        evaluation=tuple(pairs[len(tasks.pool) :]),
        num_queries=preset.num_queries,
        variants=variants(
            paper,
            PAPER_WITHOUT_GENERATOR.replace(response="embedding", batch_size=paper.batch_size),
            EXTENDED.replace(response="embedding", batch_size=paper.batch_size),
            [dataclasses.replace(source, seed=1001 + seed) for seed in range(seeds)],
            generator_start=source if pretrained else None,
        ),
        seeds=seeds,
        paper=tasks.paper,
    )


def _model(
    args: Args, tokens: Tokens, task: str, recipe: Recipe, pretrained: str | None
) -> ModelSpec:
    data, _, subset = task.partition(".")
    return ModelSpec(
        args.arch,
        data,
        _recipe_from(recipe, pretrained),
        width=None if args.pretrained else PRESETS[args.preset].width,
        subset=int(subset) if subset else None,
        tokens=tokens,
        pretrained=pretrained,
    )


def _recipe_from(recipe: Recipe, pretrained: str | None) -> Recipe:
    """Random layers are never frozen."""
    return recipe if pretrained else dataclasses.replace(recipe, frozen=0)
