"""What the paper leaves open as data: three stages of variants, and folds over pool tasks."""

from __future__ import annotations

import dataclasses
from typing import Literal

from _rows import Row, Variant

from configs import cifar


@dataclasses.dataclass(frozen=True)
class Args(cifar.Args):
    """What the paper leaves open, chosen by leaving out one pool task at a time."""

    stage: Literal[1, 2, 3] = 1
    """Which comparison."""


def first_stage(row: Row) -> dict[str, Variant]:
    """The variants of ``row`` and what was compared with them, by name."""
    extended = row.variants["extended"]
    extended = dataclasses.replace(extended, config=extended.config.replace(background=False))
    aligned = extended.config.replace(assemble="addition")
    guess = {"response": "logits", "learning_rate": 1e-3}
    alone = row.variants["paper, without generator"].config.replace(epochs=100, **guess)
    paper = row.variants["paper"].config.replace(**guess)
    compared = {
        "paper, without generator": {
            "": alone,
            "probabilities": alone.replace(response="probabilities"),
            "log-probabilities": alone.replace(response="log-probabilities"),
            "20 epochs": alone.replace(epochs=20),
            "400 epochs": alone.replace(epochs=400),
            "learning rate 1e-4": alone.replace(learning_rate=1e-4),
            "learning rate 1e-2": alone.replace(learning_rate=1e-2),
            "dropout 0.5": alone.replace(dropout=0.5),
            "classifier width 32": alone.replace(classifier_width=32),
        },
        "paper": {
            "": paper,
            "sum": paper.replace(reduction="sum"),
            "tau 0.1": paper.replace(temperature=0.1),
            "tau 2": paper.replace(temperature=2.0),
            "lambda 1e-2": paper.replace(weight_decay=1e-2),
            "learning rate 1e-4": paper.replace(learning_rate=1e-4),
            "log-probabilities": paper.replace(response="log-probabilities"),
            "no contrastive terms": paper.replace(similarity_weight=0.0, cohesion_weight=0.0),
            "concatenation": paper.replace(assemble="concatenation"),
            "four times the epochs": paper.replace(epochs=4 * paper.epochs),
        },
        "extended": {
            "alignment and context only": aligned,
            "alignment only": aligned.replace(context=False),
            "checkpoints only": aligned.replace(context=False, align=False),
        },
    }
    plain = {
        f"{name}: {change}" if change else name: Variant(
            config, checkpoints=name.startswith("extended")
        )
        for name, configs in compared.items()
        for change, config in configs.items()
    }
    no_checkpoints = dataclasses.replace(extended, checkpoints=False)
    generator_only = {
        "extended: no background, no checkpoints": no_checkpoints,
        "extended: no background": extended,
    }
    return {**plain, **generator_only}


def second_stage(row: Row) -> dict[str, Variant]:
    """What the first stage's best changes of the paper's method, each by itself, give together."""
    alone = row.variants["paper, without generator"].config.replace(epochs=100)
    paper = row.variants["paper"].config.replace(learning_rate=1e-3)
    compared = {
        "learning rate 1e-2, probabilities": alone.replace(response="probabilities"),
        "learning rate 1e-2, log-probabilities": alone.replace(response="log-probabilities"),
        "learning rate 1e-2, 400 epochs": alone.replace(epochs=400),
        "with generator, probabilities": paper.replace(response="probabilities"),
        "with generator, log-probabilities, learning rate 1e-2": paper.replace(learning_rate=1e-2),
        "with generator, log-probabilities, concatenation": paper.replace(assemble="concatenation"),
    }
    return {f"paper: {name}": Variant(config) for name, config in compared.items()}


def third_stage(row: Row) -> dict[str, Variant]:
    """What each part of the extended method brings, with several generators."""
    extended = row.variants["extended"]
    parts = {
        "extended: alignment and context only": Variant(
            extended.config.replace(assemble="addition"), checkpoints=True
        ),
        "extended: background only": dataclasses.replace(extended, generators=()),
    }
    for i, generator in enumerate(extended.generators, 1):
        method = dataclasses.replace(extended, generators=(generator,))
        parts[f"extended: generator {i} only"] = dataclasses.replace(
            method, config=method.config.replace(background=False)
        )
        parts[f"extended: background and generator {i}"] = method
    return parts


def leave_one_out(row: Row, compared: dict[str, Variant]) -> list[Row]:
    """One row for each pool task, which is its evaluation; the others are its pool."""
    return [
        dataclasses.replace(
            row,
            name=f"{row.name}-without-{held_out.task.replace(' ', '')}",
            pool=tuple(pair for pair in row.pool if pair != held_out),
            evaluation=(held_out,),
            variants=compared,
            paper="-",
        )
        for held_out in row.pool
    ]


STAGES = {1: first_stage, 2: second_stage, 3: third_stage}
