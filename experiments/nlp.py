"""Table 2 of the paper: provenance of text classifiers.

    python experiments/nlp.py --arch distilbert --pretrained hub:ID       # row 1, paper scale
    python experiments/nlp.py --arch minilm --preset small --pretrained PATH --stand-ins
    python experiments/nlp.py --preset demo                               # no data needed

Sources and targets are text classifiers of different data sets. Class counts differ, so homologous
models start with the source's weights and a new last layer, and responses are the embedding of
the first token. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _run import claim, open_store, run
from configs.common import at_least_one, check_subsets
from configs.nlp import PRESETS, ROWS, STAND_INS, Args

if TYPE_CHECKING:
    from _rows import Row, TaskPair

    from mgmp_jax.data.tokenizer import Tokenizer, Tokens
    from mgmp_jax.store import ModelSpec


@dataclasses.dataclass(frozen=True)
class Tasks:
    """Source, pool and evaluation data of a row, each ``NAME`` or ``NAME.SUBSET``."""

    name: str
    source: str
    pool: tuple[str, ...]
    evaluation: tuple[str, ...]
    paper: str = "-"
    stands_for: dict[str, str] = dataclasses.field(default_factory=dict)


def choose_tasks(args: Args) -> Tasks:
    """Chooses the tasks that the arguments ask for; MiniLM stands in for DistilBERT."""
    if args.preset == "demo":
        check_subsets(args.pool_subsets, args.eval_subsets)
        if args.row is not None or args.stand_ins:
            raise ValueError("the preset demo has generated texts: no --row and no --stand-ins")
        parts = (args.pool_subsets, args.eval_subsets)
        pool, evaluation = (tuple(f"topics100.{subset}" for subset in part) for part in parts)
        return Tasks("topics", "topics10", pool, evaluation)
    arch = "distilbert" if args.arch == "minilm" else args.arch
    known = [number for number, (of_row, *_) in ROWS.items() if of_row == arch]
    number = known[0] if args.row is None else args.row
    if not isinstance(number, int) or number not in known:
        raise ValueError(f"rows of {args.arch} in Table 2 are {known}, got {args.row}")
    if args.stand_ins and number not in STAND_INS:
        raise ValueError(f"row {number} has no stand-ins; rows {list(STAND_INS)} have")
    _, source, *parts, paper = ROWS[number]
    others = STAND_INS[number] if args.stand_ins else {}
    pool, evaluation = (tuple(others.get(task, task) for task in part) for part in parts)
    stands_for = {other: task for task, other in others.items() if not other.startswith(task)}
    negatives = "-random-negatives" if args.random_negatives else ""
    name = f"row{number}{'-stand-ins' if others else ''}{negatives}"
    return Tasks(name, source, pool, evaluation, paper, stands_for)


def make_model(
    args: Args,
    tokens: Tokens,
    task: str,
    recipe: Sequence[Any],
    num_examples: int | None,
    pretrained: str | None,
    checkpoints: int = 1,
) -> ModelSpec:
    """Describes a text classifier of a task, trained from a checkpoint or from random weights."""
    from mgmp_jax.store import ModelSpec
    from mgmp_jax.training import Recipe

    preset = PRESETS[args.preset]
    data, _, subset = task.partition(".")
    frozen = preset.frozen if pretrained else 0  # random layers are never frozen
    common: dict[str, Any] = {"optimizer": "adam", "weight_decay": 0.0, "augment": "none"}
    return ModelSpec(
        args.arch,
        data,
        Recipe(*recipe, **common, frozen=frozen, checkpoints=checkpoints),
        width=None if args.pretrained else preset.widths.get(args.arch),
        subset=int(subset) if subset else None,
        num_examples=num_examples,
        tokens=tokens,
        pretrained=pretrained,
    )


def make_row(
    args: Args, tasks: Tasks, tokens: Tokens, pretrained: str | None, vocab_size: int = 0
) -> Row:
    """Makes the row that the arguments ask for.

    ``pretrained`` is the digest of the checkpoint that models start from, ``vocab_size`` the size
    of its vocabulary, which may be larger than that of the tokens.
    """
    from _rows import Row, TaskPair
    from _variants import variants

    from mgmp_jax.config import PAPER

    preset = PRESETS[args.preset]
    seeds = at_least_one("seeds", preset.seeds if args.seeds is None else args.seeds)

    model = functools.partial(make_model, args, tokens)
    source = model(tasks.source, preset.source, preset.examples[0], pretrained)

    def pair(seed: int, task: str) -> TaskPair:
        recipe, number, kept = preset.target, preset.examples[1], preset.checkpoints
        target, other = (
            dataclasses.replace(model(task, recipe, number, start, kept), seed=seed)
            for start in (pretrained, None if args.random_negatives else pretrained)
        )
        name = f"{task} (for {tasks.stands_for[task]})" if task in tasks.stands_for else task
        return TaskPair(name, source.descendant(target, "reinit"), other)

    paper = PAPER.replace(
        generator=args.arch,
        generator_width=source.width,
        generator_vocab_size=max(tokens.vocab_size, vocab_size),
        response="embedding",
        **preset.mgmp,
    )
    pairs = [pair(seed, task) for seed, task in enumerate(tasks.pool + tasks.evaluation, 1)]
    generators = [source.sibling(1001 + seed) for seed in range(seeds)]
    return Row(
        name=f"{args.arch}-{tasks.name}-{args.preset}-{'pretrained' if pretrained else 'random'}",
        source=source,
        pool=tuple(pairs[: len(tasks.pool)]),
        evaluation=tuple(pairs[len(tasks.pool) :]),
        num_queries=preset.num_queries,
        variants=variants(paper, generators, source if pretrained else None),
        seeds=seeds,
        paper=tasks.paper,
    )


def open_tokenizer(args: Args, source: str, checkpoint: Path | None) -> Tokenizer:
    """Opens the checkpoint's tokenizer, or learns one from the source's training texts."""
    from mgmp_jax.data import text, topics
    from mgmp_jax.data.tokenizer import Tokenizer

    preset, cache = PRESETS[args.preset], args.out / "tokens"
    if checkpoint is not None:
        return Tokenizer.load(checkpoint, preset.max_length, cache)
    number = preset.examples[0]
    if source == "topics10":
        texts = topics.generate(source, "train", number or text.MAX_TRAIN)
    else:
        texts = text.load_texts(source, "train", args.data_dir, download=True).take(number)
    folder = args.out / "vocabularies" / f"{source}-{len(texts)}"
    return Tokenizer.learn(texts.texts, folder, preset.max_length, cache)


def run_one(args: Args, tasks: Tasks, checkpoint: Path | None) -> dict[str, Any]:
    """Runs one row, from its data to its results."""
    from _rows import run_row

    from mgmp_jax.models.pretrained import digest_pretrained, pretrained_vocab_size

    about = (None, 0)
    if checkpoint is not None:
        about = digest_pretrained(checkpoint), pretrained_vocab_size(checkpoint)
    tokenizer = open_tokenizer(args, tasks.source, checkpoint)
    row = make_row(args, tasks, tokenizer.tokens, *about)
    store = open_store(args, tokenizer=tokenizer, pretrained=checkpoint)
    return run_row("nlp", row, store, args)


def main(args: Args) -> list[dict[str, Any]]:
    """Runs the rows; see the module's docstring."""
    from mgmp_jax.models.pretrained import find_pretrained
    from mgmp_jax.training import console

    if args.row == "all" and args.distributed:
        raise ValueError(
            "--row all skips rows whose data are missing; run --distributed row by row"
        )
    at_least_one("seeds", 1 if args.seeds is None else args.seeds)
    if args.random_negatives and args.pretrained is None:
        raise ValueError(
            "--random-negatives are those of models that start from a checkpoint: give --pretrained"
        )
    claim(args.out)
    checkpoint = None
    if args.pretrained is not None:
        of_hub = args.pretrained.startswith("hub:")
        checkpoint = find_pretrained(args.pretrained.removeprefix("hub:"), download=of_hub)
    if args.row != "all" or args.preset == "demo":
        return [run_one(args, choose_tasks(args), checkpoint)]
    results = []
    for one in (dataclasses.replace(args, row=number) for number in ROWS):
        try:
            results.append(run_one(one, choose_tasks(one), checkpoint))
        except (FileNotFoundError, ValueError) as error:
            console.print(f"[bold]Row {one.row} was not run:[/] {error}")
    return results


if __name__ == "__main__":
    run(main, Args)
