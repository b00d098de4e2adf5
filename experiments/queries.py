"""Which queries show the sibling test most: kinds of images, tried on pool tasks.

    python experiments/queries.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/queries.py --preset demo                    # generated images

Every candidate in turn is the source of its own descendants on the pool tasks of compare.py's
cohort, whose models are read from the same --out or trained. All kinds are made of images that
no model was trained on. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import open_store, print_files, print_table, results_of, run
from configs.cohort import UNSEEN
from configs.queries import CHANGES, MIXED, NUMBER, SPARE, Args

if TYPE_CHECKING:
    from _cohort import Cohort

    from mgmp_jax.queries import QuerySet
    from mgmp_jax.store import ModelStore


def make_queries(cohort: Cohort, store: ModelStore) -> dict[str, QuerySet]:
    """Makes as many queries of every kind, and those on which the candidates differ most."""
    import jax.numpy as jnp

    from mgmp_jax.linear import standardise
    from mgmp_jax.queries import QuerySet

    unseen = store.examples(cohort.row.source, "test").inputs
    number = min(NUMBER, len(unseen) // SPARE)
    made = {
        name: QuerySet.images(change(unseen[: SPARE * number], np.random.default_rng(0)))
        for name, change in CHANGES.items()
    }
    queries = {name: images.take(number) for name, images in made.items()}
    for name in (UNSEEN, MIXED):
        logits = [store.responses(spec, made[name]).values for spec in cohort.candidates]
        disagreement = np.var([standardise(jnp.asarray(z)) for z in logits], axis=0).mean(axis=1)
        disputed = np.sort(np.argsort(-disagreement)[:number])
        queries[f"{name}, most disputed of {SPARE * number}"] = made[name].take(disputed)
    target = dataclasses.replace(cohort.rehearsal[0], subset=None)
    images = store.examples(target, "test").inputs[:number]
    return {**queries, f"of {target.data}": QuerySet.images(images)}


def main(args: Args) -> dict[str, Any]:
    """Tries all kinds; see the module's docstring."""
    from _cohort import make_cohort
    from _rows import train_models
    from _scoring import ALL, choose

    cohort, store = make_cohort(args), open_store(args)
    what = [[str(statistic) for statistic in ALL], list(CHANGES), NUMBER, SPARE]
    folder = args.out / cohort.folder("queries", what)

    def make() -> tuple[dict[str, Any], int]:
        specs = [*cohort.candidates, *cohort.rehearsal, *cohort.controls]
        before, found = train_models(specs, store), {}
        for name, queries in make_queries(cohort, store).items():
            answers = {spec: store.responses(spec, queries) for spec in specs}
            labels = [answers[spec].values.argmax(axis=1) for spec in cohort.candidates]
            alike = [np.mean(a == b) for i, a in enumerate(labels) for b in labels[:i]]
            chosen, tried = choose(cohort, answers)
            found[name] = {
                "queries": len(queries),
                "agreement_of_candidates": float(np.mean(alike)),
                "chosen": str(chosen),
                "on_pool_tasks": tried,
            }
        return {"kinds": found}, before

    results = results_of("queries", folder, args, make)
    rows = []
    for name, kind in results["kinds"].items():
        best = next(t for t in kind["on_pool_tasks"] if t["statistic"] == kind["chosen"])
        first = f"{best['descendants']['first']} of {best['descendants']['models']}"
        rows.append([name, f"{kind['agreement_of_candidates']:.2f}", kind["chosen"], first])
    columns = ["queries", "candidates agree", "chosen", "own source first"]
    print_table("Descendants attributed on pool tasks, by kind of queries", columns, rows)
    print_files(folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
