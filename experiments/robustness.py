"""What a descendant may have gone through before it is met, against every method.

    python experiments/robustness.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/robustness.py --preset demo                    # generated images

Reads the zoo of compare.py from the same --out and trains what it lacks. Strangers go through the
same where it is done to weights or answers. Run it again to go on after an interruption.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from command import claim, run
from compare import Material, all_scores, by_kind, choose, gather, write_results
from rich.table import Table
from tracing import Answers, Statistic, sibling_results
from zoo import PRESETS, Args, Suspect, Zoo, make_zoo

from mgmp_jax import files, training, transformations
from mgmp_jax.pool import Pool
from mgmp_jax.spec import ModelSpec
from mgmp_jax.training import console

WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "pruned 20 %": lambda params: transformations.prune(params, 0.2),
    "pruned 50 %": lambda params: transformations.prune(params, 0.5),
    "pruned 80 %": lambda params: transformations.prune(params, 0.8),
    "int8": transformations.to_int8,
    "float16": transformations.to_float16,
}
"""What is done to a suspect's weights."""

ANSWERS: dict[str, Callable[[Any], Any]] = {
    "rounded to 2 decimals": lambda p: _log(transformations.round_to(p, 2)),
    "temperature 4": lambda p: _log(transformations.temper(p, 4.0)),
    "top 3": lambda p: _log(transformations.keep_top(p, 3)),
    "label only": transformations.one_hot_label,
    "ranks": transformations.ranks,
    "noise 0.1": lambda p: transformations.add_noise(_log(p), 0.1, jax.random.key(0)),
    "noise 1": lambda p: transformations.add_noise(_log(p), 1.0, jax.random.key(0)),
}
"""What is done to a suspect's probabilities, and how it is read; noise is on their logarithms."""


def _log(probabilities: Any) -> Any:
    return jnp.log(jnp.maximum(probabilities, 1e-6))


def trained_otherwise(zoo: Zoo, args: Args, pool: Pool) -> dict[str, list[ModelSpec]]:
    """Descendants and students of the source that were made otherwise than the zoo's."""
    source, target = zoo.row.source, PRESETS[args.preset].target
    kept = [s.spec for s in zoo.suspects if s.kind == "homologous" and s.spec.head == "keep"]
    recipe = dataclasses.replace(kept[0].recipe, snapshots=1)
    long = dataclasses.replace(
        recipe, epochs=4 * target.epochs, learning_rate=3 * recipe.learning_rate
    )
    last = dataclasses.replace(recipe, frozen=len(pool.module(source).layers) - 1)
    pupils = [source.sibling(spec.seed) for spec in kept]

    def changed(**changes: Any) -> list[ModelSpec]:
        return [dataclasses.replace(spec, **changes) for spec in kept]

    return {
        "last layer only": changed(recipe=last, head="reinit"),
        "100 classes": changed(subset=None, head="reinit"),
        "long, high learning rate": changed(recipe=long),
        "distilled": [source.student(pupil) for pupil in pupils],
        "extracted from labels": [source.student(pupil, "labels") for pupil in pupils],
    }


def transformed(zoo: Zoo, pool: Pool, queries: np.ndarray) -> Mapping[str, Answers]:
    """What the suspects answer after each of :data:`WEIGHTS` and :data:`ANSWERS`."""
    found: dict[str, dict[ModelSpec, np.ndarray]] = {}
    for spec in (suspect.spec for suspect in zoo.suspects):
        variables, module = pool.variables(spec), pool.module(spec)
        for name, change in WEIGHTS.items():
            changed = {**variables, "params": change(variables["params"])}
            found.setdefault(name, {})[spec] = training.predict(module, changed, queries)[0]
        probabilities = jnp.asarray(pool.responses(spec, queries, kind="probs").values)
        for name, change in ANSWERS.items():
            found.setdefault(name, {})[spec] = np.asarray(change(probabilities))
    return found


def judge(zoo: Zoo, material: Material, statistic: Statistic) -> dict[str, Any]:
    """Scores of each method, how well they tell the homologous from strangers, and the traces."""
    scores = all_scores(zoo, material, statistic)
    traces = sibling_results(statistic, zoo, material.answers)
    return {
        "methods": {
            method: {"scores": values.tolist(), **by_kind(zoo, values)["scratch"]}
            for method, values in scores.items()
        },
        "sibling_test": traces,
    }


def robustness(zoo: Zoo, pool: Pool, args: Args) -> dict[str, Any]:
    """Every transformation, judged by every method."""
    material = gather(zoo, pool, args.out)
    chosen, _ = choose(zoo, material)
    specs = trained_otherwise(zoo, args, pool)
    pool.train([spec for of_name in specs.values() for spec in of_name])
    queries = pool.examples(zoo.row.source, "train").inputs[: zoo.row.num_queries]
    known = tuple(s for s in zoo.suspects if s.kind in ("homologous", "scratch"))
    console.print("[bold]6. Transformations[/]")
    found = {"none": judge(dataclasses.replace(zoo, suspects=known), material, chosen)}
    scratch = tuple(s for s in known if s.kind == "scratch")
    for name, changed in specs.items():
        made = tuple(Suspect(spec, "homologous", zoo.row.source) for spec in changed)
        answers = {spec: pool.responses(spec, queries).values for spec in changed}
        found[name] = judge(
            dataclasses.replace(zoo, suspects=made + scratch),
            dataclasses.replace(material, answers={**material.answers, **answers}),
            chosen,
        )
    few = dataclasses.replace(zoo, suspects=known)
    for name, answers in transformed(few, pool, queries).items():
        changed = dataclasses.replace(material, answers={**material.answers, **answers})
        found[name] = judge(few, changed, chosen)
    accuracies = {spec.address: pool.accuracy(spec) for of in specs.values() for spec in of}
    return {
        "chosen": f"{chosen.name}, {chosen.consensus}",
        "transformations": found,
        "models": accuracies,
    }


def main(args: Args) -> dict[str, Any]:
    """Runs all transformations; see the module's docstring."""
    claim(args.out)
    start, zoo = time.perf_counter(), make_zoo(args)
    pool = Pool(args.out / "models", args.data_dir, download=True)
    folder = args.out / f"robustness-{zoo.row.address}"
    if not (folder / "results.json").is_file():
        found = sum(pool.is_trained(spec) for spec in zoo.specs)
        write_results(folder, robustness(zoo, pool, args), args, start, found)
    results = files.read_json(folder / "results.json")
    show(results)
    console.print(f"Files: {folder / 'results.json'}", soft_wrap=True)
    return results


def show(results: dict[str, Any]) -> None:
    """Prints the AUC of each method after each transformation, and the source's first places."""
    shown = ("linear CKA", "fit to source", "MGMP paper", "MGMP extended")
    table = Table(title="Homologous against scratch, AUC by model; and traced to the source")
    for column in ("transformation", *shown, "sibling test: source first"):
        table.add_column(column)
    for name, of_name in results["transformations"].items():
        aucs = (f"{of_name['methods'][method]['auc']:.2f}" for method in shown)
        traces = [t for kind, t in of_name["sibling_test"].items() if kind != "scratch"]
        first, models = (sum(t[key] for t in traces) for key in ("first", "models"))
        table.add_row(name, *aucs, f"{first} of {models}")
    console.print(table)


if __name__ == "__main__":
    run(main, Args)
