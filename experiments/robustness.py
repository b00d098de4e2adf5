"""What a descendant may have gone through before it is met, against every method.

    python experiments/robustness.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/robustness.py --preset demo                    # generated images

Reads the cohort of compare.py from the same --out and trains what it lacks. Whatever is done to
homologous models is done to the others too: to models from scratch and to those started from
another model of the source's data where it is done to weights or answers; to the latter where it is
another training. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from _attribution import Statistic, sibling_results
from _cohort import AllAnswers, Cohort, Material, Suspect, gather, make_cohort
from _run import address, open_store, print_files, print_table, results_of, run
from _scoring import as_results, attribute_by, by_answers, by_weights, choose, judged_by
from configs import cohort as config
from configs.cohort import PRESETS
from configs.robustness import ANSWERS, ATTRIBUTED_BY, STUDENTS, WEIGHTS

from mgmp_jax import reporting, training
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.training import console


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """What a descendant may have gone through, against every method."""


def another(cohort: Cohort) -> ModelSpec:
    """The model of the source's data that some suspects started from instead of the source."""
    return next(
        s.spec.start for s in cohort.suspects if s.kind == "sibling descendant" and s.spec.start
    )


def trained_otherwise(cohort: Cohort, args: Args, store: ModelStore) -> dict[str, list[ModelSpec]]:
    """Descendants and students of the source, and the same of another model of its data.

    For each way of training the former come first, then equally many of the latter.
    """
    source, target = cohort.row.source, PRESETS[args.preset].target
    own = [s.spec for s in cohort.suspects if s.kind == "homologous" and s.spec.head == "keep"]
    kept = own + [dataclasses.replace(spec, start=another(cohort)) for spec in own]
    recipe = dataclasses.replace(kept[0].recipe, checkpoints=1)
    long = dataclasses.replace(
        recipe, epochs=4 * target.epochs, learning_rate=3 * recipe.learning_rate
    )
    last = dataclasses.replace(recipe, frozen=len(store.module(source).layers) - 1)
    half = (source.num_examples or 0) // 2
    thief = dataclasses.replace(source.cousin(0), num_examples=half)  # he has his own images
    students = [
        (teacher, dataclasses.replace(thief, seed=spec.seed))
        for teacher in (source, another(cohort))
        for spec in own[:STUDENTS]
    ]

    def changed(**changes: Any) -> list[ModelSpec]:
        return [dataclasses.replace(spec, **changes) for spec in kept]

    return {
        "last layer only": changed(recipe=last, head="reinit"),
        "100 classes": changed(subset=None, head="reinit"),
        "long, high learning rate": changed(recipe=long),
        "distilled": [teacher.student(spec) for teacher, spec in students],
        "extracted from labels": [teacher.student(spec, "labels") for teacher, spec in students],
    }


@dataclasses.dataclass(frozen=True)
class Changed:
    """Suspects after a transformation.

    Args:
        suspects: whose they are.
        answers: of them, and of controls where these were changed too, by kind of queries.
        params: of the suspects in turn; none where the transformation is of answers.
    """

    suspects: Sequence[Suspect]
    answers: Mapping[str, AllAnswers]
    params: Sequence[Any] = ()


def retrained(
    specs: Mapping[str, Sequence[ModelSpec]], store: ModelStore, material: Material
) -> Iterator[tuple[str, Changed]]:
    """The models of :func:`trained_otherwise`."""
    for name, of_name in specs.items():
        half = len(of_name) // 2
        suspects = [
            Suspect(spec, "homologous" if i < half else "sibling descendant")
            for i, spec in enumerate(of_name)
        ]
        answers = {
            of: {spec: store.responses(spec, queries) for spec in of_name}
            for of, queries in material.queries.items()
        }
        yield (
            name,
            Changed(suspects, answers, [store.variables(spec)["params"] for spec in of_name]),
        )


def reweighted(
    known: Sequence[Suspect], store: ModelStore, material: Material
) -> Iterator[tuple[str, Changed]]:
    """Suspects after each of :data:`WEIGHTS`."""
    variables = [store.variables(suspect.spec) for suspect in known]
    for name, change in WEIGHTS.items():
        changed = [{**of, "params": change(of["params"])} for of in variables]
        answers = {
            of: {
                suspect.spec: answer(store, suspect.spec, one, queries)
                for suspect, one in zip(known, changed, strict=True)
            }
            for of, queries in material.queries.items()
        }
        yield name, Changed(known, answers, [one["params"] for one in changed])


def reanswered(
    known: Sequence[Suspect], cohort: Cohort, material: Material
) -> Iterator[tuple[str, Changed]]:
    """Suspects after each of :data:`ANSWERS`, and controls: the owner sees how one answers."""
    specs = [*(suspect.spec for suspect in known), *cohort.controls]
    for i, (name, change) in enumerate(ANSWERS.items()):
        answers = {}
        for j, of in enumerate(material.answers):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(i), j), len(specs))
            all_ = material.answers[of]
            answers[of] = {
                spec: change(all_[spec].to("probabilities"), key)
                for spec, key in zip(specs, keys, strict=True)
            }
        yield name, Changed(known, answers)


def judge(
    cohort: Cohort,
    material: Material,
    statistics: Mapping[str, Statistic],
    source: Any,
    changed: Changed,
) -> dict[str, Any]:
    """Scores of each method, how well they separate the kinds, and the attributions.

    Args:
        cohort: whose source and candidates.
        material: all answers before the transformation.
        statistics: of the sibling test, by kind of queries.
        source: the source's parameters.
        changed: the suspects after it.
    """
    cohort = dataclasses.replace(cohort, suspects=tuple(changed.suspects))
    answers = {of: {**all_, **changed.answers.get(of, {})} for of, all_ in material.answers.items()}
    material = dataclasses.replace(material, answers=answers)
    attributions = attribute_by(cohort, material, statistics)
    scores = by_answers(cohort, material, attributions)
    if changed.params:
        scores |= by_weights(source, changed.params)
    return {
        "methods": as_results(cohort, scores),
        "sibling_test": {
            of: sibling_results(cohort, of_kind) for of, of_kind in attributions.items()
        },
    }


def answer(store: ModelStore, spec: ModelSpec, variables: Any, queries: QuerySet) -> Responses:
    """The logits of a model with other weights."""
    logits, _ = training.predict(store.module(spec), variables, queries.inputs)
    return Responses(logits, "logits", queries, spec.address)


def robustness(
    cohort: Cohort, store: ModelStore, specs: Mapping[str, Sequence[ModelSpec]], args: Args
) -> tuple[dict[str, Any], int]:
    """Every transformation, judged by every method; ``specs`` are :func:`trained_otherwise`."""
    otherwise = [spec for of_name in specs.values() for spec in of_name]
    found = sum(map(store.is_trained, otherwise))
    material, found_before = gather(cohort, store, args)
    statistics = {of: choose(cohort, material.answers[of])[0] for of in ATTRIBUTED_BY}
    store.train(otherwise)
    console.print("[bold]3. Transformations[/]")
    source = store.variables(cohort.row.source)["params"]
    known = [
        s for s in cohort.suspects if s.kind in ("homologous", "scratch", "sibling descendant")
    ]
    nothing = Changed(known, {}, [store.variables(s.spec)["params"] for s in known])
    all_changed = itertools.chain(
        [("none", nothing)],
        retrained(specs, store, material),
        reweighted(known, store, material),
        reanswered(known, cohort, material),
    )
    results = {
        "chosen": {of: str(statistic) for of, statistic in statistics.items()},
        "transformations": {
            name: judge(cohort, material, statistics, source, changed)
            for name, changed in all_changed
        },
        "models": {spec.address: store.accuracy(spec) for of in specs.values() for spec in of},
    }
    return results, found + found_before


def main(args: Args) -> dict[str, Any]:
    """Runs all transformations; see the module's docstring."""
    cohort, store = make_cohort(args), open_store(args)
    specs = trained_otherwise(cohort, args, store)
    what = [cohort.address, judged_by(cohort), specs, list(WEIGHTS), list(ANSWERS), ATTRIBUTED_BY]
    folder = args.out / address(f"robustness-{cohort.row.name}", what)
    results = results_of("robustness", folder, args, lambda: robustness(cohort, store, specs, args))
    grid = {
        name: {
            method: m["against"]["sibling descendant"]["auc"] for method, m in of["methods"].items()
        }
        for name, of in results["transformations"].items()
    }
    title = "AUC by model, against sibling descendants"
    reporting.plot_grid(folder / "robustness.png", grid, title)
    show(results)
    print_files(folder, "results.json", "robustness.png")
    return results


def show(results: dict[str, Any]) -> None:
    """Prints the AUC of each method after each transformation, and the source's first places."""
    shown = ("linear CKA", "ridge R², target to source", "MGMP paper", "MGMP extended")
    rows = []
    for name, of_name in results["transformations"].items():
        found = (of_name["methods"].get(method) for method in shown)
        aucs = (f"{m['against']['sibling descendant']['auc']:.2f}" if m else "-" for m in found)
        first = (reporting.first_places(of_name, of, "homologous") for of in results["chosen"])
        rows.append([name, *aucs, *first])
    columns = ["transformation", *shown, *(f"attributed by {of}" for of in results["chosen"])]
    print_table("Homologous against sibling descendants, AUC by model", columns, rows)


if __name__ == "__main__":
    run(main, Args)
