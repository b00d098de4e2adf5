"""What the paper leaves open, chosen by leaving out one pool task at a time.

    python experiments/crossvalidate.py --preset small --stage 1 --data-dir DIR

Every variant learns from all pool tasks of a row but one and is judged on that one, for each
task in turn. Evaluation models are not looked at; they are not even trained. The first stage
changes one thing at a time, the second goes on from the best of the first, the third takes the
extended method apart. Takes the options of ``cifar.py`` beside its own; run it again to go on
after an interruption.
"""

import dataclasses
from typing import Literal

import cifar
import numpy as np
from cifar import make_row
from command import open_pool, run, settings
from pipeline import run_row
from rich.table import Table
from row import Method, Row

from mgmp_jax import files, reporting
from mgmp_jax.training import console


@dataclasses.dataclass(frozen=True)
class Args(cifar.Args):
    """What the paper leaves open, chosen by leaving out one pool task at a time."""

    stage: Literal[1, 2, 3] = 1
    """Which comparison."""


def first_stage(row: Row) -> dict[str, Method]:
    """The methods of ``row`` and what was compared with them, by name."""
    extended = dataclasses.replace(row.methods["extended"], consensus=False)
    aligned = extended.config.replace(assemble="addition")
    guess = {"response": "logits", "learning_rate": 1e-3}
    alone = row.methods["paper, without generator"].config.replace(epochs=100, **guess)
    paper = row.methods["paper"].config.replace(**guess)
    compared = {
        "paper, without generator": {
            "": alone,
            "probs": alone.replace(response="probs"),
            "logprobs": alone.replace(response="logprobs"),
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
            "logprobs": paper.replace(response="logprobs"),
            "no contrastive terms": paper.replace(similarity_weight=0.0, cohesion_weight=0.0),
            "concatenation": paper.replace(assemble="concatenation"),
            "four times the epochs": paper.replace(epochs=4 * paper.epochs),
        },
        "extended": {
            "alignment and context only": aligned,
            "alignment only": aligned.replace(context=False),
            "snapshots only": aligned.replace(context=False, align=False),
        },
    }
    plain = {
        f"{name}: {change}" if change else name: Method(
            config, snapshots=name.startswith("extended")
        )
        for name, configs in compared.items()
        for change, config in configs.items()
    }
    no_snapshots = dataclasses.replace(extended, snapshots=False)
    generator_only = {
        "extended: no consensus, no snapshots": no_snapshots,
        "extended: no consensus": extended,
    }
    return {**plain, **generator_only}


def second_stage(row: Row) -> dict[str, Method]:
    """What the first stage's best changes of the paper's method, each by itself, give together."""
    alone = row.methods["paper, without generator"].config.replace(epochs=100)
    paper = row.methods["paper"].config.replace(learning_rate=1e-3)
    compared = {
        "learning rate 1e-2, probs": alone.replace(response="probs"),
        "learning rate 1e-2, logprobs": alone.replace(response="logprobs"),
        "learning rate 1e-2, 400 epochs": alone.replace(epochs=400),
        "with generator, probs": paper.replace(response="probs"),
        "with generator, logprobs, learning rate 1e-2": paper.replace(learning_rate=1e-2),
        "with generator, logprobs, concatenation": paper.replace(assemble="concatenation"),
    }
    return {f"paper: {name}": Method(config, False) for name, config in compared.items()}


def third_stage(row: Row) -> dict[str, Method]:
    """What each part of the extended method brings, with several generators."""
    extended = row.methods["extended"]
    parts = {
        "extended: alignment and context only": Method(
            extended.config.replace(assemble="addition"), snapshots=True
        ),
        "extended: consensus only": dataclasses.replace(extended, generators=()),
    }
    for i, generator in enumerate(extended.generators, 1):
        method = dataclasses.replace(extended, generators=(generator,))
        parts[f"extended: generator {i} only"] = dataclasses.replace(method, consensus=False)
        parts[f"extended: consensus and generator {i}"] = method
    return parts


def leave_one_out(row: Row, compared: dict[str, Method]) -> list[Row]:
    """One row for each pool task, which is its evaluation; the others are its pool."""
    return [
        dataclasses.replace(
            row,
            name=f"{row.name}-without-{held_out.task.replace(' ', '')}",
            pool=tuple(pair for pair in row.pool if pair != held_out),
            evaluation=(held_out,),
            methods=compared,
            paper="-",
        )
        for held_out in row.pool
    ]


def main(args: Args) -> dict:
    """Runs all folds; see the module's docstring."""
    row = make_row(args)
    models = open_pool(args)
    compared = (first_stage, second_stage, third_stage)[args.stage - 1](row)
    row = dataclasses.replace(row, seeds=1)
    folds = [
        run_row(fold, models, args.out, settings(args)) for fold in leave_one_out(row, compared)
    ]
    table = Table(title=f"{row.name}: mean over the pool tasks left out")
    for column in ("method", "accuracy per fragment", "AUC"):
        table.add_column(column)
    results = {}
    for name in compared:
        by_task = [fold["methods"][name]["accuracy"] for fold in folds]
        auc = float(np.mean([fold["methods"][name]["auc"] for fold in folds]))
        config = folds[0]["methods"][name]["config"]
        accuracy = float(np.mean(by_task))
        results[name] = {"accuracy": accuracy, "by_task": by_task, "auc": auc, "config": config}
        table.add_row(name, f"{accuracy:.4f}", f"{auc:.2f}")
    console.print(table)
    content = {
        "row": row.name,
        "tasks": [pair.task for pair in row.pool],
        "variants": results,
        "settings": settings(args),
        "run": reporting.environment(),
    }
    path = args.out / f"{row.address}-crossvalidation{args.stage}" / "results.json"
    files.write_json(path, content)
    console.print(f"File: {path}", soft_wrap=True)
    return content


if __name__ == "__main__":
    run(main, Args)
