"""MGMP, every baseline and the sibling test on the same queries, against every kind of negative.

    python experiments/compare.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/compare.py --preset demo                    # generated images

Scores are counted by model. The sibling test's statistic is chosen on the pool's models and
judged on the suspects. Run it again to go on after an interruption.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from command import address, open_pool, run, settings, write_results
from pipeline import PoolAnswers, fit_method, slug, take_responses, train_mgmp
from rich.table import Table
from row import Method, Row
from tracing import (
    ALL,
    Answers,
    Variant,
    all_results,
    choose_variant,
    minus_p,
    take_part,
)
from zoo import KINDS, Args, Zoo, make_zoo

from mgmp_jax import baselines, files, models, reporting, training
from mgmp_jax.config import PAPER_WITHOUT_GENERATOR
from mgmp_jax.data.mixup import mixup
from mgmp_jax.pool import Pool
from mgmp_jax.responses import Responses, query_digest
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

NUM_QUERIES = (8, 16, 32, 64, 128, 256, 1000)
DRAWS = 3


QUERIES: tuple[str, ...] = ("training images", "unseen images", "mixed images")
"""Kinds of queries: what the source was trained on; what no model was; averages of two of these."""
TRAINING, UNSEEN, MIXED = QUERIES


@dataclasses.dataclass(frozen=True)
class Material:
    """What all methods judge by.

    Args:
        queries: images of each of :data:`QUERIES`.
        answers: of every model, by kind of queries.
        labels: of training and unseen images.
        verifiers: the variants of MGMP, by name; they judge by training images.
    """

    queries: Mapping[str, np.ndarray]
    answers: Mapping[str, Answers]
    labels: Mapping[str, np.ndarray]
    verifiers: Mapping[str, Verifier]


def similarities(zoo: Zoo, answers: Answers) -> dict[str, np.ndarray]:
    """The scores of all suspects by every statistic of responses."""
    source, scores = answers[zoo.row.source], {}
    targets = [answers[suspect.spec] for suspect in zoo.suspects]
    for name, statistic in baselines.RESPONSE_STATISTICS.items():
        if name == "mutual neighbours" and len(source) <= 10:
            continue
        scores[name] = np.array([float(statistic(source, target)) for target in targets])
    return scores


def mistakes(zoo: Zoo, answers: Answers, labels: np.ndarray) -> np.ndarray:
    """The agreement of all suspects with the source's mistakes."""
    source = answers[zoo.row.source]
    return np.array(
        [
            float(baselines.mistake_agreement(source, answers[suspect.spec], labels))
            for suspect in zoo.suspects
        ]
    )


def weights(source: Any, targets: Sequence[Any]) -> dict[str, np.ndarray]:
    """What can be said of all suspects with their parameters in hand."""
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


def verdict_scores(
    verifier: Verifier, zoo: Zoo, answers: Answers, part: np.ndarray | None = None
) -> np.ndarray:
    """DNA scores of all suspects on all queries or a part of them.

    NaN for a suspect of another width than the source's where responses are not aligned.
    """
    if part is not None:
        queries = verifier.queries[part]
        latents = verifier.latents if verifier.config.generator is None else None
        verifier = Verifier(
            verifier.config,
            verifier.variables,
            queries,
            _as_responses(verifier, verifier.source.values[part], queries),
            None if latents is None else latents[part],
        )
    scores, width = [], verifier.source.values.shape[1]
    for suspect in zoo.suspects:
        values = answers[suspect.spec]
        if not verifier.config.align and values.shape[1] != width:
            scores.append(np.nan)
            continue
        if verifier.config.response == "logprobs":
            values = np.asarray(jax.nn.log_softmax(values))
        values = values if part is None else values[part]
        scores.append(verifier.score(_as_responses(verifier, values, verifier.queries)))
    return np.array(scores)


def _as_responses(verifier: Verifier, values: np.ndarray, queries: np.ndarray) -> Responses:
    return Responses(values, verifier.config.response, query_digest(queries))


def frozen_methods(row: Row) -> dict[str, Method]:
    """The paper's MGMP and the extended one, with a generator that stays as it was initialised.

    The paper's classifier is trained as the one without generator, many epochs of it.
    """
    paper, extended = (row.methods[name] for name in ("paper", "extended"))
    config = PAPER_WITHOUT_GENERATOR.replace(
        response=paper.config.response, batch_size=paper.config.batch_size
    )
    return {
        "paper, frozen random generator": Method(config, snapshots=False),
        "extended, frozen random generator": dataclasses.replace(extended, generators=()),
    }


def frozen_random(
    row: Row, queries: np.ndarray, answers: PoolAnswers, folder: Path
) -> dict[str, Verifier]:
    """Trains :func:`frozen_methods`, or finds them in ``folder``."""
    paper = row.methods["paper"]
    width = paper.config.generator_width
    source = answers[paper.config.response, row.source, row.source.recipe.epochs]
    module = models.create(
        paper.config.generator or "",
        num_outputs=source.values.shape[1],
        **({} if width is None else {"width": width}),
    )
    variables = module.init(jax.random.key(3001), jnp.zeros((1, 32, 32, 3)), train=False)
    outputs, embedding = training.predict(module, variables, queries)
    return {
        name: fit_method(
            row,
            method,
            queries,
            answers,
            latents=embedding if method.consensus else outputs,
            folder=folder / slug(name),
            name=name,
        )
        for name, method in frozen_methods(row).items()
    }


def by_kind(zoo: Zoo, scores: np.ndarray) -> dict[str, Any]:
    """How well the homologous suspects stand apart from those of each other kind."""
    positive = scores[zoo.of_kind("homologous")]
    return {
        kind: reporting.separation(positive, scores[zoo.of_kind(kind)])
        for kind in KINDS
        if kind != "homologous" and zoo.of_kind(kind)
    }


def against_queries(
    score: Callable[[np.ndarray], dict[str, np.ndarray]], zoo: Zoo, num_queries: int
) -> dict[str, dict[str, dict[str, float]]]:
    """The AUC of each method against each kind, for several numbers of queries, mean of draws."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for n in (*(n for n in NUM_QUERIES if n < num_queries), num_queries):
        rng = np.random.default_rng(n)
        aucs: dict[tuple[str, str], list[float]] = {}
        for _ in range(DRAWS if n < num_queries else 1):
            part = np.sort(rng.permutation(num_queries)[:n])
            for method, scores in score(part).items():
                for kind, of_kind in by_kind(zoo, scores).items():
                    aucs.setdefault((method, kind), []).append(of_kind["auc"])
        for (method, kind), values in aucs.items():
            found.setdefault(method, {}).setdefault(kind, {})[str(n)] = float(np.mean(values))
    return found


def gather(zoo: Zoo, pool: Pool, out: Path) -> Material:
    """Trains all models and all MGMPs that are not there yet, and takes all answers."""
    generators = [g for method in zoo.row.methods.values() for g in method.generators]
    console.print(f"[bold]1. {len(zoo.specs)} models[/] and a generator")
    pool.train([*zoo.specs, *generators])
    examples = pool.examples(zoo.row.source, "train").take(zoo.row.num_queries)
    unseen = pool.examples(zoo.row.source, "test").take(zoo.row.num_queries)
    of_row = take_responses(zoo.row, pool, examples.inputs)
    folder = out / zoo.row.address
    trained = train_mgmp(zoo.row, pool, folder, examples.inputs, of_row)
    verifiers = {name: verifier for (name, _), verifier in trained.items()}
    verifiers |= frozen_random(zoo.row, examples.inputs, of_row, folder)
    images = (examples.inputs, unseen.inputs, mixup(unseen.inputs))
    queries = dict(zip(QUERIES, images, strict=True))
    return Material(
        queries,
        {
            name: {spec: pool.responses(spec, inputs).values for spec in zoo.specs}
            for name, inputs in queries.items()
        },
        {TRAINING: examples.labels, UNSEEN: unseen.labels},
        {f"MGMP {name}": verifier for name, verifier in verifiers.items()},
    )


def choose(zoo: Zoo, answers: Answers) -> tuple[Variant, list[dict[str, Any]]]:
    """:func:`choose_variant` on the first thousand queries."""
    first = np.arange(min(1000, len(answers[zoo.row.source])))
    return choose_variant(zoo, take_part(answers, first))


def all_scores(
    zoo: Zoo, material: Material, variants: Mapping[str, Variant], part: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The scores of all suspects by every method that needs answers only.

    Args:
        zoo: whose suspects.
        material: what to judge by.
        variants: of the sibling test, by kind of queries.
        part: of the training images; of queries of other kinds, of which there may be fewer, as
            large a share is taken.
    """
    number = len(material.labels[TRAINING])
    of_training = np.arange(number) if part is None else part
    parts = {
        name: np.unique(of_training * len(inputs) // number)
        for name, inputs in material.queries.items()
    }
    some = {name: take_part(answers, parts[name]) for name, answers in material.answers.items()}
    labels = material.labels[UNSEEN][parts[UNSEEN]]
    return {
        **similarities(zoo, some[TRAINING]),
        "agreement on mistakes, unseen images": mistakes(zoo, some[UNSEEN], labels),
        **{
            name: verdict_scores(verifier, zoo, material.answers[TRAINING], part)
            for name, verifier in material.verifiers.items()
        },
        **{
            f"sibling test, {name}": minus_p(variant, zoo, some[name])
            for name, variant in variants.items()
        },
    }


def compare(zoo: Zoo, pool: Pool, material: Material) -> dict[str, Any]:
    """All scores of all methods, and what the sibling test says."""
    console.print("[bold]5. Comparison[/]")
    found = {name: choose(zoo, answers) for name, answers in material.answers.items()}
    variants = {name: chosen for name, (chosen, _) in found.items()}
    source, *targets = (
        pool.variables(spec)["params"] for spec in (zoo.row.source, *(s.spec for s in zoo.suspects))
    )
    methods = {**all_scores(zoo, material, variants), **weights(source, targets)}
    num_queries = len(material.labels[TRAINING])
    return {
        "models": {spec.address: pool.accuracy(spec) for spec in zoo.specs},
        "suspects": [{"model": s.spec.address, "kind": s.kind} for s in zoo.suspects],
        "methods": {
            name: {"scores": values.tolist(), "against": by_kind(zoo, values)}
            for name, values in methods.items()
        },
        "num_queries": num_queries,
        "against_queries": against_queries(
            lambda part: all_scores(zoo, material, variants, part), zoo, num_queries
        ),
        "sibling_test": {
            name: {
                "chosen": str(chosen),
                "on_pool_tasks": tried,
                **all_results(zoo, material.answers[name], chosen),
            }
            for name, (chosen, tried) in found.items()
        },
    }


def main(args: Args) -> dict[str, Any]:
    """Runs the comparison; see the module's docstring."""
    pool = open_pool(args)
    zoo, start = make_zoo(args), time.perf_counter()
    methods = [list(baselines.RESPONSE_STATISTICS), frozen_methods(zoo.row)]
    what = [zoo.address, methods, [str(variant) for variant in ALL], QUERIES, NUM_QUERIES, DRAWS]
    folder = args.out / address(f"compare-{zoo.row.name}", what)
    if not (folder / "results.json").is_file():
        found = sum(pool.is_trained(spec) for spec in zoo.specs)
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
