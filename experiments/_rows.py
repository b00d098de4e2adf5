"""Rows of the paper's tables: their models, the variants of MGMP, scores and pictures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _run import address, print_files, print_table, results_of
from configs.cifar import PRESETS, Args, choose_row
from configs.common import at_least_one

from mgmp_jax import reporting
from mgmp_jax.answers import Answers, answers_to
from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.methods import MGMP, FittedMGMP
from mgmp_jax.queries import TRAINING, QuerySet
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.training import Recipe, console
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
        generators: models whose embeddings are the latents of a fixed generator, one a seed.
        generator_start: the model from whose starting weights a generator is trained.
    """

    config: MGMPConfig
    checkpoints: bool = False
    generators: tuple[ModelSpec, ...] = ()
    generator_start: ModelSpec | None = None

    def epochs(self, spec: ModelSpec) -> tuple[int, ...]:
        """After which epochs of a pool model's training this variant learns from it."""
        return spec.recipe.kept_epochs if self.checkpoints else (spec.recipe.epochs,)


def variants(
    paper: MGMPConfig, generators: Sequence[ModelSpec], generator_start: ModelSpec | None = None
) -> dict[str, Variant]:
    """Makes the paper's method and the library's, each without and with generator.

    What the ``paper`` reads, logits or embeddings, all compare; ``generators`` are the library's.
    """
    more: dict[str, Any] = {"batch_size": paper.batch_size}
    if paper.response == "embedding":
        more["response"] = "embedding"
    extended = EXTENDED.replace(**more)
    return {
        "paper, without generator": Variant(PAPER_WITHOUT_GENERATOR.replace(**more)),
        "paper": Variant(paper, generator_start=generator_start),
        "extended, background only": Variant(extended, checkpoints=True),
        "extended": Variant(extended, checkpoints=True, generators=tuple(generators)),
    }


def changed(variant: Variant, *, times_epochs: int = 1, **changes: Any) -> Variant:
    """Changes fields of a variant or of its config, and multiplies its epochs."""
    own = {name: changes.pop(name) for name in ("checkpoints", "generators") if name in changes}
    config = variant.config.replace(**changes)
    return dataclasses.replace(
        variant, config=config.replace(epochs=config.epochs * times_epochs), **own
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """What a row is made of.

    Args:
        name: in words; its folder bears it.
        source: the source model.
        pool: pairs that MGMP learns from.
        evaluation: pairs that it is evaluated on.
        num_queries: how many of the source's first training examples; ``None`` is all.
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
    paper: str = "-"

    @property
    def pairs(self) -> tuple[TaskPair, ...]:
        """Of the pool, then of the evaluation."""
        return self.pool + self.evaluation

    @property
    def specs(self) -> list[ModelSpec]:
        """All models once: source, generators, pairs."""
        of_variants = [variant.generators for variant in self.variants.values()]
        of_pairs = [pair.specs for pair in self.pairs]
        return list(dict.fromkeys([self.source, *sum((*of_variants, *of_pairs), ())]))


def cifar_row(args: Args) -> Row:
    """Makes the row of Table 1 that the arguments ask for.

    Raises:
        ValueError: the row, the subsets or the number of seeds are impossible.
    """
    name, (pool, evaluation, paper) = choose_row(args)
    preset = PRESETS[args.preset]
    at_least_one("together", args.together)
    seeds = at_least_one("seeds", preset.seeds if args.seeds is None else args.seeds)
    slow = 2 if args.arch in preset.halved else 1

    def model(data: str, images: int | None, recipe: Any, checkpoints: int = 1) -> ModelSpec:
        epochs, *others = recipe
        kept = -(-checkpoints // slow)
        recipe = recipe_for((epochs // slow, *others), args.arch, args.data, kept)
        width = preset.widths[args.arch]
        return ModelSpec(args.arch, data, recipe, width=width, num_examples=images)

    source = model(f"{args.data}10", preset.images[0], preset.source)
    target = model(f"{args.data}100", preset.images[1], preset.target, preset.checkpoints)

    def pair(subset: int) -> TaskPair:
        task = dataclasses.replace(target, subset=subset, seed=1 + subset)
        return TaskPair(f"subset {subset}", source.descendant(task, args.head), task)

    generator, width, recipe = preset.generator
    generator = args.generator or generator
    paper_config = PAPER.replace(
        generator=generator, generator_width=width, assemble=args.assemble, **preset.mgmp
    )
    recipe = recipe_for(recipe, generator, args.data)
    fixed = ModelSpec(generator, source.data, recipe, width=width, num_examples=source.num_examples)
    return Row(
        name=f"{args.data}-{args.arch}-{name}-{args.preset}",
        source=source,
        pool=tuple(map(pair, pool)),
        evaluation=tuple(map(pair, evaluation)),
        num_queries=preset.num_queries,
        variants=variants(paper_config, [fixed.sibling(1001 + seed) for seed in range(seeds)]),
        seeds=seeds,
        paper=paper,
    )


def recipe_for(
    recipe: tuple[int, int, float], arch: str, data: str, checkpoints: int = 1
) -> Recipe:
    """Makes a recipe as an architecture needs it: SGD, or Adam for a vision transformer."""
    epochs, batch_size, rate = recipe
    rate = {"alexnet": rate / 5, "vit-small": 1e-3}.get(arch, rate)
    augment = "crop-flip" if data == "cifar" else "none"
    found = Recipe(epochs, batch_size, rate, augment=augment, checkpoints=checkpoints)
    is_adam = arch == "vit-small"
    return dataclasses.replace(found, optimizer="adam", weight_decay=0.0) if is_adam else found


@dataclasses.dataclass(frozen=True)
class Answering:
    """Takes the answers of models on one query set.

    Args:
        store: where the models are.
        queries: what they are asked.
        compared: what is compared, logits or embeddings.
    """

    store: ModelStore
    queries: QuerySet
    compared: str = "logits"

    def of(self, spec: ModelSpec, epoch: int | None = None) -> Answers:
        """Takes a model's answers; beside embeddings the logits, for the background."""
        logits = self.store.responses(spec, self.queries, epoch=epoch)
        if self.compared != "embedding":
            return logits
        embedding = self.store.responses(spec, self.queries, kind="embedding", epoch=epoch)
        return {TRAINING: embedding, LOGITS: logits}

    def fit_or_load(
        self,
        folder: Path,
        row: Row,
        variant: Variant,
        name: str,
        seed: int = 0,
        *,
        siblings: Sequence[ModelSpec] = (),
        generator: Responses | None = None,
    ) -> FittedMGMP:
        """Fits a variant to the pool of a row and keeps it in ``folder``, or finds it there.

        Siblings join the background; latents may be given in place of the variant's generator's.
        """
        kept = folder / "verifier"
        if not (kept / "verifier.npz").is_file():
            if variant.generators:
                generator = self.store.responses(
                    variant.generators[seed], self.queries, kind="embedding"
                )
            start = variant.generator_start
            method = MGMP(
                variant.config,
                generator,
                None if start is None else self.store.starting_params(start),
                self.store.encode,
                background_asks=LOGITS if self.compared == "embedding" else None,
                name=name,
            )
            references = self._references(row, variant, siblings)
            fitted = method.fit(references, seed=seed, folder=folder)
            Verifier((fitted,), (), references.digests).save(kept)
        (found,) = Verifier.load(kept).methods
        assert isinstance(found, FittedMGMP)
        return found

    def _references(
        self, row: Row, variant: Variant, siblings: Sequence[ModelSpec]
    ) -> ReferenceSet:
        queries: Any = self.queries
        if self.compared == "embedding":
            queries = {TRAINING: queries, LOGITS: queries}
        pool = [
            Pair(pair.task, *([self.of(s, e) for e in variant.epochs(s)] for s in pair.specs))
            for pair in row.pool
        ]
        return ReferenceSet(
            self.of(row.source), pool, list(map(self.of, siblings)), queries=queries
        )


def fit_variants(row: Row, answering: Answering, folder: Path) -> dict[str, list[FittedMGMP]]:
    """Fits every variant of a row once a seed, or finds it in ``folder``."""
    return {
        name: [
            answering.fit_or_load(
                folder / slug(name) / f"seed{seed}", row, variant, f"{name}, seed {seed}", seed
            )
            for seed in range(row.seeds)
        ]
        for name, variant in row.variants.items()
    }


def run_row(
    experiment: str, row: Row, store: ModelStore, args: Any, together: int = 1
) -> dict[str, Any]:
    """Trains a row's models, fits and evaluates MGMP, writes ``results.json`` and pictures.

    Args:
        experiment: the command's name.
        row: what to do.
        store: where its models are, or will be.
        args: what the row was made from; the row's folder is in its ``out``.
        together: how many models are trained at once.
    """
    folder = args.out / address(row.name, row)

    def make() -> tuple[dict[str, Any], int]:
        found = train_models(row.specs, store, together)
        queries = store.queries(row.source, count=row.num_queries)
        console.print(f"[bold]2. Responses and MGMP[/] on {len(queries)} training examples")
        read = {variant.config.response for variant in row.variants.values()}
        compared = "embedding" if read == {"embedding"} else "logits"
        answering = Answering(store, queries, compared)
        fitted = fit_variants(row, answering, folder)
        console.print("[bold]3. Evaluation[/] on models and tasks never seen")
        results = _evaluate(row, answering, fitted)
        _draw(row, folder, answering, list(fitted.values())[-1][0])
        return results, found

    results = results_of(experiment, folder, args, make)
    _print(row, folder, results)
    return results


def train_models(specs: Sequence[ModelSpec], store: ModelStore, together: int = 1) -> int:
    """Trains what is missing, and counts what was there already."""
    found = sum(map(store.is_trained, specs))
    for spec in specs:  # what is missing is said before hours pass
        if spec.teacher is None:
            store.examples(spec, "train")
    console.print(f"[bold]1. {len(specs)} models[/]")
    store.train(specs, together=together)
    return found


def _evaluate(
    row: Row, answering: Answering, fitted: Mapping[str, Sequence[FittedMGMP]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, seeds in fitted.items():
        scores, judged = [], []
        for pair in row.evaluation:
            for truth, spec in zip(("homologous", "not homologous"), pair.specs, strict=True):
                suspect = answers_to(answering.of(spec), TRAINING)
                by_seed = np.stack([one.fragment_scores(suspect) for one in seeds])
                scores.append(by_seed)
                dna = by_seed.mean(axis=1, dtype=np.float64).tolist()
                verdict = {"dna_score_by_seed": dna, "verdict_seed0": _verdict(dna[0])}
                about = {"model": spec.address, "task": pair.task, "truth": truth}
                judged.append({**about, **verdict})
        homologous, non_homologous = (np.stack(scores[i::2], axis=1) for i in (0, 1))
        found[name] = {
            "config": dataclasses.asdict(row.variants[name].config),
            **reporting.summarise(homologous, non_homologous, THRESHOLD),
            "evaluation": judged,
        }
    accuracies = {spec.address: answering.store.accuracy(spec) for spec in row.specs}
    return {"row": row.name, "paper": row.paper, "methods": found, "models": accuracies}


def _verdict(score: float) -> str:
    if score >= THRESHOLD:
        return "homologous"
    return "not homologous" if score <= 1 - THRESHOLD else "inconclusive"


def _draw(row: Row, folder: Path, answering: Answering, method: FittedMGMP) -> None:
    roles = ("homologous", "non-homologous")
    fragments, scores = {}, {}
    for pair in row.evaluation:
        suspects = [answers_to(answering.of(spec), TRAINING) for spec in pair.specs]
        (source, near), (_, far) = (method.fragments(suspect) for suspect in suspects)
        sets = dict(zip(("source", *roles), (source, near, far), strict=True))
        fragments[pair.task] = {role: values[:300] for role, values in sets.items()}
        scored = [method.fragment_scores(suspect) for suspect in suspects]
        scores[pair.task] = dict(zip(roles, scored, strict=True))
    reporting.plot_fragments(folder / "fragments.png", dict(list(fragments.items())[:3]))
    reporting.plot_scores(folder / "scores.png", scores, THRESHOLD)
    curves = {"source": [row.source]}
    curves |= {role: [pair.specs[i] for pair in row.pairs] for i, role in enumerate(roles)}
    models = {
        role: [answering.store.folder / spec.address / "metrics.jsonl" for spec in specs]
        for role, specs in curves.items()
    }
    models = {role: [path for path in of if path.is_file()] for role, of in models.items()}
    mgmp = {
        name: [folder / slug(name) / f"seed{s}" / "metrics.jsonl" for s in range(row.seeds)]
        for name in row.variants
    }
    panels = {"models": models, "MGMP, fragments of the pool": mgmp}
    reporting.plot_training(folder / "training.png", panels)


def _print(row: Row, folder: Path, results: dict[str, Any]) -> None:
    rows = [["the paper's own models", row.paper.split(" (")[0], "", "", ""]]
    for name, summary in results["methods"].items():
        counts = (reporting.count(summary, key) for key in ("missed", "false_alarms"))
        rows.append([name, reporting.accuracy(summary), f"{summary['auc']:.3f}", *counts])
    columns = ["method", "accuracy per fragment", "AUC", "missed", "false alarms"]
    print_table(f"{row.name}: unseen models and tasks", columns, rows)
    console.print(
        "Missed are homologous, false alarms non-homologous models, over all seeds, with a wrong "
        f"verdict at DNA level and threshold {THRESHOLD} (in brackets: ½).\n"
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
    """Turns a name into a folder's."""
    return re.sub(r"[^\w.]+", "-", name)
