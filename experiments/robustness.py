"""What a descendant may have gone through before it is met, against every method.

    python experiments/robustness.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/robustness.py --preset demo                    # generated images

Reads the zoo of compare.py from the same --out and trains what it lacks. Whatever is done to
homologous models is done to the others too: to models from scratch and to those started from
another model of the source's data where it is done to weights or answers; to the latter where it is
another training. Run it again to go on after an interruption.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from command import address, open_pool, run, settings, write_results
from compare import all_scores, by_kind, choose, judged_by, trace_all, weights
from material import HALVES, TRAINING, Material, all_specs, gather
from rich.table import Table
from tracing import Answers, Variant, sibling_results, strangers
from zoo import PRESETS, Args, Suspect, Zoo, make_zoo

from mgmp_jax import files, reporting, training, transformations
from mgmp_jax.pool import Pool
from mgmp_jax.spec import ModelSpec
from mgmp_jax.training import console

TRACED_BY = (TRAINING, HALVES)
"""The kinds of queries by which suspects are traced."""

STUDENTS = 3
"""Of the source and of another model each, as a student is as dear as five targets."""

WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "pruned 20 %": lambda params: transformations.prune(params, 0.2),
    "pruned 50 %": lambda params: transformations.prune(params, 0.5),
    "pruned 80 %": lambda params: transformations.prune(params, 0.8),
    "int8": transformations.to_int8,
    "float16": transformations.to_float16,
}
"""What is done to a suspect's weights."""

ANSWERS: dict[str, Callable[[Any, Any], Any]] = {
    "log-probabilities": lambda p, _: _log(p),
    "rounded to 2 decimals": lambda p, _: _log(transformations.round_to(p, 2)),
    "temperature 4": lambda p, _: _log(transformations.temper(p, 4.0)),
    "top 3": lambda p, _: _log(transformations.keep_top(p, 3)),
    "label only": lambda p, _: transformations.one_hot_label(p),
    "ranks": lambda p, _: transformations.ranks(p),
    "noise 0.1": lambda p, key: transformations.add_noise(_log(p), 0.1, key),
    "noise 1": lambda p, key: transformations.add_noise(_log(p), 1.0, key),
}
"""What is done to a suspect's probabilities ``(p, key)``, and how it is read."""


def _log(probabilities: Any) -> Any:
    return jnp.log(jnp.maximum(probabilities, 1e-6))


def another(zoo: Zoo) -> ModelSpec:
    """The model of the source's data that some suspects started from instead of the source."""
    return next(s.spec.start for s in zoo.suspects if s.kind == "sibling" and s.spec.start)


def trained_otherwise(zoo: Zoo, args: Args, pool: Pool) -> dict[str, list[ModelSpec]]:
    """Descendants and students of the source, and the same of another model of its data.

    For each way of training the former come first, then equally many of the latter.
    """
    source, target = zoo.row.source, PRESETS[args.preset].target
    own = [s.spec for s in zoo.suspects if s.kind == "homologous" and s.spec.head == "keep"]
    kept = own + [dataclasses.replace(spec, start=another(zoo)) for spec in own]
    recipe = dataclasses.replace(kept[0].recipe, snapshots=1)
    long = dataclasses.replace(
        recipe, epochs=4 * target.epochs, learning_rate=3 * recipe.learning_rate
    )
    last = dataclasses.replace(recipe, frozen=len(pool.module(source).layers) - 1)
    half = (source.num_examples or 0) // 2
    thief = dataclasses.replace(source.cousin(0), num_examples=half)  # he has his own images
    students = [
        (teacher, dataclasses.replace(thief, seed=spec.seed))
        for teacher in (source, another(zoo))
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
        answers: of them, and of strangers where these were changed too, by kind of queries.
        params: of the suspects in turn; none where the transformation is of answers.
    """

    suspects: Sequence[Suspect]
    answers: Mapping[str, Answers]
    params: Sequence[Any] = ()


def retrained(
    specs: Mapping[str, Sequence[ModelSpec]], pool: Pool, material: Material
) -> Iterator[tuple[str, Changed]]:
    """The models of :func:`trained_otherwise`."""
    for name, of_name in specs.items():
        half = len(of_name) // 2
        suspects = [
            Suspect(spec, "homologous" if i < half else "sibling") for i, spec in enumerate(of_name)
        ]
        answers = {
            of: {spec: pool.responses(spec, images).values for spec in of_name}
            for of, images in material.queries.items()
        }
        yield name, Changed(suspects, answers, [pool.variables(spec)["params"] for spec in of_name])


def reweighted(
    known: Sequence[Suspect], pool: Pool, material: Material
) -> Iterator[tuple[str, Changed]]:
    """Suspects after each of :data:`WEIGHTS`."""
    variables = [pool.variables(suspect.spec) for suspect in known]
    for name, change in WEIGHTS.items():
        changed = [{**of, "params": change(of["params"])} for of in variables]
        answers = {
            of: {
                suspect.spec: training.predict(pool.module(suspect.spec), one, images)[0]
                for suspect, one in zip(known, changed, strict=True)
            }
            for of, images in material.queries.items()
        }
        yield name, Changed(known, answers, [one["params"] for one in changed])


def reanswered(
    known: Sequence[Suspect], zoo: Zoo, material: Material
) -> Iterator[tuple[str, Changed]]:
    """Suspects after each of :data:`ANSWERS`, and strangers: the owner sees how one answers."""
    specs = [*(suspect.spec for suspect in known), *strangers(zoo)]
    for i, (name, change) in enumerate(ANSWERS.items()):
        answers = {}
        for j, of in enumerate(material.answers):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(i), j), len(specs))
            answers[of] = {
                spec: np.asarray(change(jax.nn.softmax(material.answers[of][spec]), key))
                for spec, key in zip(specs, keys, strict=True)
            }
        yield name, Changed(known, answers)


def judge(
    zoo: Zoo, material: Material, variants: Mapping[str, Variant], source: Any, changed: Changed
) -> dict[str, Any]:
    """Scores of each method, how well they tell the homologous from the others, and the traces.

    Args:
        zoo: whose source and candidates.
        material: all answers before the transformation.
        variants: of the sibling test, by kind of queries.
        source: the source's parameters.
        changed: the suspects after it.
    """
    zoo = dataclasses.replace(zoo, suspects=tuple(changed.suspects))
    answers = {of: {**all_, **changed.answers.get(of, {})} for of, all_ in material.answers.items()}
    material = dataclasses.replace(material, answers=answers)
    traces = trace_all(zoo, material, variants)
    scores = all_scores(zoo, material, traces)
    if changed.params:
        scores |= weights(source, changed.params)
    return {
        "methods": {
            method: {"scores": values.tolist(), "against": by_kind(zoo, values)}
            for method, values in scores.items()
        },
        "sibling_test": {of: sibling_results(zoo, of_kind) for of, of_kind in traces.items()},
    }


def robustness(
    zoo: Zoo, pool: Pool, specs: Mapping[str, Sequence[ModelSpec]], out: Path
) -> dict[str, Any]:
    """Every transformation, judged by every method; ``specs`` are :func:`trained_otherwise`."""
    material = gather(zoo, pool, out)
    variants = {of: choose(zoo, material.answers[of])[0] for of in TRACED_BY}
    pool.train([spec for of_name in specs.values() for spec in of_name])
    console.print("[bold]6. Transformations[/]")
    source = pool.variables(zoo.row.source)["params"]
    known = [s for s in zoo.suspects if s.kind in ("homologous", "scratch", "sibling")]
    nothing = Changed(known, {}, [pool.variables(s.spec)["params"] for s in known])
    all_changed = itertools.chain(
        [("none", nothing)],
        retrained(specs, pool, material),
        reweighted(known, pool, material),
        reanswered(known, zoo, material),
    )
    return {
        "chosen": {of: str(variant) for of, variant in variants.items()},
        "transformations": {
            name: judge(zoo, material, variants, source, changed) for name, changed in all_changed
        },
        "models": {spec.address: pool.accuracy(spec) for of in specs.values() for spec in of},
    }


def main(args: Args) -> dict[str, Any]:
    """Runs all transformations; see the module's docstring."""
    pool = open_pool(args)
    start, zoo = time.perf_counter(), make_zoo(args)
    specs = trained_otherwise(zoo, args, pool)
    what = [zoo.address, judged_by(zoo), specs, list(WEIGHTS), list(ANSWERS), TRACED_BY]
    folder = args.out / address(f"robustness-{zoo.row.name}", what)
    if not (folder / "results.json").is_file():
        everybody = {*all_specs(zoo), *(spec for of in specs.values() for spec in of)}
        found = sum(map(pool.is_trained, everybody))
        results = robustness(zoo, pool, specs, args.out)
        write_results(folder, results, settings(args), start, found)
    results = files.read_json(folder / "results.json")
    grid = {
        name: {method: m["against"]["sibling"]["auc"] for method, m in of["methods"].items()}
        for name, of in results["transformations"].items()
    }
    reporting.plot_grid(folder / "robustness.png", grid, "AUC by model, against sibling")
    show(results, folder)
    return results


def traced(of_transformation: dict[str, Any], queries: str, kind: str) -> str:
    """Of how many models of a kind the source came first, in words."""
    groups = of_transformation["sibling_test"][queries].items()
    traces = [t for name, t in groups if name.split(",")[0] == kind]
    return f"{sum(t['first'] for t in traces)} of {sum(t['models'] for t in traces)}"


def show(results: dict[str, Any], folder: Path) -> None:
    """Prints the AUC of each method after each transformation, and the source's first places."""
    shown = ("linear CKA", "fit to source", "MGMP paper", "MGMP extended")
    table = Table(title="Homologous against sibling, AUC by model; and traced to the source")
    for column in ("transformation", *shown, *(f"traced by {of}" for of in results["chosen"])):
        table.add_column(column)
    for name, of_name in results["transformations"].items():
        found = (of_name["methods"].get(method) for method in shown)
        aucs = (f"{m['against']['sibling']['auc']:.2f}" if m else "-" for m in found)
        traces = (traced(of_name, of, "homologous") for of in results["chosen"])
        table.add_row(name, *aucs, *traces)
    console.print(table)
    names = ("results.json", "robustness.png")
    console.print("Files: " + ", ".join(str(folder / name) for name in names), soft_wrap=True)


if __name__ == "__main__":
    run(main, Args)
