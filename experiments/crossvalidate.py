"""What the paper leaves open, chosen by leaving out one pool task at a time.

    python experiments/crossvalidate.py --preset small --stage 1 --data-dir DIR

Every variant learns from all pool tasks of a row but one and is evaluated on that one, for each
task in turn. Evaluation models are not looked at; they are not even trained. The first stage
changes one thing at a time, the second goes on from the best of the first, the third takes the
extended method apart. Takes the options of cifar.py beside its own. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import address, open_store, results_of, run, show
from configs.crossvalidate import STAGES, Args

if TYPE_CHECKING:
    from _rows import Row
    from _variants import Variant


def compared(row: Row, stage: int) -> dict[str, Variant]:
    """Makes the variants that a stage compares; the last one adds each generator by itself."""
    from _variants import changed

    found = {}
    for (base, prefix), (common, changes) in STAGES[stage].items():
        for name, change in changes.items():
            label = f"{prefix}{name}".removesuffix(": ")
            found[label] = changed(row.variants[base], **{**common, **change})
    extended = row.variants["extended"]
    for i, generator in enumerate(extended.generators if stage == 3 else (), 1):
        one = changed(extended, generators=(generator,))
        found[f"extended: generator {i} only"] = changed(one, background=False)
        found[f"extended: background and generator {i}"] = one
    return found


def leave_one_out(row: Row, variants: Mapping[str, Variant]) -> list[Row]:
    """Makes one row for each pool task, which is its evaluation; the others are its pool."""
    return [
        dataclasses.replace(
            row,
            name=f"{row.name}-without-{held_out.task.replace(' ', '')}",
            pool=tuple(pair for pair in row.pool if pair != held_out),
            evaluation=(held_out,),
            variants=variants,
            seeds=1,
            paper="-",
        )
        for held_out in row.pool
    ]


def main(args: Args) -> dict[str, Any]:
    """Runs all folds; see the module's docstring."""
    import tables
    from _rows import cifar_row, fit_rows, run_row

    row = cifar_row(args)
    variants, store = compared(row, args.stage), open_store(args)
    folder = args.out / address(f"{row.name}-crossvalidation{args.stage}", [row, variants])

    def make() -> dict[str, Any]:
        folds = leave_one_out(row, variants)
        fit_rows(folds, store, args)
        methods = [run_row("crossvalidate", fold, store, args)["methods"] for fold in folds]
        found = {}
        for name in variants:
            by_task = [of_fold[name]["accuracy"] for of_fold in methods]
            auc = float(np.mean([of_fold[name]["auc"] for of_fold in methods]))
            accuracy, config = float(np.mean(by_task)), methods[0][name]["config"]
            found[name] = {"accuracy": accuracy, "by_task": by_task, "auc": auc, "config": config}
        tasks = [pair.task for pair in row.pool]
        return {"row": row.name, "tasks": tasks, "variants": found}

    results = results_of("crossvalidate", folder, args, make)
    show(tables.pivot("variant", tables.stage(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
