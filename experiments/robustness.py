"""What a descendant may have gone through before it is met, against every method.

    python experiments/robustness.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/robustness.py --preset demo                    # generated images

Reads the cohort of compare.py from the same --out and trains what it lacks, 67 models. Whatever is
done to homologous models is done to the others too: to models from scratch and to those started
from another model of the source's data where it is done to weights or answers; to the latter where
it is another training. Models of another architecture are from scratch. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from _run import draw_picture, open_store, results_of, run, show
from configs import cohort as config
from configs.cohort import HALVES, OTHER_ARCH, TRAINING

if TYPE_CHECKING:
    from _cohort import AllAnswers, Cohort, Material, Suspect

    from mgmp_jax.responses import ResponseKind, Responses
    from mgmp_jax.store import ModelSpec, ModelStore

OTHER = "sibling descendant"
ATTRIBUTED_BY = (TRAINING, HALVES)
"""The kinds of queries by which suspects are attributed."""
STUDENTS = 3
"""Of the source and of another model each; a student costs about five target trainings."""

WEIGHTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "pruned 20 %": ("prune", (0.2,)),
    "pruned 50 %": ("prune", (0.5,)),
    "pruned 80 %": ("prune", (0.8,)),
    "int8": ("to_int8", ()),
    "float16": ("to_float16", ()),
}
"""What is done to a suspect's weights: a function of :mod:`mgmp_jax.transformations`, and its
further arguments."""

ANSWERS: dict[str, tuple[ResponseKind, str, tuple[Any, ...], ResponseKind]] = {
    "log-probabilities": ("log-probabilities", "", (), "log-probabilities"),
    "rounded to 2 decimals": ("probabilities", "round_to", (2,), "probabilities"),
    "temperature 4": ("probabilities", "temper", (4.0,), "probabilities"),
    "top 3": ("probabilities", "keep_top", (3,), "top-k"),
    "label only": ("labels", "", (), "labels"),
    "ranks": ("probabilities", "ranks", (), "embedding"),
    "noise 0.1": ("log-probabilities", "add_noise", (0.1,), "logits"),
    "noise 1": ("log-probabilities", "add_noise", (1.0,), "logits"),
}
"""What is done to a suspect's answers: of which kind they are taken, a function of
:mod:`mgmp_jax.transformations` if any, its further arguments, and of which kind they then are.
Noisy log-probabilities do not sum to one any more, and ranks are no probabilities."""

EMBEDDING = "embedding only"
"""What else a suspect may answer: what the model has before its last layer."""

Changed = tuple[str, Sequence["Suspect"], Mapping[str, "AllAnswers"], Sequence[Any]]
"""A transformation, the suspects, what they (and perhaps controls) answer after it by kind of
queries, and their parameters; none where the transformation is of answers."""


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Change descendants as a thief might, and score them by every method."""


def trained_otherwise(cohort: Cohort, store: ModelStore, args: Args) -> dict[str, list[Suspect]]:
    """Makes descendants and students of the source, and the same of another model of its data.

    With 2 and 20 classes there are as many examples of a class as with ten; 20 and 100 hold classes
    of the pool's tasks, too. A model of another architecture is no descendant: such models from
    scratch stand against the source's descendants as they are.
    """
    from _cohort import Suspect
    from _specs import source_and_target

    source = cohort.row.source
    known = [s for s in cohort.suspects if s.kind == "homologous" and s.spec.head == "keep"]
    own = [suspect.spec for suspect in known]
    another = next(s.spec.start for s in cohort.suspects if s.kind == OTHER and s.spec.start)
    recipe = dataclasses.replace(own[0].recipe, checkpoints=1)
    epochs, rate = 4 * recipe.epochs, 3 * recipe.learning_rate
    long = dataclasses.replace(recipe, epochs=epochs, learning_rate=rate)
    last = dataclasses.replace(recipe, frozen=len(store.module(source).layers) - 1)
    half = (source.num_examples or 0) // 2
    thief = dataclasses.replace(source.cousin(0), num_examples=half)  # he has his own images
    preset = config.PRESETS[args.preset]
    _, stranger = source_and_target(preset, OTHER_ARCH[args.arch], preset.data)

    def both(
        make: Callable[[ModelSpec, ModelSpec], ModelSpec], most: int | None = None
    ) -> list[Suspect]:
        return [
            Suspect(make(start, spec), kind)
            for start, kind in ((source, "homologous"), (another, OTHER))
            for spec in own[:most]
        ]

    def changed(**changes: Any) -> list[Suspect]:
        return both(lambda start, spec: dataclasses.replace(spec, start=start, **changes))

    def cut(subsets: int) -> list[Suspect]:
        def fewer(start: ModelSpec, spec: ModelSpec) -> ModelSpec:
            place, number = (spec.subset or 0) * subsets // 10, (spec.num_examples or 0) * 10
            part: Any = {"subset": place, "subsets": subsets, "num_examples": number // subsets}
            return start.descendant(dataclasses.replace(spec, **part), "reinit")

        return both(fewer)

    def students(answers: Any) -> list[Suspect]:
        def taught(teacher: ModelSpec, spec: ModelSpec) -> ModelSpec:
            return teacher.student(dataclasses.replace(thief, seed=spec.seed), answers)

        return both(taught, STUDENTS)

    strangers = [dataclasses.replace(stranger, subset=s.subset, seed=s.seed) for s in own]
    return {
        "last layer only": changed(recipe=last, head="reinit"),
        "2 classes": cut(50),
        "20 classes": cut(5),
        "100 classes": changed(subset=None, head="reinit"),
        "long, high learning rate": changed(recipe=long),
        "distilled": students("probabilities"),
        "extracted from labels": students("labels"),
        "another architecture": [*known, *(Suspect(spec, "scratch") for spec in strangers)],
    }


def change_all(
    cohort: Cohort,
    store: ModelStore,
    material: Material,
    otherwise: Mapping[str, Sequence[Suspect]],
) -> Iterator[Changed]:
    """Gives the suspects as they are, trained otherwise, with other weights, with other answers.

    Controls are changed where answers are: the owner sees how a suspect answers.
    """
    import jax

    from mgmp_jax import training, transformations
    from mgmp_jax.responses import Responses

    known = [cohort.suspects[i] for i in cohort.of_kind("homologous", "scratch", OTHER)]
    variables = [store.variables(suspect.spec) for suspect in known]
    yield "none", known, {}, [one["params"] for one in variables]
    for name, suspects in otherwise.items():
        specs = [suspect.spec for suspect in suspects]
        answers = {
            which: {spec: store.responses(spec, queries) for spec in specs}
            for which, queries in material.queries.items()
        }
        is_one_arch = len({spec.arch for spec in specs}) == 1
        params = [store.variables(spec)["params"] for spec in specs if is_one_arch]
        yield name, suspects, answers, params
    for name, (function, more) in WEIGHTS.items():
        params = [getattr(transformations, function)(one["params"], *more) for one in variables]
        answers = {which: {} for which in material.queries}
        for which, queries in material.queries.items():
            for suspect, one, weights in zip(known, variables, params, strict=True):
                module, state = store.module(suspect.spec), {**one, "params": weights}
                logits, _ = training.predict(module, state, queries.inputs)
                answers[which][suspect.spec] = Responses(logits, "logits", queries)
        yield name, known, answers, params
    specs = [*(suspect.spec for suspect in known), *cohort.controls]
    for i, name in enumerate(ANSWERS):
        answers = {}
        for j, (which, all_) in enumerate(material.answers.items()):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(i), j), len(specs))
            pairs = zip(specs, keys, strict=True)
            answers[which] = {spec: answer_otherwise(name, all_[spec], key) for spec, key in pairs}
        yield name, known, answers, []
    answers = {
        which: {spec: store.responses(spec, queries, kind="embedding") for spec in specs}
        for which, queries in material.queries.items()
    }
    yield EMBEDDING, known, answers, []


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
    otherwise: Mapping[str, Sequence[Suspect]],
) -> dict[str, Any]:
    """Scores the suspects after every transformation by every method that reads them."""
    from _scoring import as_results, attribute, by_answers, by_weights, choose, suspects_results

    ways = {which: choose(cohort, material.answers[which])[0] for which in ATTRIBUTED_BY}
    source, found = store.variables(cohort.row.source)["params"], {}
    for name, suspects, changed, params in change_all(cohort, store, material, otherwise):
        one = dataclasses.replace(cohort, suspects=tuple(suspects))
        before = material.answers.items()
        answers = {which: {**all_, **changed.get(which, {})} for which, all_ in before}
        after = dataclasses.replace(material, answers=answers)
        attributions = {which: attribute(way, one, answers[which]) for which, way in ways.items()}
        scores, unread = by_answers(one, after, attributions)
        if params:
            scores |= by_weights(source, params)
        by_queries = {
            which: suspects_results(one, scored) for which, scored in attributions.items()
        }
        methods = as_results(one, scores)
        found[name] = {"methods": methods, "unread": unread, "sibling_test": by_queries}
    return {
        "chosen": {which: ", ".join(way) for which, way in ways.items()},
        "transformations": found,
        "models": {
            s.spec.address: store.accuracy(s.spec) for s in itertools.chain(*otherwise.values())
        },
    }


def main(args: Args) -> dict[str, Any]:
    """Runs all transformations; see the module's docstring."""
    import tables
    from _cohort import gather, make_cohort
    from _rows import train_models

    from mgmp_jax import reporting

    cohort, store = make_cohort(args), open_store(args)
    otherwise = trained_otherwise(cohort, store, args)
    folder = args.out / cohort.folder(
        "robustness", [otherwise, WEIGHTS, ANSWERS, EMBEDDING, ATTRIBUTED_BY]
    )

    def make() -> dict[str, Any]:
        material = gather(cohort, store, args)
        train_models([s.spec for s in itertools.chain(*otherwise.values())], store, args)
        return score_all(cohort, store, material, otherwise)

    results = results_of("robustness", folder, args, make)
    grid = {
        name: {method: m["against"][OTHER]["auc"] for method, m in one["methods"].items()}
        for name, one in results["transformations"].items()
        if all(OTHER in m["against"] for m in one["methods"].values())
    }
    draw_picture(
        reporting.plot_grid, folder / "robustness.png", grid, f"AUC by model, against {OTHER}s"
    )
    show(
        tables.pivot("change", tables.robustness(results)), folder, "results.json", "robustness.png"
    )
    return results


if __name__ == "__main__":
    run(main, Args)
