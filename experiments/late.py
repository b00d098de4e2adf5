"""Late siblings: how much of the source's training must a sibling repeat?

    python experiments/late.py --preset small --data-dir DIR
    python experiments/late.py --preset demo                    # generated images

A late sibling costs a part of a sibling: it shares the first epochs with the source, and goes on
with a seed of its own. Here all candidates, the source among them, go on from one model that was
trained for some of the source's epochs; the learning rate falls to nothing there and rises again.
Each candidate has two descendants, and the sibling test is asked whose they are. Siblings that
share nothing are those of compare.py, whose models are read from the same --out or trained, with
as many descendants. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import open_store, results_of, run, show
from configs import cohort as config
from configs.cohort import DEFAULT_TEST, UNSEEN

if TYPE_CHECKING:
    from _cohort import Cohort

    from mgmp_jax.store import ModelSpec, ModelStore

CANDIDATES = 10
"""Of the sibling test, or all that the cohort has where there are fewer."""
DESCENDANTS = 2
"""Of each candidate, on as many tasks: one keeps the last layer, the other does not."""
MOMENTS = 3
"""How many are tried, evenly spaced from the beginning of the source's training."""


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Fork siblings from the source's training at several moments, and trace descendants."""


def moments(epochs: int) -> list[int]:
    """Lists after how many of the source's epochs siblings fork, the beginning first."""
    return sorted({epochs * i // MOMENTS for i in range(MOMENTS)})


def forked(cohort: Cohort, shared: int) -> Cohort:
    """Makes a cohort whose candidates share epochs, and their descendants.

    Args:
        cohort: of compare.py.
        shared: how many epochs; with none the candidates are the cohort's own.
    """
    source = cohort.row.source
    candidates: tuple[ModelSpec, ...] = cohort.candidates[:CANDIDATES]
    if shared:
        first, rest = (
            dataclasses.replace(source.recipe, epochs=epochs, checkpoints=1)
            for epochs in (shared, source.recipe.epochs - shared)
        )
        trunk = dataclasses.replace(source, recipe=first)
        candidates = tuple(
            trunk.descendant(dataclasses.replace(source, recipe=rest, seed=501 + i))
            for i in range(len(candidates))
        )
    own = [spec for spec in cohort.families if spec.start == source][:DESCENDANTS]
    return dataclasses.replace(
        cohort,
        row=dataclasses.replace(cohort.row, source=candidates[0]),
        siblings=candidates[1:],
        families=tuple(dataclasses.replace(s, start=one) for one in candidates for s in own),
    )


def trace(cohort: Cohort, queries: dict[str, Any], store: ModelStore) -> dict[str, Any]:
    """Asks whose the descendants of a forked cohort are, by every kind of queries."""
    import _scoring

    found: dict[str, Any] = {"by_queries": {}}
    for which, asked in queries.items():
        known = (*cohort.candidates, *cohort.families, *cohort.controls)
        answers = {spec: store.responses(spec, asked) for spec in known}
        by_way = _scoring.families_results(cohort, answers, [DEFAULT_TEST])
        (found["by_queries"][which],) = by_way.values()
        if which == UNSEEN:
            found["agreement"] = _scoring.agreement_of_candidates(cohort, answers)
    accuracies = [store.accuracy(spec)["test"] for spec in cohort.candidates]
    return {**found, "accuracy": float(np.mean(accuracies))}


def main(args: Args) -> dict[str, Any]:
    """Trains and traces at every moment; see the module's docstring."""
    import tables
    from _cohort import ask, make_cohort
    from _rows import train_models

    cohort, store = make_cohort(args), open_store(args)
    epochs = cohort.row.source.recipe.epochs
    forks = {shared: forked(cohort, shared) for shared in moments(epochs)}
    folder = args.out / cohort.folder("late", [list(forks.values()), DEFAULT_TEST])

    def make() -> dict[str, Any]:
        specs = [s for one in forks.values() for s in (*one.candidates, *one.families)]
        train_models(list(dict.fromkeys([*specs, *cohort.controls])), store, args)
        queries = ask(cohort, store)
        return {
            "candidates": len(forks[0].candidates),
            "epochs": epochs,
            "num_queries": {which: len(asked) for which, asked in queries.items()},
            "shared": {str(shared): trace(one, queries, store) for shared, one in forks.items()},
        }

    results = results_of("late", folder, args, make)
    show(tables.pivot("shared epochs", tables.late(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
