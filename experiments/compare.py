"""MGMP, every baseline and the sibling test on the same queries, against every kind of negative.

    python experiments/compare.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/compare.py --preset demo                    # generated images

Scores are counted by model. The sibling test's statistic is chosen on the pool's tasks and
judged on the suspects. Where there are fewer images of a kind than queries asked for, all are
used. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from _attribution import POWER, Statistic, all_results
from _cohort import TRAINING, Cohort, Material, gather, make_cohort
from _run import address, open_store, print_files, print_table, results_of, run
from _scoring import as_results, attribute_by, by_answers, by_kind, by_weights, choose, judged_by
from configs import cohort as config
from configs.cohort import DRAWS, KINDS, NUM_QUERIES

from mgmp_jax import reporting
from mgmp_jax.methods.attribution import LEAST_QUERIES
from mgmp_jax.store import ModelStore
from mgmp_jax.training import console


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """MGMP, every similarity and the sibling test against every kind of negative."""


def against_queries(
    cohort: Cohort, material: Material, statistics: Mapping[str, Statistic]
) -> dict[str, dict[str, dict[str, float]]]:
    """The AUC of each method against each kind, for several numbers of queries, mean of draws."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for n in (n for n in NUM_QUERIES if n < len(material.queries[TRAINING])):
        rng = np.random.default_rng(n)
        aucs: dict[tuple[str, str], list[float]] = {}
        for _ in range(DRAWS):
            part = material.draw(n, rng)
            attributions = attribute_by(cohort, part, statistics if n >= LEAST_QUERIES else {})
            for method, scores in by_answers(cohort, part, attributions).items():
                for kind, of_kind in by_kind(cohort, scores).items():
                    aucs.setdefault((method, kind), []).append(of_kind["auc"])
        for (method, kind), values in aucs.items():
            found.setdefault(method, {}).setdefault(kind, {})[str(n)] = float(np.mean(values))
    return found


def compare(cohort: Cohort, store: ModelStore, material: Material) -> dict[str, Any]:
    """All scores of all methods, and what the sibling test says."""
    console.print("[bold]3. Comparison[/]")
    found = {of: choose(cohort, answers) for of, answers in material.answers.items()}
    statistics = {of: chosen for of, (chosen, _) in found.items()}
    attributions = attribute_by(cohort, material, statistics)
    of_answers = by_answers(cohort, material, attributions)
    suspects = [suspect.spec for suspect in cohort.suspects]
    source, *targets = (store.variables(s)["params"] for s in (cohort.row.source, *suspects))
    methods = as_results(cohort, of_answers | by_weights(source, targets))
    curves, number = against_queries(cohort, material, statistics), len(material.queries[TRAINING])
    for name in of_answers:
        for kind, separation in methods[name]["against"].items():
            curves.setdefault(name, {}).setdefault(kind, {})[str(number)] = separation["auc"]
    return {
        "models": {spec.address: store.accuracy(spec) for spec in cohort.specs},
        "suspects": [{"model": s.spec.address, "kind": s.kind} for s in cohort.suspects],
        "methods": methods,
        "num_queries": {of: len(queries) for of, queries in material.queries.items()},
        "against_queries": curves,
        "sibling_test": {
            of: {
                "chosen": str(chosen),
                "on_pool_tasks": tried,
                **all_results(cohort, material.answers[of], chosen, attributions[of]),
            }
            for of, (chosen, tried) in found.items()
        },
    }


def main(args: Args) -> dict[str, Any]:
    """Runs the comparison; see the module's docstring."""
    cohort, store = make_cohort(args), open_store(args)
    what = [cohort.address, judged_by(cohort), NUM_QUERIES, DRAWS, POWER]
    folder = args.out / address(f"compare-{cohort.row.name}", what)

    def make() -> tuple[dict[str, Any], int]:
        material, found = gather(cohort, store, args)
        return compare(cohort, store, material), found

    results = results_of("compare", folder, args, make)
    reporting.plot_curves(folder / "queries.png", results["against_queries"], "AUC by model")
    show(results)
    print_files(folder, "results.json", "queries.png")
    return results


def show(results: dict[str, Any]) -> None:
    """Prints the two tables."""
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
