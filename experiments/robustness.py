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
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from _run import open_store, print_files, print_table, results_of, run
from configs.robustness import ANSWERS, ATTRIBUTED_BY, STUDENTS, WEIGHTS, Args

if TYPE_CHECKING:
    from _cohort import AllAnswers, Cohort, Material, Suspect

    from mgmp_jax.responses import Responses
    from mgmp_jax.store import ModelSpec, ModelStore

OTHER = "sibling descendant"


def trained_otherwise(cohort: Cohort, store: ModelStore) -> dict[str, list[ModelSpec]]:
    """Makes descendants and students of the source, and the same of another model of its data.

    For each way of training the former come first, then equally many of the latter.
    """
    source = cohort.row.source
    own = [s.spec for s in cohort.suspects if s.kind == "homologous" and s.spec.head == "keep"]
    another = next(s.spec.start for s in cohort.suspects if s.kind == OTHER and s.spec.start)
    recipe = dataclasses.replace(own[0].recipe, checkpoints=1)
    epochs, rate = 4 * recipe.epochs, 3 * recipe.learning_rate
    long = dataclasses.replace(recipe, epochs=epochs, learning_rate=rate)
    last = dataclasses.replace(recipe, frozen=len(store.module(source).layers) - 1)
    half = (source.num_examples or 0) // 2
    thief = dataclasses.replace(source.cousin(0), num_examples=half)  # he has his own images
    students = [
        (teacher, dataclasses.replace(thief, seed=spec.seed))
        for teacher in (source, another)
        for spec in own[:STUDENTS]
    ]

    def changed(**changes: Any) -> list[ModelSpec]:
        both = own + [dataclasses.replace(spec, start=another) for spec in own]
        return [dataclasses.replace(spec, **changes) for spec in both]

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


def change_all(
    cohort: Cohort,
    store: ModelStore,
    material: Material,
    otherwise: Mapping[str, Sequence[ModelSpec]],
) -> Iterator[tuple[str, Changed]]:
    """Gives the suspects as they are, trained otherwise, with other weights, with other answers.

    Controls are changed where answers are: the owner sees how a suspect answers.
    """
    import jax
    from _cohort import Suspect

    from mgmp_jax import training, transformations
    from mgmp_jax.responses import Responses

    known = [cohort.suspects[i] for i in cohort.of_kind("homologous", "scratch", OTHER)]
    variables = [store.variables(suspect.spec) for suspect in known]
    yield "none", Changed(known, {}, [one["params"] for one in variables])
    for name, specs in otherwise.items():
        kinds = ["homologous"] * (len(specs) // 2) + [OTHER] * (len(specs) // 2)
        suspects = [Suspect(spec, kind) for spec, kind in zip(specs, kinds, strict=True)]
        answers = {
            of: {spec: store.responses(spec, queries) for spec in specs}
            for of, queries in material.queries.items()
        }
        yield name, Changed(suspects, answers, [store.variables(spec)["params"] for spec in specs])
    for name, (function, more) in WEIGHTS.items():
        params = [getattr(transformations, function)(one["params"], *more) for one in variables]
        answers = {of: {} for of in material.queries}
        for of, queries in material.queries.items():
            for suspect, one, weights in zip(known, variables, params, strict=True):
                module, state = store.module(suspect.spec), {**one, "params": weights}
                logits, _ = training.predict(module, state, queries.inputs)
                answers[of][suspect.spec] = Responses(logits, "logits", queries)
        yield name, Changed(known, answers, params)
    specs = [*(suspect.spec for suspect in known), *cohort.controls]
    for i, name in enumerate(ANSWERS):
        answers = {}
        for j, (of, all_) in enumerate(material.answers.items()):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(i), j), len(specs))
            pairs = zip(specs, keys, strict=True)
            answers[of] = {spec: answer_otherwise(name, all_[spec], key) for spec, key in pairs}
        yield name, Changed(known, answers)


def answer_otherwise(name: str, logits: Responses, key: Any) -> Responses:
    """Changes a model's answers in one of the ways of :data:`ANSWERS`."""
    import jax.numpy as jnp
    import numpy as np

    from mgmp_jax import transformations
    from mgmp_jax.responses import Responses

    taken, function, more, kind = ANSWERS[name]
    if not function:
        return logits.to(taken)
    random = (key,) if function == "add_noise" else ()
    values = jnp.asarray(logits.to(taken).values)
    values = getattr(transformations, function)(values, *more, *random)
    return Responses(np.asarray(values), kind, logits.queries, logits.model)


def score_all(
    cohort: Cohort,
    store: ModelStore,
    material: Material,
    otherwise: Mapping[str, Sequence[ModelSpec]],
) -> dict[str, Any]:
    """Scores the suspects after every transformation by every method that reads them."""
    from _scoring import as_results, attribute_by, by_answers, by_weights, choose, sibling_results

    statistics = {of: choose(cohort, material.answers[of])[0] for of in ATTRIBUTED_BY}
    source, found = store.variables(cohort.row.source)["params"], {}
    for name, changed in change_all(cohort, store, material, otherwise):
        one = dataclasses.replace(cohort, suspects=tuple(changed.suspects))
        before = material.answers.items()
        answers = {of: {**all_, **changed.answers.get(of, {})} for of, all_ in before}
        after = dataclasses.replace(material, answers=answers)
        attributions = attribute_by(one, after, statistics)
        scores, unread = by_answers(one, after, attributions)
        if changed.params:
            scores |= by_weights(source, changed.params)
        by_queries = {of: sibling_results(one, scored) for of, scored in attributions.items()}
        methods = as_results(one, scores)
        found[name] = {"methods": methods, "unread": unread, "sibling_test": by_queries}
    return {
        "chosen": {of: str(statistic) for of, statistic in statistics.items()},
        "transformations": found,
        "models": {spec.address: store.accuracy(spec) for of in otherwise.values() for spec in of},
    }


def main(args: Args) -> dict[str, Any]:
    """Runs all transformations; see the module's docstring."""
    from _cohort import gather, make_cohort
    from _rows import train_models
    from _scoring import judged_by

    from mgmp_jax import reporting
    from mgmp_jax.training import console

    cohort, store = make_cohort(args), open_store(args)
    otherwise = trained_otherwise(cohort, store)
    what = [judged_by(cohort), otherwise, WEIGHTS, ANSWERS, ATTRIBUTED_BY]
    folder = args.out / cohort.folder("robustness", what)

    def make() -> tuple[dict[str, Any], int]:
        material, found = gather(cohort, store, args)
        found += train_models([spec for of in otherwise.values() for spec in of], store)
        console.print("[bold]2. Transformations[/]")
        return score_all(cohort, store, material, otherwise), found

    results = results_of("robustness", folder, args, make)
    grid = {
        name: {method: m["against"][OTHER]["auc"] for method, m in of["methods"].items()}
        for name, of in results["transformations"].items()
    }
    reporting.plot_grid(folder / "robustness.png", grid, f"AUC by model, against {OTHER}s")
    shown = ("linear CKA", "ridge R², target to source", "MGMP paper", "MGMP extended")
    rows = []
    for name, of in results["transformations"].items():
        aucs = (f"{grid[name][method]:.2f}" if method in grid[name] else "-" for method in shown)
        first = (reporting.first_places(of, by, "homologous") for by in results["chosen"])
        rows.append([name, *aucs, *first])
    columns = ["transformation", *shown, *(f"attributed by {of}" for of in results["chosen"])]
    print_table(f"Homologous against {OTHER}s, AUC by model", columns, rows)
    print_files(folder, "results.json", "robustness.png")
    return results


if __name__ == "__main__":
    run(main, Args)
