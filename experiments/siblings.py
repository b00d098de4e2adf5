"""How many siblings: what the sibling test finds with 9, 19, 49 or 99 of them.

    python experiments/siblings.py --preset small --siblings 99 --data-dir DIR
    python experiments/siblings.py --preset demo                    # generated images

With m siblings no exact p-value is below 1 / (m + 1): who wants 0.01 trains 99. Descendants of the
source, twice as many as in compare.py, and its other suspects are tested with the first 9, 19 and
49 siblings, as far as there are more, and with all; by all queries, twice as many as in compare.py
where there are so many, and by half of them: what is regressed out by default grows with the
siblings. Of the candidates only the source has descendants. Models of compare.py are read from the
same --out or trained. The table says how many p are at most 0.1, 0.05 and 0.01, as far as so many
siblings allow any. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import open_store, results_of, run, show
from configs import cohort as config
from configs.cohort import DEFAULT_TEST

if TYPE_CHECKING:
    from _cohort import AllAnswers, Cohort

    from mgmp_jax.store import ModelSpec

FEWER = (9, 19, 49)
"""Siblings that the test is done with, beside all."""
WAYS = (DEFAULT_TEST, ("both fits", "none"))
"""What is compared, and what is regressed out first."""
OTHER_SEEDS = 600
"""By how much the seeds of the further descendants differ."""


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Do the sibling test with different numbers of siblings."""


def with_more_descendants(cohort: Cohort) -> Cohort:
    """Adds as many descendants of the source as there are, which differ by their seeds."""
    again = [
        suspect._replace(
            spec=dataclasses.replace(suspect.spec, seed=suspect.spec.seed + OTHER_SEEDS)
        )
        for suspect in cohort.suspects
        if suspect.kind == "homologous"
    ]
    return dataclasses.replace(cohort, suspects=(*cohort.suspects, *again))


def with_more_queries(cohort: Cohort) -> Cohort:
    """Doubles the queries, as far as the source was trained on so many examples."""
    row, examples = cohort.row, cohort.row.source.num_examples
    assert row.num_queries is not None and examples is not None
    number = min(2 * row.num_queries, examples)
    return dataclasses.replace(cohort, row=dataclasses.replace(row, num_queries=number))


def numbers_of_siblings(most: int) -> list[int]:
    """Lists what of :data:`FEWER` is below ``most``, and ``most``."""
    return [*(number for number in FEWER if number < most), most]


def needed(cohort: Cohort) -> list[ModelSpec]:
    """Lists all models that the test asks, once."""
    suspects = [suspect.spec for suspect in cohort.suspects]
    return list(dict.fromkeys([*cohort.candidates, *cohort.controls, *suspects]))


def by_numbers(cohort: Cohort, answers: AllAnswers) -> dict[str, Any]:
    """Tests all suspects but the candidates by numbers of queries and of siblings, in all ways.

    Returns:
        What the test says of groups of suspects, by queries, siblings and way.
    """
    import _scoring

    found: dict[str, Any] = {}
    number = len(answers[cohort.row.source])
    for n in (number // 2, number):
        some = {spec: r.take(np.arange(n), "some") for spec, r in answers.items()}
        for m in numbers_of_siblings(len(cohort.siblings)):
            siblings = cohort.siblings[:m]
            suspects = tuple(s for s in cohort.suspects if s.spec not in siblings)
            few = dataclasses.replace(cohort, siblings=siblings, suspects=suspects)
            found.setdefault(str(n), {})[str(m)] = {
                ", ".join(way): _scoring.suspects_results(few, _scoring.attribute(way, few, some))
                for way in WAYS
            }
    return found


def main(args: Args) -> dict[str, Any]:
    """Trains what is missing and tests; see the module's docstring."""
    import tables
    from _cohort import ask, make_cohort
    from _rows import train_models

    cohort = with_more_queries(with_more_descendants(make_cohort(args)))
    store = open_store(args)
    folder = args.out / cohort.folder("siblings", [FEWER, WAYS])

    def make() -> dict[str, Any]:
        specs, by_queries = needed(cohort), {}
        train_models(specs, store, args)
        for which, asked in ask(cohort, store).items():
            answers = {spec: store.responses(spec, asked) for spec in specs}
            by_queries[which] = by_numbers(cohort, answers)
        return {
            "models": {spec.address: store.accuracy(spec) for spec in specs},
            "by_queries": by_queries,
        }

    results = results_of("siblings", folder, args, make)
    show(tables.pivot("queries, siblings", tables.siblings(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
