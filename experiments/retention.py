"""When the paper's method works: accuracy per fragment against what is left of the source.

    python experiments/retention.py --preset small --data-dir DIR     # narrow models, for CPUs
    python experiments/retention.py --preset demo                     # generated images

A well-trained source is fine-tuned on ten tasks, at several strengths from hardly begun to much.
For each strength MGMP learns from five tasks and is evaluated on the other five: with and without
generator at equally many steps, and extended; once more with the logits of all models at one scale,
and without generator by log-probabilities. Beside each stand the source's accuracy that is left in
the descendants and their accuracy on their own task, the accuracy on the pool's own models, and how
large latents and responses are. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import address, draw_picture, open_store, results_of, run, show
from configs.cifar import ROWS
from configs.common import at_least_one
from configs.retention import EVALUATION, ONE_SCALE, POOL, PRESETS, VARIANTS, Args

if TYPE_CHECKING:
    from _rows import Answering, Row

    from mgmp_jax.store import ModelSpec, ModelStore


def make_rows(args: Args, family: int) -> dict[str, Row]:
    """Makes a row for each strength of fine-tuning, of one source and its tasks."""
    from _rows import Row, TaskPair
    from _specs import recipe_for, source_and_target
    from _variants import changed, variants

    from mgmp_jax.config import PAPER

    preset = PRESETS[args.preset]
    source, target = source_and_target(preset, args.arch, preset.data)
    source = dataclasses.replace(source, seed=family)
    width = preset.generator_width.get(args.arch)
    made = variants(PAPER.replace(generator=args.arch, generator_width=width, **preset.mgmp), [])
    steps = {"epochs": preset.mgmp["epochs"]}
    made = {
        name: changed(made[base], **(steps if base.startswith("paper") else {}), **changes)
        for name, (base, changes) in VARIANTS.items()
    }
    made["extended"] = changed(made["extended"], checkpoints=False)
    rows = {}
    for few, rate in preset.strengths:
        epochs = preset.lengthen(few, args.arch)
        recipe = recipe_for((epochs, preset.target[1], rate), args.arch, preset.data)

        def pair(subset: int, recipe: Any = recipe) -> TaskPair:
            task = dataclasses.replace(target, subset=subset, seed=family + 1 + subset)
            descendant = source.descendant(dataclasses.replace(task, recipe=recipe))
            return TaskPair(f"subset {subset}", descendant, task)

        strength = f"{epochs} {'epoch' if epochs == 1 else 'epochs'}, {recipe.learning_rate:g}"
        rows[strength] = Row(
            name=f"retention-{preset.data}-{args.arch}-{args.preset}",
            source=source,
            pool=tuple(map(pair, POOL)),
            evaluation=tuple(map(pair, EVALUATION)),
            num_queries=preset.num_queries,
            variants=made,
            seeds=1,
        )
    return rows


def measure(row: Row, store: ModelStore, folder: Path) -> dict[str, Any]:
    """Fits and evaluates all variants on one strength."""
    from _rows import Answering, Scaled, evaluate

    queries = store.queries(row.source, count=row.num_queries)
    answering, found = Answering(store, row, queries), {}
    swapped = dataclasses.replace(answering, row=dataclasses.replace(row, evaluation=row.pool))
    scaled = Scaled(store, row, queries), Scaled(store, swapped.row, queries)
    kinds = {name: (answering, swapped) for name in row.variants} | dict.fromkeys(ONE_SCALE, scaled)
    for name, (asking, on_pool) in kinds.items():
        variant = row.variants[ONE_SCALE.get(name, name)]
        place = folder / address(name, [row.source, row.pool, variant])
        method = asking.fit_or_load(place, variant, name)
        summary, of_pool = (evaluate(a, variant, [method]) for a in (asking, on_pool))
        z, y = method.latents, method.source.values
        found[name] = {
            **summary,
            "on_pool": of_pool["accuracy"],
            "rms_z": None if z is None else float(np.sqrt(np.mean(z**2))),
            "rms_y": float(np.sqrt(np.mean(y**2))),
        }
    return {**what_is_left(answering), "methods": found}


def what_is_left(answering: Answering) -> dict[str, Any]:
    """Measures descendants on the source's queries, all targets on their tasks, and all weights."""
    from _rows import left_of_the_source

    store, row, own, scratch = answering.store, answering.row, {}, {}
    independence: dict[str, dict[str, float]] = {"homologous": {}, "non_homologous": {}}
    for pair in row.pairs:
        own[pair.task] = store.accuracy(pair.homologous)["test"]
        scratch[pair.task] = store.accuracy(pair.non_homologous)["test"]
        for kind, p in independence.items():
            p[pair.task] = compare_weights(store, row.source, getattr(pair, kind))
    return {
        "left_of_the_source": left_of_the_source(answering),
        "own_task": own,
        "own_task_from_scratch": scratch,
        "independence_p": independence,
    }


@functools.cache
def compare_weights(store: ModelStore, source: ModelSpec, suspect: ModelSpec) -> float:
    """Tests once for all strengths whether two models began independently."""
    from mgmp_jax.independence import independence_p

    return independence_p(*(store.variables(spec)["params"] for spec in (source, suspect)))


def curves(results: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Gathers the points of the picture: means over tasks and families, with their spread."""
    drawn: dict[str, dict[str, list[float]]] = {}
    for families in results["strengths"].values():
        left, own = (
            float(np.mean([[*family[key].values()] for family in families]))
            for key in ("left_of_the_source", "own_task")
        )
        for name in families[0]["methods"]:
            accuracies = [family["methods"][name]["accuracy"] for family in families]
            point = {"left": left, "own": own, "accuracy": fmean(accuracies)}
            if len(accuracies) > 1:
                point["spread"] = stdev(accuracies)
            curve = drawn.setdefault(name, {})
            for key, value in point.items():
                curve.setdefault(key, []).append(value)
    return drawn


def main(args: Args) -> dict[str, Any]:
    """Runs all strengths of all families; see the module's docstring."""
    import tables
    from _rows import train_models

    from mgmp_jax import reporting

    families = [make_rows(args, i) for i in range(at_least_one("families", args.families))]
    store, rows = open_store(args), [row for family in families for row in family.values()]
    folder = args.out / address(rows[0].name, [rows, ONE_SCALE])

    def make() -> dict[str, Any]:
        train_models(list(dict.fromkeys(spec for row in rows for spec in row.specs)), store, args)
        return {
            "arch": args.arch,
            "sources": [store.accuracy(family[next(iter(family))].source) for family in families],
            "strengths": {
                strength: [measure(family[strength], store, args.out) for family in families]
                for strength in families[0]
            },
        }

    results = results_of("retention", folder, args, make)
    row, figures = next((n, paper) for n, (arch, *_, paper) in ROWS.items() if arch == args.arch)
    paper = tuple(map(float, re.findall(r"0\.\d+(?= ±)", figures)))
    lines = {"row": row, "paper": paper}
    draw_picture(reporting.plot_retention, folder / "retention.png", curves(results), **lines)
    table = tables.pivot("fine-tuned for", tables.retention(results))
    show(table, folder, "results.json", "retention.png")
    return results


if __name__ == "__main__":
    run(main, Args)
