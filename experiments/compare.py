"""MGMP, every similarity and the sibling test on the same queries, against every kind of negative.

    python experiments/compare.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/compare.py --preset demo                    # generated images

Scores are counted by model. The sibling test's statistic is chosen on the pool's tasks and
evaluated on the suspects. Where there are fewer images of a kind than queries asked for, all are
used. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import open_store, print_files, print_table, results_of, run
from configs import cohort as config
from configs.cohort import DRAWS, KINDS, NUM_QUERIES, POWER, TRAINING

if TYPE_CHECKING:
    from _cohort import Cohort, Material

    from mgmp_jax.store import ModelStore


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Compare MGMP, every similarity and the sibling test against every kind of negative."""


def against_queries(cohort: Cohort, material: Material, statistics: Any) -> dict[str, Any]:
    """Measures each method's AUC against each kind by numbers of queries, mean of draws."""
    from _scoring import attribute_by, by_answers, by_kind

    from mgmp_jax.methods.attribution import LEAST_QUERIES

    found: dict[str, dict[str, dict[str, float]]] = {}
    for n in (n for n in NUM_QUERIES if n < len(material.queries[TRAINING])):
        rng = np.random.default_rng(n)
        aucs: dict[tuple[str, str], list[float]] = {}
        for _ in range(DRAWS):
            part = material.draw(n, rng)
            attributions = attribute_by(cohort, part, statistics if n >= LEAST_QUERIES else {})
            scores, _unread = by_answers(cohort, part, attributions)
            for method, of_method in scores.items():
                for kind, of_kind in by_kind(cohort, of_method).items():
                    aucs.setdefault((method, kind), []).append(of_kind["auc"])
        for (method, kind), values in aucs.items():
            found.setdefault(method, {}).setdefault(kind, {})[str(n)] = float(np.mean(values))
    return found


def compare(cohort: Cohort, store: ModelStore, material: Material) -> dict[str, Any]:
    """Scores all suspects by all methods, and says what the sibling test finds."""
    from _scoring import all_results, as_results, attribute_by, by_answers, by_weights, choose

    chosen = {of: choose(cohort, answers) for of, answers in material.answers.items()}
    statistics = {of: statistic for of, (statistic, _) in chosen.items()}
    attributions = attribute_by(cohort, material, statistics)
    scores, unread = by_answers(cohort, material, attributions)
    suspects = [suspect.spec for suspect in cohort.suspects]
    source, *targets = (store.variables(s)["params"] for s in (cohort.row.source, *suspects))
    methods = as_results(cohort, scores | by_weights(source, targets))
    curves, number = against_queries(cohort, material, statistics), len(material.queries[TRAINING])
    for name in scores:
        for kind, separation in methods[name]["against"].items():
            curves.setdefault(name, {}).setdefault(kind, {})[str(number)] = separation["auc"]
    return {
        "models": {spec.address: store.accuracy(spec) for spec in cohort.specs},
        "suspects": [{"model": s.spec.address, "kind": s.kind} for s in cohort.suspects],
        "methods": methods,
        "unread": unread,
        "num_queries": {of: len(queries) for of, queries in material.queries.items()},
        "against_queries": curves,
        "sibling_test": {
            of: {
                "chosen": str(statistic),
                "on_pool_tasks": tried,
                **all_results(cohort, material.answers[of], statistic, attributions[of]),
            }
            for of, (statistic, tried) in chosen.items()
        },
    }


def main(args: Args) -> dict[str, Any]:
    """Runs the comparison; see the module's docstring."""
    from _cohort import gather, make_cohort
    from _scoring import judged_by

    from mgmp_jax import reporting
    from mgmp_jax.training import console

    cohort, store = make_cohort(args), open_store(args)
    what = [judged_by(cohort), NUM_QUERIES, DRAWS, POWER]
    folder = args.out / cohort.folder("compare", what)

    def make() -> tuple[dict[str, Any], int]:
        material, found = gather(cohort, store, args)
        console.print("[bold]2. Comparison[/]")
        return compare(cohort, store, material), found

    results = results_of("compare", folder, args, make)
    reporting.plot_curves(folder / "queries.png", results["against_queries"], "AUC by model")
    show(results)
    print_files(folder, "results.json", "queries.png")
    return results


def show(results: dict[str, Any]) -> None:
    """Prints the AUC of each method, and how often the sibling test puts the own source first."""
    kinds = [kind for kind in KINDS if kind != "homologous"]
    aucs = [
        [name, *(f"{m['against'][k]['auc']:.2f}" if k in m["against"] else "-" for k in kinds)]
        for name, m in results["methods"].items()
    ]
    print_table("AUC by model: homologous against ...", ["method", *kinds], aucs)
    for queries, found in results["sibling_test"].items():
        groups = found["suspects"] | found["on_evaluation_tasks"][found["chosen"]]
        rows = [
            [name, f"{g['first']} of {g['models']}", f"{np.median(g['p_t_tail']):.3g}"]
            for name, g in groups.items()
        ]
        title = f"Sibling test ({found['chosen']}), {queries}: own source first"
        print_table(title, ["suspects", "first", "median p (t)"], rows)


if __name__ == "__main__":
    run(main, Args)
