"""Which queries show the sibling test most: kinds of images, tried on pool tasks.

    python experiments/queries.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/queries.py --preset demo                    # generated images

Every candidate in turn is the source of its own descendants on the pool tasks of compare.py's
cohort, whose models are read from the same --out or trained. All kinds are made of images that
no model was trained on. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import open_store, results_of, run, show
from configs import cohort as config
from configs.cohort import HALVES, UNSEEN

from mgmp_jax.data.halves import halves, partners

if TYPE_CHECKING:
    from _cohort import Cohort

    from mgmp_jax.queries import QuerySet
    from mgmp_jax.store import ModelStore

NUMBER = 1000
SPARE = 3
"""How many times as many images the most disputed are chosen from."""
MIXED = "mixed images"


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Try which queries show the sibling test most."""


def mean_of_two(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Averages each image with another one (mixup, Zhang et al., 2018, with weight one half)."""
    total = images.astype(np.uint16) + images[partners(len(images), seed)]
    return (total // 2).astype(np.uint8)


def shuffled(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Puts sixteen square parts of each image into another order."""
    n, height, width, channels = images.shape
    parts = images.reshape(n, 4, height // 4, 4, width // 4, channels).swapaxes(2, 3)
    order = rng.permuted(np.tile(np.arange(16), (n, 1)), axis=1)
    parts = np.take_along_axis(parts.reshape(n, 16, -1), order[:, :, None], axis=1)
    parts = parts.reshape(n, 4, 4, height // 4, width // 4, channels).swapaxes(2, 3)
    return parts.reshape(images.shape)


def noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds Gaussian noise of standard deviation 40."""
    return np.clip(images + 40 * rng.normal(size=images.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    UNSEEN: lambda images, _: images,
    MIXED: lambda images, _: mean_of_two(images),
    "mean of four": lambda images, _: mean_of_two(mean_of_two(images), seed=1),
    HALVES: lambda images, _: halves(images),
    "parts shuffled": shuffled,
    "with noise": noisy,
}
"""What is done to unseen images."""


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
    import tables
    from _cohort import make_cohort
    from _rows import train_models
    from _scoring import agreement_of_candidates, choose

    cohort, store = make_cohort(args), open_store(args)
    folder = args.out / cohort.folder("queries", [list(CHANGES), NUMBER, SPARE])

    def make() -> dict[str, Any]:
        specs, found = [*cohort.candidates, *cohort.rehearsal, *cohort.controls], {}
        train_models(specs, store, args)
        for name, queries in make_queries(cohort, store).items():
            answers = {spec: store.responses(spec, queries) for spec in specs}
            chosen, tried = choose(cohort, answers)
            found[name] = {
                "queries": len(queries),
                "agreement_of_candidates": agreement_of_candidates(cohort, answers),
                "chosen": ", ".join(chosen),
                "on_pool_tasks": tried,
            }
        return {"kinds": found}

    results = results_of("queries", folder, args, make)
    show(tables.pivot("queries", tables.kinds_of_queries(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
