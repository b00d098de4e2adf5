"""Table 2 of the paper: provenance of text classifiers.

    python experiments/nlp.py --arch distilbert --pretrained PATH_OR_ID   # row 1, paper scale
    python experiments/nlp.py --arch minilm --preset small --pretrained PATH --stand-ins
    python experiments/nlp.py --preset demo                               # no data needed

Sources and targets are text classifiers of different data sets. Class counts differ, so homologous
models start with the source's weights and a new last layer, and responses are the embedding of
the first token. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
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


def rows_of(arch: str) -> list[int]:
    """Lists the rows of Table 2 for an architecture; MiniLM stands in for DistilBERT."""
    arch = "distilbert" if arch == "minilm" else arch
    return [number for number, (of_row, *_) in ROWS.items() if of_row == arch]


def choose_tasks(args: Args) -> Tasks:
    """Chooses the tasks that the arguments ask for.

    Raises:
        ValueError: there is no such row, or the subsets are impossible.
    """
    if args.data == "topics" or (args.data is None and args.preset == "demo"):
        check_subsets(args.pool_subsets, args.eval_subsets)
        if args.row is not None or args.stand_ins:
            raise ValueError("generated texts have no --row and no --stand-ins; choose --data text")
        pool = tuple(f"topics100.{subset}" for subset in args.pool_subsets)
        evaluation = tuple(f"topics100.{subset}" for subset in args.eval_subsets)
        return Tasks("topics", "topics10", pool, evaluation)
    known = rows_of(args.arch)
    number = known[0] if args.row is None else args.row
    if not isinstance(number, int) or number not in known:
        raise ValueError(f"rows of {args.arch} in Table 2 are {known}, got {args.row}")
    _, source, pool, evaluation, paper = ROWS[number]
    if args.stand_ins and number not in STAND_INS:
        raise ValueError(f"row {number} has no stand-ins; rows {list(STAND_INS)} have")
    others = STAND_INS[number] if args.stand_ins else {}
    return Tasks(
        f"row{number}{'-stand-ins' if others else ''}",
        source,
        tuple(others.get(task, task) for task in pool),
        tuple(others.get(task, task) for task in evaluation),
        paper,
        {other: task for task, other in others.items() if not other.startswith(task)},
    )


def make_row(
    args: Args, tasks: Tasks, tokens: Tokens, pretrained: str | None, vocab_size: int = 0
) -> Row:
    """Makes the row that the arguments ask for.

    Args:
        args: the command line.
        tasks: from :func:`choose_tasks`.
        tokens: what the models read.
        pretrained: digest of the checkpoint, ``None`` for random weights.
        vocab_size: of the checkpoint, which may be larger than that of the tokens.

    Raises:
        ValueError: the arguments contradict each other.
    """
    from _rows import Row, TaskPair, variants

    from mgmp_jax.config import PAPER

    preset = PRESETS[args.preset]
    seeds = at_least_one("seeds", preset.seeds if args.seeds is None else args.seeds)
    if args.non_homologous == "pretrained" and pretrained is None:
        raise ValueError("--non-homologous pretrained needs --pretrained PATH_OR_ID")
    start = None if args.non_homologous == "random" else pretrained
    source = _model(args, tokens, tasks.source, pretrained, is_source=True)

    def pair(seed: int, task: str) -> TaskPair:
        other = dataclasses.replace(_model(args, tokens, task, start), seed=seed)
        recipe = _model(args, tokens, task, pretrained).recipe  # its layers are those of the source
        homologous = dataclasses.replace(source.descendant(other, "reinit"), recipe=recipe)
        stands_for = tasks.stands_for.get(task)
        return TaskPair(f"{task} (for {stands_for})" if stands_for else task, homologous, other)

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
        name=f"{args.arch}-{tasks.name}-{args.preset}-{'pretrained' if start else 'random'}",
        source=source,
        pool=tuple(pairs[: len(tasks.pool)]),
        evaluation=tuple(pairs[len(tasks.pool) :]),
        num_queries=preset.num_queries,
        variants=variants(paper, generators, source if pretrained else None),
        seeds=seeds,
        paper=tasks.paper,
    )


def _model(
    args: Args, tokens: Tokens, task: str, pretrained: str | None, *, is_source: bool = False
) -> ModelSpec:
    from mgmp_jax.store import ModelSpec
    from mgmp_jax.training import Recipe

    preset = PRESETS[args.preset]
    data, _, subset = task.partition(".")
    recipe = Recipe(
        *(preset.source if is_source else preset.target),
        optimizer="adam",
        weight_decay=0.0,
        augment="none",
        frozen=preset.frozen if pretrained else 0,  # random layers are never frozen
        checkpoints=1 if is_source else preset.checkpoints,
    )
    return ModelSpec(
        args.arch,
        data,
        recipe,
        width=None if args.pretrained else preset.width,
        subset=int(subset) if subset else None,
        num_examples=preset.examples[0 if is_source else 1],
        tokens=tokens,
        pretrained=pretrained,
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


def run_one(args: Args, checkpoint: Path | None) -> dict[str, Any]:
    """Runs one row, from its data to its results."""
    from _rows import run_row

    from mgmp_jax.models.pretrained import digest_pretrained, pretrained_vocab_size

    tasks, about = choose_tasks(args), (None, 0)
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

    claim(args.out)
    checkpoint = None if args.pretrained is None else find_pretrained(args.pretrained)
    if args.row != "all":
        return [run_one(args, checkpoint)]
    results = []
    for number, (arch, *_) in ROWS.items():
        reason: Any = None
        if number not in rows_of(args.arch):
            reason = f"it is of {arch}, which has a checkpoint of its own; give --arch {arch}"
        elif args.stand_ins and number not in STAND_INS:
            reason = f"it has no stand-ins; rows {list(STAND_INS)} have"
        else:
            try:
                results.append(run_one(dataclasses.replace(args, row=number), checkpoint))
            except FileNotFoundError as error:
                reason = error
        if reason:
            console.print(f"[bold]Row {number} was not run:[/] {reason}")
    return results


if __name__ == "__main__":
    run(main, Args)
