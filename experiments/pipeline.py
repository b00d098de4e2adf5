"""A row of the paper's Table 1 or 2, from data to verdicts, in five steps.

Whatever is already in the output folder is used again, so a run that was cut off goes on and
a finished one ends at once.
"""

import dataclasses
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from command import write_results
from rich.table import Table
from row import Method, Pair, Row

from mgmp_jax import files, mgmp, reporting
from mgmp_jax.fragments import consensus
from mgmp_jax.pool import ModelSpec, Pool
from mgmp_jax.responses import ResponseKind, Responses
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

THRESHOLD = 0.9

PoolAnswers = Mapping[tuple[ResponseKind, ModelSpec, int], Responses]
"""Responses by their kind, the model and the epoch after which it gave them."""


def run_row(row: Row, models: Pool, out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Makes the row's models, trains and judges MGMP, writes ``results.json`` and pictures.

    Args:
        row: what to do.
        models: where its models are, or will be.
        out: the folder that the row's own folder is in.
        settings: what the row was made from, for ``results.json``.

    Returns:
        The content of ``results.json``.
    """
    folder = out / row.address
    results_path = folder / "results.json"
    start = time.perf_counter()
    files.write_json(folder / "config.json", settings)
    if not results_path.is_file():
        found = _train_models(row, models, settings.get("together", 1))
        queries = models.examples(row.source, "train").inputs[: row.num_queries]
        answers = take_responses(row, models, queries)
        verifiers = train_mgmp(row, models, folder, queries, answers)
        results = _evaluate(row, models, answers, verifiers)
        _draw(row, folder, models, answers, verifiers)
        write_results(folder, results, settings, start, found)
    results = files.read_json(results_path)
    _print(row, folder, results)
    return results


def _train_models(row: Row, models: Pool, together: int) -> int:
    """Trains what is missing; returns how many models were there already."""
    targets = _specs(row.pool + row.evaluation)
    generators = [g for method in row.methods.values() for g in method.generators]
    found = sum(models.is_trained(spec) for spec in {row.source, *generators, *targets})
    for spec in (row.source, *generators, *targets):  # what is missing is said before hours pass
        models.examples(spec, "train")
    console.print("[bold]1. Source[/] and generators")
    models.train([row.source])
    models.train(generators)
    console.print("[bold]2. Pool and evaluation models[/]")
    models.train(targets, together=together)
    return found


def take_responses(row: Row, models: Pool, queries: np.ndarray) -> PoolAnswers:
    """The responses of all models of a row that its methods read, computed once and kept."""
    console.print(f"[bold]3. Responses[/] on {len(queries)} training examples of the source")
    return {
        (kind, spec, epoch): models.responses(spec, queries, kind=kind, epoch=epoch)
        for kind, spec, epoch in dict.fromkeys(_needed(row))
    }


def _needed(row: Row) -> Iterator[tuple[ResponseKind, ModelSpec, int]]:
    for method in row.methods.values():
        kind = method.config.response
        for spec in (row.source, *_specs(row.evaluation)):
            yield kind, spec, spec.recipe.epochs
        for spec in _specs(row.pool):
            for epoch in method.pool_epochs(spec):
                yield kind, spec, epoch
        if method.consensus:
            for pair in row.pool:
                yield "logits", pair.non_homologous, pair.non_homologous.recipe.epochs


def train_mgmp(
    row: Row, models: Pool, folder: Path, queries: np.ndarray, answers: PoolAnswers
) -> dict[tuple[str, int], Verifier]:
    """Trains every method of a row once a seed, or finds it in ``folder``."""
    console.print("[bold]4. MGMP[/]")
    verifiers = {}
    for name, method in row.methods.items():
        start = None
        if method.generator_start is not None:
            start = models.starting_params(method.generator_start)
        for seed in range(row.seeds):
            latents = None
            if method.generators:
                generator = method.generators[seed]
                latents = models.responses(generator, queries, kind="embedding").values
            verifiers[name, seed] = fit_method(
                row,
                method,
                queries,
                answers,
                latents=latents,
                generator_params=start,
                seed=seed,
                folder=folder / slug(name) / f"seed{seed}",
                name=f"{name}, seed {seed}",
            )
    return verifiers


def fit_method(
    row: Row,
    method: Method,
    queries: np.ndarray,
    answers: PoolAnswers,
    *,
    latents: np.ndarray | None = None,
    generator_params: Any = None,
    seed: int = 0,
    folder: Path,
    name: str,
) -> Verifier:
    """Trains a method on a row's pool, or finds it in ``folder``.

    Args:
        row: source and pool.
        method: what to train.
        queries: training examples of the source.
        answers: of source and pool on them.
        latents: of a fixed generator.
        generator_params: what a generator starts from that is trained.
        seed: of the training.
        folder: where it is kept.
        name: for the progress that it shows.
    """
    if (folder / "verifier" / "verifier.json").is_file():
        return Verifier.load(folder / "verifier")
    kind = method.config.response
    source = answers[kind, row.source, row.source.recipe.epochs]
    homologous, non_homologous = (
        [answers[kind, m, epoch] for m in side for epoch in method.pool_epochs(m)]
        for side in (
            [pair.homologous for pair in row.pool],
            [pair.non_homologous for pair in row.pool],
        )
    )
    of_pool = latents
    if method.consensus:
        of_tasks = [
            answers["logits", p.non_homologous, p.non_homologous.recipe.epochs] for p in row.pool
        ]
        tasks = [i for i, p in enumerate(row.pool) for _ in method.pool_epochs(p.homologous)]
        latents, of_pool = consensus(latents, of_tasks, tasks)
    variables = mgmp.fit(
        method.config,
        queries,
        source,
        homologous,
        non_homologous,
        latents=of_pool,
        generator_params=generator_params,
        seed=seed,
        folder=folder,
        name=name,
    )
    verifier = Verifier(method.config, variables, queries, source, latents)
    verifier.save(folder / "verifier")
    return verifier


def _evaluate(
    row: Row, models: Pool, answers: PoolAnswers, verifiers: Mapping[tuple[str, int], Verifier]
) -> dict[str, Any]:
    console.print("[bold]5. Evaluation[/] on models and tasks never seen")
    generators = [g for method in row.methods.values() for g in method.generators]
    specs = [row.source, *generators, *_specs(row.pool + row.evaluation)]
    accuracies = {spec.address: models.accuracy(spec) for spec in specs}
    results = {"row": row.name, "paper": row.paper, "methods": {}, "models": accuracies}
    for name, method in row.methods.items():
        seeds = [verifiers[name, seed] for seed in range(row.seeds)]
        scores, judged = [], []
        for pair in row.evaluation:
            for spec in _specs([pair]):
                suspect = answers[method.config.response, spec, spec.recipe.epochs]
                by_seed = np.stack([verifier.fragment_scores(suspect) for verifier in seeds])
                scores.append(by_seed)
                judged.append(
                    {
                        "model": spec.address,
                        "task": pair.task,
                        "truth": "homologous" if spec is pair.homologous else "not homologous",
                        "dna_score_by_seed": by_seed.mean(axis=1, dtype=np.float64).tolist(),
                        "verdict_seed0": seeds[0].judge(suspect, THRESHOLD).verdict,
                    }
                )
        homologous, non_homologous = (np.stack(scores[i::2], axis=1) for i in (0, 1))
        results["methods"][name] = {
            "config": dataclasses.asdict(method.config),
            **reporting.summarise(homologous, non_homologous, THRESHOLD),
            "evaluation": judged,
        }
    return results


def _draw(
    row: Row,
    folder: Path,
    models: Pool,
    answers: PoolAnswers,
    verifiers: Mapping[tuple[str, int], Verifier],
) -> None:
    name = list(row.methods)[-1]
    verifier = verifiers[name, 0]
    kind = verifier.config.response
    some = slice(300)
    fragments, scores = {}, {}
    for pair in row.evaluation:
        suspects = [answers[kind, spec, spec.recipe.epochs] for spec in _specs([pair])]
        dna = [
            mgmp.fragments(verifier.config, verifier.latents, verifier.source, suspect)
            for suspect in suspects
        ]
        sets = {"source": dna[0][0], "homologous": dna[0][1], "non-homologous": dna[1][1]}
        fragments[pair.task] = {role: values[some] for role, values in sets.items()}
        roles = ("homologous", "non-homologous")
        scored = [verifier.fragment_scores(suspect) for suspect in suspects]
        scores[pair.task] = dict(zip(roles, scored, strict=True))
    reporting.plot_fragments(folder / "fragments.png", dict(list(fragments.items())[:3]))
    reporting.plot_scores(folder / "scores.png", scores, THRESHOLD)
    pairs = row.pool + row.evaluation
    curves = {
        "source": [row.source],
        "homologous": [p.homologous for p in pairs],
        "non-homologous": [p.non_homologous for p in pairs],
    }
    paths = {
        role: [models.folder / spec.address / "metrics.jsonl" for spec in specs]
        for role, specs in curves.items()
    }
    paths = {role: [p for p in of_role if p.is_file()] for role, of_role in paths.items()}
    mgmp_paths = {
        method: [folder / slug(method) / f"seed{s}" / "metrics.jsonl" for s in range(row.seeds)]
        for method in row.methods
    }
    panels = {"models": paths, "MGMP, fragments of the pool": mgmp_paths}
    reporting.plot_training(folder / "training.png", panels)


def _print(row: Row, folder: Path, results: dict[str, Any]) -> None:
    table = Table(title=f"{row.name}: unseen models and tasks")
    for column in ("method", "accuracy per fragment", "AUC", "missed", "false alarms"):
        table.add_column(column, justify="left" if column == "method" else "right")
    table.add_row("the paper's own models", row.paper.split(" (")[0], "", "", "")
    for name, summary in results["methods"].items():
        counts = (reporting.count(summary, key) for key in ("missed", "false_alarms"))
        table.add_row(name, reporting.accuracy(summary), f"{summary['auc']:.3f}", *counts)
    console.print(table)
    console.print(
        "Missed are homologous, false alarms non-homologous models, over all seeds, judged wrongly "
        f"at DNA level with threshold {THRESHOLD} (in brackets: ½).\n"
    )
    name = list(results["methods"])[-1]
    verdicts = Table(title=f"{name}: verdicts at threshold {THRESHOLD}, first seed")
    for column in ("task", "truth", "DNA score", "verdict"):
        verdicts.add_column(column)
    for judged in results["methods"][name]["evaluation"]:
        score = f"{judged['dna_score_by_seed'][0]:.3f}"
        verdicts.add_row(judged["task"], judged["truth"], score, judged["verdict_seed0"])
    console.print(verdicts)
    names = ("results.json", "fragments.png", "scores.png", "training.png")
    console.print("Files: " + ", ".join(str(folder / file) for file in names), soft_wrap=True)


def _specs(pairs: Sequence[Pair]) -> list[ModelSpec]:
    """Of each pair the homologous model, then the other."""
    return [spec for pair in pairs for spec in (pair.homologous, pair.non_homologous)]


def slug(name: str) -> str:
    """A name as a folder's."""
    return re.sub(r"[^\w.]+", "-", name)
