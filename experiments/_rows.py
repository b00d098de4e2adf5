"""A row of the paper's Table 1 or 2, from data to verdicts. Rerun to resume."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _run import address, print_files, print_table, results_of

from mgmp_jax import reporting
from mgmp_jax.config import MGMPConfig
from mgmp_jax.methods import MGMP, FittedMGMP
from mgmp_jax.queries import TRAINING, QuerySet
from mgmp_jax.references import Answers, Pair, ReferenceSet, answers_to
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

THRESHOLD = 0.9
LOGITS = "logits"
"""Name of the answers that the background is made of, where embeddings are compared."""


@dataclasses.dataclass(frozen=True)
class TaskPair:
    """A homologous and a non-homologous model trained on the same task."""

    task: str
    homologous: ModelSpec
    non_homologous: ModelSpec

    @property
    def specs(self) -> tuple[ModelSpec, ModelSpec]:
        """The homologous model, then the other."""
        return self.homologous, self.non_homologous


@dataclasses.dataclass(frozen=True)
class Variant:
    """A variant of MGMP.

    Args:
        config: of the MGMP.
        checkpoints: whether the pool is enlarged by the checkpoints along each training.
        generators: models whose embeddings are the latents, one a seed, where the generator is
            fixed.
        generator_start: the model from whose starting weights a generator is trained, ``None``
            for random ones.
    """

    config: MGMPConfig
    checkpoints: bool = False
    generators: tuple[ModelSpec, ...] = ()
    generator_start: ModelSpec | None = None

    def epochs(self, spec: ModelSpec) -> tuple[int, ...]:
        """After which epochs of a pool model's training this variant learns from it."""
        return spec.recipe.kept_epochs if self.checkpoints else (spec.recipe.epochs,)


def variants(
    paper: MGMPConfig,
    without: MGMPConfig,
    extended: MGMPConfig,
    generators: Sequence[ModelSpec],
    generator_start: ModelSpec | None = None,
) -> dict[str, Variant]:
    """The paper's method and the library's, each without and with generator.

    Args:
        paper: of the paper's method with generator.
        without: of the paper's method without.
        extended: of the library's.
        generators: the fixed generators of the library's, one a seed.
        generator_start: the model from whose starting weights the paper's generator is trained.
    """
    return {
        "paper, without generator": Variant(without),
        "paper": Variant(paper, generator_start=generator_start),
        "extended, background only": Variant(extended, checkpoints=True),
        "extended": Variant(extended, checkpoints=True, generators=tuple(generators)),
    }


@dataclasses.dataclass(frozen=True)
class Row:
    """What a row is made of.

    Args:
        name: in words; its folder bears it.
        source: the source model.
        pool: pairs that MGMP learns from.
        evaluation: pairs that it is judged on.
        num_queries: how many of the source's training examples are queries, the first ones;
            ``None`` is all.
        variants: of MGMP by name; the last is the one whose pictures are drawn.
        seeds: how many trainings of each.
        paper: the paper's accuracy with and without generator, in words.
    """

    name: str
    source: ModelSpec
    pool: tuple[TaskPair, ...]
    evaluation: tuple[TaskPair, ...]
    num_queries: int | None
    variants: Mapping[str, Variant]
    seeds: int
    paper: str

    @property
    def address(self) -> str:
        """The name of its folder, unique to all that decides its numbers."""
        return address(self.name, self)

    @property
    def pairs(self) -> tuple[TaskPair, ...]:
        """Of the pool, then of the evaluation."""
        return self.pool + self.evaluation

    @property
    def specs(self) -> list[ModelSpec]:
        """All models once: source, generators, pairs."""
        generators = [g for variant in self.variants.values() for g in variant.generators]
        pairs = [spec for pair in self.pairs for spec in pair.specs]
        return list(dict.fromkeys([self.source, *generators, *pairs]))


@dataclasses.dataclass(frozen=True)
class Answering:
    """Takes the answers of models on one query set.

    Args:
        store: where the models are.
        queries: what they are asked.
        kind: what is compared, logits or embeddings.
    """

    store: ModelStore
    queries: QuerySet
    kind: str

    def of(self, spec: ModelSpec, epoch: int | None = None) -> Answers:
        """A model's answers; beside embeddings the logits, for the background."""
        logits = self.store.responses(spec, self.queries, epoch=epoch)
        if self.kind != "embedding":
            return logits
        embedding = self.store.responses(spec, self.queries, kind="embedding", epoch=epoch)
        return {TRAINING: embedding, LOGITS: logits}

    def references(
        self, row: Row, variant: Variant, siblings: Sequence[ModelSpec] = ()
    ) -> ReferenceSet:
        """The source, the pool that a variant learns from, and siblings."""
        queries: Any = self.queries
        if self.kind == "embedding":
            queries = {TRAINING: self.queries, LOGITS: self.queries}
        pool = [
            Pair(pair.task, *([self.of(s, e) for e in variant.epochs(s)] for s in pair.specs))
            for pair in row.pool
        ]
        return ReferenceSet(
            self.of(row.source), pool, [self.of(s) for s in siblings], queries=queries
        )

    def method(self, variant: Variant, name: str, seed: int) -> MGMP:
        """The method that a variant is, with the latents of its generator."""
        generator, start = None, None
        if variant.generators:
            spec = variant.generators[seed]
            generator = self.store.responses(spec, self.queries, kind="embedding")
        if variant.generator_start is not None:
            start = self.store.starting_params(variant.generator_start)
        return MGMP(
            variant.config,
            generator,
            start,
            self.store.encode,
            background_asks=LOGITS if self.kind == "embedding" else None,
            name=name,
        )


def fit_or_load(folder: Path, method: MGMP, references: ReferenceSet, seed: int = 0) -> FittedMGMP:
    """Fits a method and keeps it in ``folder``, or finds it there."""
    if not (folder / "verifier" / "verifier.npz").is_file():
        fitted = method.fit(references, seed=seed, folder=folder)
        Verifier((fitted,), (), references.digests).save(folder / "verifier")
    (fitted,) = Verifier.load(folder / "verifier").methods
    assert isinstance(fitted, FittedMGMP)
    return fitted


def run_row(
    experiment: str, row: Row, store: ModelStore, args: Any, together: int = 1
) -> dict[str, Any]:
    """Makes a row's models, fits and judges MGMP, writes ``results.json`` and pictures.

    Args:
        experiment: the command's name.
        row: what to do.
        store: where its models are, or will be.
        args: what the row was made from; its ``out`` is the folder that the row's own is in.
        together: how many models are trained at once.

    Returns:
        The content of ``results.json``.
    """
    folder = args.out / row.address

    def make() -> tuple[dict[str, Any], int]:
        found = train_models(row.specs, store, together)
        queries = store.queries(row.source, count=row.num_queries)
        console.print(f"[bold]2. Responses and MGMP[/] on {len(queries)} training examples")
        (kind,) = {response_kind(v.config) for v in row.variants.values()}
        answering = Answering(store, queries, kind)
        fitted = fit_variants(row, answering, folder)
        console.print("[bold]3. Evaluation[/] on models and tasks never seen")
        results = _evaluate(row, answering, fitted)
        _draw(row, folder, answering, fitted)
        return results, found

    results = results_of(experiment, folder, args, make)
    _print(row, folder, results)
    return results


def response_kind(config: MGMPConfig) -> str:
    """What a model is asked for, which MGMP converts: logits or embeddings."""
    return "embedding" if config.response == "embedding" else "logits"


def train_models(specs: Sequence[ModelSpec], store: ModelStore, together: int = 1) -> int:
    """Trains what is missing; returns how many models were there already."""
    found = sum(map(store.is_trained, specs))
    for spec in specs:  # what is missing is said before hours pass
        if spec.teacher is None:
            store.examples(spec, "train")
    console.print(f"[bold]1. {len(specs)} models[/]")
    store.train(specs, together=together)
    return found


def fit_variants(row: Row, answering: Answering, folder: Path) -> dict[tuple[str, int], FittedMGMP]:
    """Fits every variant of a row once a seed, or finds it in ``folder``."""
    return {
        (name, seed): fit_or_load(
            folder / slug(name) / f"seed{seed}",
            answering.method(variant, f"{name}, seed {seed}", seed),
            answering.references(row, variant),
            seed,
        )
        for name, variant in row.variants.items()
        for seed in range(row.seeds)
    }


def _evaluate(
    row: Row, answering: Answering, fitted: Mapping[tuple[str, int], FittedMGMP]
) -> dict[str, Any]:
    accuracies = {spec.address: answering.store.accuracy(spec) for spec in row.specs}
    results = {"row": row.name, "paper": row.paper, "methods": {}, "models": accuracies}
    for name, variant in row.variants.items():
        seeds = [fitted[name, seed] for seed in range(row.seeds)]
        scores, judged = [], []
        for pair in row.evaluation:
            for spec in pair.specs:
                suspect = answers_to(answering.of(spec), TRAINING)
                by_seed = np.stack([one.fragment_scores(suspect) for one in seeds])
                scores.append(by_seed)
                dna = by_seed.mean(axis=1, dtype=np.float64).tolist()
                truth = "homologous" if spec is pair.homologous else "not homologous"
                judged.append(
                    {
                        "model": spec.address,
                        "task": pair.task,
                        "truth": truth,
                        "dna_score_by_seed": dna,
                        "verdict_seed0": _verdict(dna[0]),
                    }
                )
        homologous, non_homologous = (np.stack(scores[i::2], axis=1) for i in (0, 1))
        results["methods"][name] = {
            "config": dataclasses.asdict(variant.config),
            **reporting.summarise(homologous, non_homologous, THRESHOLD),
            "evaluation": judged,
        }
    return results


def _verdict(score: float) -> str:
    if score >= THRESHOLD:
        return "homologous"
    return "not homologous" if score <= 1 - THRESHOLD else "inconclusive"


def _draw(
    row: Row,
    folder: Path,
    answering: Answering,
    fitted: Mapping[tuple[str, int], FittedMGMP],
) -> None:
    method, some = fitted[list(row.variants)[-1], 0], slice(300)
    fragments, scores = {}, {}
    for pair in row.evaluation:
        suspects = [answers_to(answering.of(spec), TRAINING) for spec in pair.specs]
        dna = [method.fragments(suspect) for suspect in suspects]
        sets = {"source": dna[0][0], "homologous": dna[0][1], "non-homologous": dna[1][1]}
        fragments[pair.task] = {role: values[some] for role, values in sets.items()}
        scored = [method.fragment_scores(suspect) for suspect in suspects]
        scores[pair.task] = dict(zip(("homologous", "non-homologous"), scored, strict=True))
    reporting.plot_fragments(folder / "fragments.png", dict(list(fragments.items())[:3]))
    reporting.plot_scores(folder / "scores.png", scores, THRESHOLD)
    curves = {
        "source": [row.source],
        "homologous": [pair.homologous for pair in row.pairs],
        "non-homologous": [pair.non_homologous for pair in row.pairs],
    }
    models = answering.store.folder
    paths = {
        role: [models / spec.address / "metrics.jsonl" for spec in specs]
        for role, specs in curves.items()
    }
    paths = {role: [p for p in of_role if p.is_file()] for role, of_role in paths.items()}
    mgmp = {
        name: [folder / slug(name) / f"seed{s}" / "metrics.jsonl" for s in range(row.seeds)]
        for name in row.variants
    }
    panels = {"models": paths, "MGMP, fragments of the pool": mgmp}
    reporting.plot_training(folder / "training.png", panels)


def _print(row: Row, folder: Path, results: dict[str, Any]) -> None:
    rows = [["the paper's own models", row.paper.split(" (")[0], "", "", ""]]
    for name, summary in results["methods"].items():
        counts = (reporting.count(summary, key) for key in ("missed", "false_alarms"))
        rows.append([name, reporting.accuracy(summary), f"{summary['auc']:.3f}", *counts])
    columns = ["method", "accuracy per fragment", "AUC", "missed", "false alarms"]
    print_table(f"{row.name}: unseen models and tasks", columns, rows)
    console.print(
        "Missed are homologous, false alarms non-homologous models, over all seeds, judged wrongly "
        f"at DNA level with threshold {THRESHOLD} (in brackets: ½).\n"
    )
    name = list(results["methods"])[-1]
    judged = [
        [one["task"], one["truth"], f"{one['dna_score_by_seed'][0]:.3f}", one["verdict_seed0"]]
        for one in results["methods"][name]["evaluation"]
    ]
    title = f"{name}: verdicts at threshold {THRESHOLD}, first seed"
    print_table(title, ["task", "truth", "DNA score", "verdict"], judged)
    print_files(folder, "results.json", "fragments.png", "scores.png", "training.png")


def slug(name: str) -> str:
    """A name as a folder's."""
    return re.sub(r"[^\w.]+", "-", name)


def check_at_least_one(name: str, value: int) -> int:
    """The value, or ``ValueError`` where it is below 1."""
    if value < 1:
        raise ValueError(f"--{name} must be at least 1, got {value}")
    return value


def check_subsets(pool: tuple[int, ...], evaluation: tuple[int, ...]) -> None:
    """Raises ``ValueError`` unless these are disjoint choices of the subsets 0 to 9."""
    if len(pool) < 2 or not evaluation:
        raise ValueError(
            "give at least two --pool-subsets, for a background of their models, and at least one "
            f"of --eval-subsets, each of 0 to 9; got {list(pool)} and {list(evaluation)}"
        )
    unknown = sorted(set(pool + evaluation) - set(range(10)))
    if unknown:
        raise ValueError(f"subsets are 0 to 9, got {unknown}")
    if len(set(pool + evaluation)) < len(pool + evaluation):
        raise ValueError(
            f"pool subsets {list(pool)} and evaluation subsets {list(evaluation)} must be "
            "disjoint and without repetition: MGMP is judged on tasks it never saw"
        )
