"""Which queries show the sibling test most: kinds of images, tried on pool tasks.

    python experiments/queries.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/queries.py --preset demo                    # generated images

Every candidate in turn is the source of its own descendants on the pool tasks of compare.py's
cohort, whose models are read from the same --out or trained. All kinds are made of images that
no model was trained on. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from _attribution import ALL, choose_statistic
from _cohort import UNSEEN, Cohort, make_cohort
from _run import address, open_store, print_files, print_table, results_of, run
from configs import cohort as config
from configs.queries import CHANGES, NUMBER, SPARE, Images

from mgmp_jax.linear import standardise
from mgmp_jax.queries import QuerySet
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.training import console


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Which queries show the sibling test most."""


def disagreement(cohort: Cohort, store: ModelStore, images: Images) -> np.ndarray:
    """How much the candidates' standardised logits differ on each image, ``[n]``."""
    logits = [store.responses(spec, QuerySet.images(images)).values for spec in cohort.candidates]
    return np.var([standardise(jnp.asarray(z)) for z in logits], axis=0).mean(axis=1)


def make_queries(cohort: Cohort, store: ModelStore) -> dict[str, Images]:
    """As many queries of every kind."""
    unseen = store.examples(cohort.row.source, "test").inputs
    number = min(NUMBER, len(unseen) // SPARE)
    made = {
        name: change(unseen[: SPARE * number], np.random.default_rng(0))
        for name, change in CHANGES.items()
    }
    queries = {name: images[:number] for name, images in made.items()}
    for name in (UNSEEN, "mixed images"):
        disputed = np.argsort(-disagreement(cohort, store, made[name]))[:number]
        queries[f"{name}, most disputed of {SPARE * number}"] = made[name][np.sort(disputed)]
    target = dataclasses.replace(cohort.rehearsal[0], subset=None)
    queries[f"of {target.data}"] = store.examples(target, "test").inputs[:number]
    return queries


def needed(cohort: Cohort) -> list[ModelSpec]:
    """The models that are asked."""
    return [*cohort.candidates, *cohort.rehearsal, *cohort.controls]


def try_queries(cohort: Cohort, store: ModelStore) -> dict[str, Any]:
    """For each kind how alike the candidates answer, and what every statistic attributes."""
    specs = needed(cohort)
    store.train(specs)
    found = {}
    for name, images in make_queries(cohort, store).items():
        answers = {spec: store.responses(spec, QuerySet.images(images)) for spec in specs}
        labels = np.stack([answers[spec].values.argmax(axis=1) for spec in cohort.candidates])
        alike = [np.mean(a == b) for i, a in enumerate(labels) for b in labels[:i]]
        chosen, tried = choose_statistic(cohort, answers)
        console.print(f"{name}: {chosen}")
        found[name] = {
            "queries": len(images),
            "agreement_of_candidates": float(np.mean(alike)),
            "chosen": str(chosen),
            "on_pool_tasks": tried,
        }
    return {"kinds": found}


def main(args: Args) -> dict[str, Any]:
    """Tries all kinds; see the module's docstring."""
    cohort, store = make_cohort(args), open_store(args)
    what = [cohort.address, [str(statistic) for statistic in ALL], list(CHANGES), NUMBER, SPARE]
    folder = args.out / address(f"queries-{cohort.row.name}", what)

    def make() -> tuple[dict[str, Any], int]:
        found = sum(map(store.is_trained, needed(cohort)))
        return try_queries(cohort, store), found

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
