"""MGMP, every similarity and the sibling test on the same queries, against every kind of negative.

    python experiments/compare.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/compare.py --preset demo                    # generated images

Scores are counted by model. The sibling test's statistic is chosen on the pool's tasks and
evaluated on the suspects. Where there are fewer images of a kind than queries asked for, all are
used. What the models answer is written to recorded.npz, which recorded.py reads. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import draw_picture, open_store, results_of, run, show
from configs import cohort as config
from configs.cohort import DRAWS, NUM_QUERIES, POWER, TRAINING

if TYPE_CHECKING:
    from _cohort import Cohort, Material

    from mgmp_jax.store import ModelStore


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Compare MGMP, every similarity and the sibling test against every kind of negative."""


def against_queries(cohort: Cohort, material: Material, ways: Any) -> dict[str, Any]:
    """Measures each method's AUC against each kind by numbers of queries, mean of draws."""
    from _scoring import attribute, by_answers, by_kind

    from mgmp_jax.methods.attribution import LEAST_QUERIES

    found: dict[str, dict[str, dict[str, float]]] = {}
    for n in (n for n in NUM_QUERIES if n < len(material.queries[TRAINING])):
        rng = np.random.default_rng(n)
        aucs: dict[tuple[str, str], list[float]] = {}
        for _ in range(DRAWS):
            part = material.draw(n, rng)
            asked = ways if n >= LEAST_QUERIES else {}
            attributions = {
                which: attribute(ways[which], cohort, part.answers[which]) for which in asked
            }
            for method, scores in by_answers(cohort, part, attributions)[0].items():
                for kind, of_kind in by_kind(cohort.kinds, scores).items():
                    aucs.setdefault((method, kind), []).append(of_kind["auc"])
        for (method, kind), values in aucs.items():
            found.setdefault(method, {}).setdefault(kind, {})[str(n)] = float(np.mean(values))
    return found


def compare(cohort: Cohort, store: ModelStore, material: Material) -> dict[str, Any]:
    """Scores all suspects by all methods, and says what the sibling test finds."""
    import _scoring as scoring

    ways, tried, attributions = {}, {}, {}
    for which, answers in material.answers.items():
        ways[which], tried[which] = scoring.choose(cohort, answers)
        attributions[which] = scoring.attribute(ways[which], cohort, answers)
    scores, unread = scoring.by_answers(cohort, material, attributions)
    suspects = [suspect.spec for suspect in cohort.suspects]
    source, *targets = (store.variables(s)["params"] for s in (cohort.row.source, *suspects))
    methods = scoring.as_results(cohort, scores | scoring.by_weights(source, targets))
    curves, number = against_queries(cohort, material, ways), len(material.queries[TRAINING])
    for name in scores:
        for kind, separation in methods[name]["against"].items():
            curves.setdefault(name, {}).setdefault(kind, {})[str(number)] = separation["auc"]
    return {
        "models": {spec.address: store.accuracy(spec) for spec in cohort.specs},
        "suspects": [{"model": s.spec.address, "kind": s.kind} for s in cohort.suspects],
        "methods": methods,
        "unread": unread,
        "num_queries": {which: len(queries) for which, queries in material.queries.items()},
        "against_queries": curves,
        "sibling_test": {
            which: {
                "chosen": ", ".join(way),
                "on_pool_tasks": tried[which],
                "on_evaluation_tasks": scoring.families_results(
                    cohort, material.answers[which], scoring.ALL
                ),
                "level": scoring.level(way, cohort, material.answers[which]),
                "suspects": scoring.suspects_results(cohort, attributions[which]),
                "by_tuned_controls": scoring.by_tuned_controls(cohort, material.answers[which]),
                "power": scoring.mean_power(way, cohort, material.answers[which]),
            }
            for which, way in ways.items()
        },
    }


def main(args: Args) -> dict[str, Any]:
    """Runs the comparison; see the module's docstring."""
    import _recorded
    import tables
    from _cohort import gather, make_cohort

    from mgmp_jax import reporting

    cohort, store = make_cohort(args), open_store(args)
    folder = args.out / cohort.folder("compare", [NUM_QUERIES, DRAWS, POWER])

    def make() -> dict[str, Any]:
        material = gather(cohort, store, args)
        _recorded.write(folder / "recorded.npz", cohort, store, material)
        return compare(cohort, store, material)

    results = results_of("compare", folder, args, make)
    draw_picture(
        reporting.plot_curves, folder / "queries.png", results["against_queries"], "AUC by model"
    )
    show(tables.pivot("method", tables.comparison(results)), folder, "results.json", "queries.png")
    return results


if __name__ == "__main__":
    run(main, Args)
