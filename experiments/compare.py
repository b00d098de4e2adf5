"""MGMP, every baseline and the sibling test on the same queries, against every kind of negative.

    python experiments/compare.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/compare.py --preset demo                    # generated images

Scores are counted by model. The sibling test's statistic is chosen on the pool's models and
judged on the suspects. Where there are fewer images of a kind than queries asked for, all are
used. Run it again to go on after an interruption.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from command import address, open_pool, run, settings, write_results
from material import QUERIES, TRAINING, UNSEEN, Material, all_specs, frozen_methods, gather
from rich.table import Table
from tracing import (
    ALL,
    POWER,
    Answers,
    Variant,
    all_results,
    choose_variant,
    minus_p,
    take_part,
    trace,
)
from zoo import KINDS, Args, Zoo, make_zoo

from mgmp_jax import baselines, files, reporting, sibling
from mgmp_jax.pool import Pool
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

NUM_QUERIES = (8, 16, 32, 64, 128, 256, 1000)
DRAWS = 3
CHOOSING = 1000
"""How many queries the variant of the sibling test is chosen by."""


def similarities(zoo: Zoo, answers: Answers) -> dict[str, np.ndarray]:
    """The scores ``[suspects]`` by every statistic of responses."""
    source, scores = answers[zoo.row.source], {}
    targets = [answers[suspect.spec] for suspect in zoo.suspects]
    for name, statistic in baselines.RESPONSE_STATISTICS.items():
        if statistic is baselines.mutual_neighbours and len(source) <= baselines.NEIGHBOURS:
            continue
        scores[name] = np.array([float(statistic(source, target)) for target in targets])
    return scores


def mistakes(zoo: Zoo, answers: Answers, labels: np.ndarray) -> np.ndarray:
    """The agreement with the source's mistakes, ``[suspects]``."""
    source = answers[zoo.row.source]
    return np.array(
        [
            float(baselines.mistake_agreement(source, answers[suspect.spec], labels))
            for suspect in zoo.suspects
        ]
    )


def weights(source: Any, targets: Sequence[Any]) -> dict[str, np.ndarray]:
    """What can be said with all parameters in hand: scores ``[suspects]`` by each measure."""
    layers = [
        baselines.weight_distance_by_layer(source, target, relative=True) for target in targets
    ]
    return {
        "‖Δw‖": np.array([float(baselines.weight_distance(source, t)) for t in targets]),
        "‖Δw‖, mean of layers": np.array(
            [np.mean([float(of_layer) for of_layer in of.values()]) for of in layers]
        ),
        "weight cosine": np.array([float(baselines.weight_cosine(source, t)) for t in targets]),
    }


def verdict_scores(verifier: Verifier, zoo: Zoo, answers: Answers) -> np.ndarray | None:
    """DNA scores ``[suspects]``.

    ``None`` where responses are not aligned and a suspect's are of another width than the source's.
    """
    values, width = [answers[s.spec] for s in zoo.suspects], verifier.source.values.shape[1]
    if not verifier.config.align and any(of_one.shape[1] != width for of_one in values):
        return None
    if verifier.config.response == "logprobs":
        values = [np.asarray(jax.nn.log_softmax(of_one)) for of_one in values]
    suspects = [dataclasses.replace(verifier.source, values=of_one) for of_one in values]
    return np.array([verifier.score(suspect) for suspect in suspects])


def by_kind(zoo: Zoo, scores: np.ndarray) -> dict[str, Any]:
    """How well the homologous suspects stand apart from those of each other kind."""
    positive = scores[zoo.of_kind("homologous")]
    return {
        kind: reporting.separation(positive, scores[zoo.of_kind(kind)])
        for kind in KINDS
        if kind != "homologous" and zoo.of_kind(kind)
    }


def choose(zoo: Zoo, answers: Answers) -> tuple[Variant, list[dict[str, Any]]]:
    """:func:`choose_variant` on the first :data:`CHOOSING` queries."""
    first = np.arange(min(CHOOSING, len(answers[zoo.row.source])))
    return choose_variant(zoo, take_part(answers, first))


def all_scores(
    zoo: Zoo, material: Material, traces: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """The scores ``[suspects]`` by every method that needs answers only.

    Args:
        zoo: whose suspects.
        material: what to judge by.
        traces: what :func:`tracing.trace` gives, by kind of queries.
    """
    verdicts = {
        name: verdict_scores(verifier, zoo, material.answers[TRAINING])
        for name, verifier in material.verifiers.items()
    }
    unseen = mistakes(zoo, material.answers[UNSEEN], material.labels)
    return {
        **similarities(zoo, material.answers[TRAINING]),
        "agreement on mistakes, unseen images": unseen,
        **{name: scores for name, scores in verdicts.items() if scores is not None},
        **{f"sibling test, {of}": minus_p(of_queries) for of, of_queries in traces.items()},
    }


def against_queries(
    zoo: Zoo, material: Material, variants: Mapping[str, Variant]
) -> dict[str, dict[str, dict[str, float]]]:
    """The AUC of each method against each kind, for several numbers of queries, mean of draws."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for n in (n for n in NUM_QUERIES if n < len(material.queries[TRAINING])):
        rng = np.random.default_rng(n)
        aucs: dict[tuple[str, str], list[float]] = {}
        for _ in range(DRAWS):
            part = material.draw(n, rng)
            traces = trace_all(zoo, part, variants if n >= sibling.LEAST_QUERIES else {})
            for method, scores in all_scores(zoo, part, traces).items():
                for kind, of_kind in by_kind(zoo, scores).items():
                    aucs.setdefault((method, kind), []).append(of_kind["auc"])
        for (method, kind), values in aucs.items():
            found.setdefault(method, {}).setdefault(kind, {})[str(n)] = float(np.mean(values))
    return found


def trace_all(
    zoo: Zoo, material: Material, variants: Mapping[str, Variant]
) -> dict[str, list[np.ndarray]]:
    """:func:`tracing.trace` by every kind of queries that has a variant."""
    return {of: trace(variant, zoo, material.answers[of]) for of, variant in variants.items()}


def compare(zoo: Zoo, pool: Pool, material: Material) -> dict[str, Any]:
    """All scores of all methods, and what the sibling test says."""
    console.print("[bold]5. Comparison[/]")
    found = {of: choose(zoo, answers) for of, answers in material.answers.items()}
    variants = {of: chosen for of, (chosen, _) in found.items()}
    traces = trace_all(zoo, material, variants)
    of_answers = all_scores(zoo, material, traces)
    source, *targets = (
        pool.variables(spec)["params"] for spec in (zoo.row.source, *(s.spec for s in zoo.suspects))
    )
    methods = {
        name: {"scores": values.tolist(), "against": by_kind(zoo, values)}
        for name, values in (of_answers | weights(source, targets)).items()
    }
    curves, number = against_queries(zoo, material, variants), len(material.queries[TRAINING])
    for name in of_answers:
        for kind, separation in methods[name]["against"].items():
            curves.setdefault(name, {}).setdefault(kind, {})[str(number)] = separation["auc"]
    return {
        "models": {spec.address: pool.accuracy(spec) for spec in zoo.specs},
        "suspects": [{"model": s.spec.address, "kind": s.kind} for s in zoo.suspects],
        "methods": methods,
        "num_queries": {of: len(images) for of, images in material.queries.items()},
        "against_queries": curves,
        "sibling_test": {
            of: {
                "chosen": str(chosen),
                "on_pool_tasks": tried,
                **all_results(zoo, material.answers[of], chosen, traces[of]),
            }
            for of, (chosen, tried) in found.items()
        },
    }


def judged_by(zoo: Zoo) -> list[Any]:
    """What decides scores beside the models: a part of the address of results."""
    return [
        list(baselines.RESPONSE_STATISTICS),
        frozen_methods(zoo.row),
        [str(variant) for variant in ALL],
        CHOOSING,
        QUERIES,
    ]


def main(args: Args) -> dict[str, Any]:
    """Runs the comparison; see the module's docstring."""
    pool = open_pool(args)
    zoo, start = make_zoo(args), time.perf_counter()
    what = [zoo.address, judged_by(zoo), NUM_QUERIES, DRAWS, POWER]
    folder = args.out / address(f"compare-{zoo.row.name}", what)
    if not (folder / "results.json").is_file():
        found = sum(map(pool.is_trained, all_specs(zoo)))
        results = compare(zoo, pool, gather(zoo, pool, args.out))
        write_results(folder, results, settings(args), start, found)
    results = files.read_json(folder / "results.json")
    reporting.plot_curves(folder / "queries.png", results["against_queries"], "AUC by model")
    show(results, folder)
    return results


def show(results: dict[str, Any], folder: Path) -> None:
    """Prints the two tables."""
    kinds = [kind for kind in KINDS if kind != "homologous"]
    table = Table(title="AUC by model: homologous against ...")
    for column in ("method", *kinds):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, method in results["methods"].items():
        table.add_row(name, *(f"{method['against'][kind]['auc']:.2f}" for kind in kinds))
    console.print(table)
    for queries, found in results["sibling_test"].items():
        groups, families = found["suspects"], found["on_evaluation_tasks"][found["chosen"]]
        table = Table(title=f"Sibling test ({found['chosen']}), {queries}: own source first")
        for column in ("suspects", "first", "median p (t)"):
            table.add_column(column)
        for name, group in (groups | families).items():
            median = float(np.median(group["p_t_tail"]))
            table.add_row(name, f"{group['first']} of {group['models']}", f"{median:.3g}")
        console.print(table)
    console.print(f"Files: {folder / 'results.json'}, {folder / 'queries.png'}", soft_wrap=True)


if __name__ == "__main__":
    run(main, Args)
