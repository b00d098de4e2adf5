"""One row of the paper's Table 1 or 2, from data to verdicts, in five steps.

Whatever is already in the output folder is used again, so a run that was cut off goes on and
a finished one ends at once.
"""

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from mgmp_jax import mgmp, reporting
from mgmp_jax.mgmp import MGMPConfig
from mgmp_jax.pool import ModelSpec, Pool
from mgmp_jax.responses import ResponseKind, Responses
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

THRESHOLD = 0.9


@dataclasses.dataclass(frozen=True)
class Pair:
    """A homologous and a non-homologous model trained on the same task."""

    task: str
    homologous: ModelSpec
    non_homologous: ModelSpec


@dataclasses.dataclass(frozen=True)
class Method:
    """A variant of MGMP.

    Args:
        config: of the MGMP.
        snapshots: whether the pool is enlarged by the states kept along each training.
        generators: models whose embeddings are the latents, one a seed, where the generator
            is fixed.
    """

    config: MGMPConfig
    snapshots: bool
    generators: tuple[ModelSpec, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """What a row is made of.

    Args:
        name: of its folder.
        source: the source model.
        pool: pairs that MGMP learns from.
        evaluation: pairs that it is judged on.
        num_queries: how many of the source's training images are queries, the first ones;
            ``None`` is all.
        methods: variants of MGMP by name; the last is the one whose pictures are drawn.
        seeds: how many trainings of each.
        paper: the paper's accuracy with and without generator, in words.
    """

    name: str
    source: ModelSpec
    pool: tuple[Pair, ...]
    evaluation: tuple[Pair, ...]
    num_queries: int | None
    methods: Mapping[str, Method]
    seeds: int
    paper: str


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
    folder = out / row.name
    results_path = folder / "results.json"
    start = time.perf_counter()
    reporting.write_json(folder / "config.json", settings)
    if not results_path.is_file():
        _train_models(row, models, settings["together"])
        queries = models.images(row.source, "train").images[: row.num_queries]
        responses = _take_responses(row, models, queries)
        verifiers = _train_mgmp(row, models, folder, queries, responses)
        results = _evaluate(row, models, responses, verifiers)
        _draw(row, folder, models, responses, verifiers)
        results["settings"] = dict(settings)
        results["run"] = {
            **reporting.environment(),
            "wall_time_s": round(time.perf_counter() - start, 1),
        }
        reporting.write_json(results_path, results)
    results = json.loads(results_path.read_text())
    _print(row, folder, results)
    return results


def _train_models(row: Row, models: Pool, together: int) -> None:
    console.print("[bold]1. Source[/] and generators")
    models.train([row.source])
    models.train([g for method in row.methods.values() for g in method.generators])
    console.print("[bold]2. Pool and evaluation models[/]")
    pairs = row.pool + row.evaluation
    models.train([m for p in pairs for m in (p.homologous, p.non_homologous)], together=together)


def _take_responses(
    row: Row, models: Pool, queries: np.ndarray
) -> dict[tuple[ModelSpec, int], Responses]:
    console.print(f"[bold]3. Responses[/] on {len(queries)} training images of the source")
    wanted = {(row.source, row.source.recipe.epochs)}
    for pair in row.pool + row.evaluation:
        for spec in (pair.homologous, pair.non_homologous):
            wanted |= {(spec, epoch) for epoch in spec.recipe.kept_epochs}
    kinds: set[ResponseKind] = {method.config.response for method in row.methods.values()}
    if len(kinds) != 1:
        raise ValueError(f"the methods of a row must share one kind of response, got {kinds}")
    kind = kinds.pop()
    return {
        (spec, epoch): models.responses(spec, queries, kind=kind, epoch=epoch)
        for spec, epoch in sorted(wanted, key=lambda item: (item[0].address, item[1]))
    }


def _train_mgmp(row: Row, models: Pool, folder: Path, queries: np.ndarray, responses: dict) -> dict:
    console.print("[bold]4. MGMP[/]")
    source = responses[row.source, row.source.recipe.epochs]
    verifiers = {}
    for name, method in row.methods.items():
        sides = ([], [])
        for pair in row.pool:
            for side, spec in zip(sides, (pair.homologous, pair.non_homologous), strict=True):
                kept = spec.recipe.kept_epochs
                epochs = kept if method.snapshots else kept[-1:]
                side.extend(responses[spec, epoch] for epoch in epochs)
        for seed in range(row.seeds):
            trained = folder / _slug(name) / f"seed{seed}"
            if not (trained / "verifier" / "verifier.json").is_file():
                latents = None
                if method.generators:
                    generator = method.generators[seed]
                    latents = models.responses(generator, queries, kind="embedding").values
                variables = mgmp.fit(
                    method.config,
                    queries,
                    source,
                    *sides,
                    latents=latents,
                    seed=seed,
                    folder=trained,
                    name=f"{name}, seed {seed}",
                )
                verifier = Verifier(method.config, variables, queries, source, latents)
                verifier.save(trained / "verifier")
            verifiers[name, seed] = Verifier.load(trained / "verifier")
    return verifiers


def _evaluate(row: Row, models: Pool, responses: dict, verifiers: dict) -> dict[str, Any]:
    console.print("[bold]5. Evaluation[/] on models and tasks never seen")
    targets = [[getattr(p, k) for p in row.evaluation] for k in ("homologous", "non_homologous")]
    results: dict[str, Any] = {"row": row.name, "paper": row.paper, "methods": {}, "models": {}}
    generators = [g for method in row.methods.values() for g in method.generators]
    targets_and_pool = [s for p in row.pool + row.evaluation for s in _specs(p)]
    for spec in [row.source, *generators, *targets_and_pool]:
        results["models"][spec.address] = models.accuracy(spec)
    for name in row.methods:
        scores = [
            np.stack(
                [
                    [
                        verifiers[name, seed].fragment_scores(responses[s, s.recipe.epochs])
                        for s in side
                    ]
                    for seed in range(row.seeds)
                ]
            )
            for side in targets
        ]
        rows = []
        for i, pair in enumerate(row.evaluation):
            for spec, side in zip(_specs(pair), scores, strict=True):
                judged = verifiers[name, 0].judge(responses[spec, spec.recipe.epochs], THRESHOLD)
                by_seed = side[:, i].mean(axis=1, dtype=np.float64).tolist()
                truth = "homologous" if spec is pair.homologous else "not homologous"
                rows.append(
                    {
                        "model": spec.address,
                        "task": pair.task,
                        "truth": truth,
                        "dna_score_by_seed": by_seed,
                        "verdict_seed0": judged.verdict,
                    }
                )
        summary = reporting.summarise(scores[0], scores[1], THRESHOLD)
        results["methods"][name] = {**summary, "evaluation": rows}
    return results


def _draw(row: Row, folder: Path, models: Pool, responses: dict, verifiers: dict) -> None:
    name = list(row.methods)[-1]
    verifier: Verifier = verifiers[name, 0]
    some = slice(300)
    fragments, scores = {}, {}
    for pair in row.evaluation:
        answers = [responses[spec, spec.recipe.epochs] for spec in _specs(pair)]
        dna = [
            mgmp.fragments(verifier.config, verifier.latents, verifier.source, answer)
            for answer in answers
        ]
        sets = {"source": dna[0][0], "homologous": dna[0][1], "non-homologous": dna[1][1]}
        fragments[pair.task] = {role: values[some] for role, values in sets.items()}
        roles = ("homologous", "non-homologous")
        scored = [verifier.fragment_scores(answer) for answer in answers]
        scores[pair.task] = dict(zip(roles, scored, strict=True))
    reporting.plot_fragments(folder / "fragments.png", dict(list(fragments.items())[:3]))
    reporting.plot_scores(folder / "scores.png", scores, THRESHOLD)
    pairs = row.pool + row.evaluation
    curves = {
        "source": [row.source],
        "homologous": [p.homologous for p in pairs],
        "non-homologous": [p.non_homologous for p in pairs],
    }
    files = {
        role: [models.folder / spec.address / "metrics.jsonl" for spec in specs]
        for role, specs in curves.items()
    }
    files = {role: [f for f in paths if f.is_file()] for role, paths in files.items()}
    mgmp_files = {
        method: [folder / _slug(method) / f"seed{s}" / "metrics.jsonl" for s in range(row.seeds)]
        for method in row.methods
    }
    panels = {"models": files, "MGMP, fragments of the pool": mgmp_files}
    reporting.plot_training(folder / "training.png", panels)


def _print(row: Row, folder: Path, results: dict[str, Any]) -> None:
    table = Table(title=f"{row.name}: unseen models and tasks")
    for column in ("method", "accuracy per fragment", "AUC", "wrong", "wrong at ½"):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    table.add_row("reported by the paper", row.paper.split(" (")[0], "", "", "")
    for name, summary in results["methods"].items():
        accuracy = f"{summary['accuracy']:.4f} ± {summary['std']:.4f}"
        wrong = (f"{summary[key]} of {summary['judged']}" for key in ("wrong", "wrong_at_half"))
        table.add_row(name, accuracy, f"{summary['auc']:.3f}", *wrong)
    console.print(table)
    console.print(
        f"AUC and wrong count whole models: wrong at DNA level with threshold {THRESHOLD}, and ½.\n"
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


def _specs(pair: Pair) -> tuple[ModelSpec, ModelSpec]:
    return pair.homologous, pair.non_homologous


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")
