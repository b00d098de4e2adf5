"""What a descendant may have gone through before it is met, against every method.

    python experiments/robustness.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/robustness.py --preset demo                    # generated images

Reads the zoo of compare.py from the same --out and trains what it lacks. Whatever is done to
homologous models is done to the others too: to models from scratch and to those started from
another model of the source's data where it is done to weights or answers; to the latter where it is
another training. Run it again to go on after an interruption.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from command import address, open_pool, run, settings, write_results
from compare import Material, all_scores, by_kind, choose, gather
from rich.table import Table
from tracing import Answers, Variant, sibling_results, strangers
from zoo import PRESETS, Args, Suspect, Zoo, make_zoo

from mgmp_jax import files, reporting, training, transformations
from mgmp_jax.pool import Pool
from mgmp_jax.spec import ModelSpec
from mgmp_jax.training import console

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
    pupil = dataclasses.replace(source.cousin(0), num_examples=half)  # a thief has his own images
    pupils = [
        (teacher, dataclasses.replace(pupil, seed=spec.seed))
        for teacher in (source, another(zoo))
        for spec in own[:STUDENTS]
    ]

    def changed(**changes: Any) -> list[ModelSpec]:
        return [dataclasses.replace(spec, **changes) for spec in kept]

    return {
        "last layer only": changed(recipe=last, head="reinit"),
        "100 classes": changed(subset=None, head="reinit"),
        "long, high learning rate": changed(recipe=long),
        "distilled": [teacher.student(pupil) for teacher, pupil in pupils],
        "extracted from labels": [teacher.student(pupil, "labels") for teacher, pupil in pupils],
    }


def transformed(zoo: Zoo, pool: Pool, queries: np.ndarray) -> Mapping[str, Answers]:
    """What suspects answer after each of :data:`WEIGHTS` and :data:`ANSWERS`.

    Strangers are changed with the latter only, where the owner sees how the suspect answers.
    """
    found: dict[str, dict[ModelSpec, np.ndarray]] = {name: {} for name in (*WEIGHTS, *ANSWERS)}
    suspects = [suspect.spec for suspect in zoo.suspects]
    for spec in suspects:
        variables, module = pool.variables(spec), pool.module(spec)
        for name, change in WEIGHTS.items():
            changed = {**variables, "params": change(variables["params"])}
            found[name][spec] = training.predict(module, changed, queries)[0]
    for number, spec in enumerate([*suspects, *strangers(zoo)]):
        probabilities = jnp.asarray(pool.responses(spec, queries, kind="probs").values)
        for i, (name, change) in enumerate(ANSWERS.items()):
            key = jax.random.fold_in(jax.random.key(i), number)
            found[name][spec] = np.asarray(change(probabilities, key))
    return found


def judge(zoo: Zoo, material: Material, variant: Variant) -> dict[str, Any]:
    """Scores of each method, how well they tell the homologous from strangers, and the traces."""
    scores = all_scores(zoo, dataclasses.replace(material, unseen={}), variant)
    traces = sibling_results(variant, zoo, material.answers)
    return {
        "methods": {
            method: {"scores": values.tolist(), "against": by_kind(zoo, values)}
            for method, values in scores.items()
            if np.isfinite(values).all()  # without alignment, widths must be alike
        },
        "sibling_test": traces,
    }


def robustness(zoo: Zoo, pool: Pool, args: Args) -> dict[str, Any]:
    """Every transformation, judged by every method."""
    material = gather(zoo, pool, args.out)
    chosen, _ = choose(zoo, material.answers)
    specs = trained_otherwise(zoo, args, pool)
    pool.train([spec for of_name in specs.values() for spec in of_name])
    queries = pool.examples(zoo.row.source, "train").inputs[: zoo.row.num_queries]
    known = tuple(s for s in zoo.suspects if s.kind in ("homologous", "scratch", "sibling"))
    console.print("[bold]6. Transformations[/]")
    found = {"none": judge(dataclasses.replace(zoo, suspects=known), material, chosen)}
    for name, changed in specs.items():
        half = len(changed) // 2
        made = [Suspect(spec, "homologous") for spec in changed[:half]]
        made += [Suspect(spec, "sibling") for spec in changed[half:]]
        answers = {spec: pool.responses(spec, queries).values for spec in changed}
        found[name] = judge(
            dataclasses.replace(zoo, suspects=tuple(made)),
            dataclasses.replace(material, answers={**material.answers, **answers}),
            chosen,
        )
    few = dataclasses.replace(zoo, suspects=known)
    for name, answers in transformed(few, pool, queries).items():
        changed = dataclasses.replace(material, answers={**material.answers, **answers})
        found[name] = judge(few, changed, chosen)
    accuracies = {spec.address: pool.accuracy(spec) for of in specs.values() for spec in of}
    return {
        "chosen": str(chosen),
        "transformations": found,
        "models": accuracies,
    }


def main(args: Args) -> dict[str, Any]:
    """Runs all transformations; see the module's docstring."""
    pool = open_pool(args)
    start, zoo = time.perf_counter(), make_zoo(args)
    changes = [trained_otherwise(zoo, args, pool), list(WEIGHTS), list(ANSWERS)]
    folder = args.out / address(f"robustness-{zoo.row.name}", [zoo.address, changes])
    if not (folder / "results.json").is_file():
        found = sum(pool.is_trained(spec) for spec in zoo.specs)
        results = robustness(zoo, pool, args)
        write_results(folder, results, settings(args), start, found)
    results = files.read_json(folder / "results.json")
    grid = {
        name: {method: m["against"]["sibling"]["auc"] for method, m in of["methods"].items()}
        for name, of in results["transformations"].items()
    }
    reporting.plot_grid(folder / "robustness.png", grid, "AUC by model, against sibling")
    show(results, folder)
    return results


def traced(of_transformation: dict[str, Any], kind: str) -> str:
    """Of how many models of a kind the source came first, in words."""
    groups = of_transformation["sibling_test"].items()
    traces = [t for name, t in groups if name.split(",")[0] == kind]
    return f"{sum(t['first'] for t in traces)} of {sum(t['models'] for t in traces)}"


def show(results: dict[str, Any], folder: Path) -> None:
    """Prints the AUC of each method after each transformation, and the source's first places."""
    shown = ("linear CKA", "fit to source", "MGMP paper", "MGMP extended")
    table = Table(title="Homologous against sibling, AUC by model; and traced to the source")
    for column in ("transformation", *shown, "sibling test: source first"):
        table.add_column(column)
    for name, of_name in results["transformations"].items():
        found = (of_name["methods"].get(method) for method in shown)
        aucs = (f"{m['against']['sibling']['auc']:.2f}" if m else "-" for m in found)
        table.add_row(name, *aucs, traced(of_name, "homologous"))
    console.print(table)
    names = ("results.json", "robustness.png")
    console.print("Files: " + ", ".join(str(folder / name) for name in names), soft_wrap=True)


if __name__ == "__main__":
    run(main, Args)
