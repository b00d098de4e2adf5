"""Rows of the paper's tables: their models, the variants of MGMP, scores and pictures."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables
from _run import address, draw_picture, results_of, show
from _specs import recipe_for, source_and_target
from _variants import Variant, read_as, variants
from configs.cifar import PRESETS, Args, choose_row
from configs.common import at_least_one

from mgmp_jax import reporting
from mgmp_jax.answers import Answers, answers_to
from mgmp_jax.config import PAPER
from mgmp_jax.methods import CANDIDATES, MGMP, ChosenMGMP, Fit, FittedMGMP, fit_together
from mgmp_jax.processes import first_alone, first_says
from mgmp_jax.queries import TRAINING, QuerySet
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore, jobs
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

THRESHOLD = 0.9
LOGITS = "logits"
"""Name of the answers that the background is made of, where embeddings are compared."""
ROLES = ("homologous", "non-homologous")
DRAWN = 300
"""Fragments of a model in a picture."""


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
    """Makes the row of Table 1 that the arguments ask for."""
    name, pool, evaluation, paper = choose_row(args)
    preset = PRESETS[args.preset]
    seeds = at_least_one("seeds", preset.seeds if args.seeds is None else args.seeds)
    source, target = source_and_target(preset, args.arch, args.data)

    def pair(subset: int) -> TaskPair:
        task = dataclasses.replace(target, subset=subset, seed=1 + subset)
        return TaskPair(f"subset {subset}", source.descendant(task), task)

    generator, width, recipe = preset.generator
    recipe = recipe_for(recipe, generator, args.data)
    fixed = dataclasses.replace(source, arch=generator, width=width, recipe=recipe)
    paper_config = PAPER.replace(generator=generator, generator_width=width, **preset.mgmp)
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


@dataclasses.dataclass(frozen=True)
class Answering:
    """The models of a row, which answer one query set."""

    store: ModelStore
    row: Row
    queries: QuerySet

    @property
    def embeds(self) -> bool:
        """Whether embeddings are compared, not logits."""
        return all(variant.config.response == "embedding" for variant in self.row.variants.values())

    def of(self, spec: ModelSpec, epoch: int | None = None) -> Answers:
        """Takes a model's answers; beside embeddings the logits, for the background."""
        if not self.embeds:
            return self.store.responses(spec, self.queries, epoch=epoch)
        embedding = self.store.responses(spec, self.queries, kind="embedding", epoch=epoch)
        return {TRAINING: embedding, LOGITS: self.store.responses(spec, self.queries, epoch=epoch)}

    def fit_or_load(
        self,
        folder: Path,
        variant: Variant,
        name: str,
        *,
        siblings: Sequence[ModelSpec] = (),
        negatives: Sequence[ModelSpec] = (),
        generator: Responses | None = None,
    ) -> FittedMGMP:
        """Fits a variant to the row's pool and keeps it in ``folder``, or finds it there.

        Siblings join the background, ``negatives`` the non-homologous models of their tasks;
        latents may be given in place of the variant's generator's.

        Raises:
            ValueError: the variant cannot be fitted to this pool.
            OSError: the folder holds another training, or a damaged one.
        """
        if not _is_fitted(folder):
            references = self._references(variant, siblings, negatives)
            method = self._method(variant, name, 0, generator)
            method.check(references)
            try:
                _fit_and_keep([Fit(method, references, 0, folder)])
            except ValueError as error:  # of what lies in the folder, and no property of the method
                raise OSError(f"{error}; move {folder} away, and it is fitted anew") from error
        return _load(folder)

    def fits(self, variant: Variant, name: str, folders: Sequence[Path]) -> list[Fit]:
        """Makes the fits of a variant to the row's pool that are not in their folders yet.

        Args:
            variant: what is fitted.
            name: of it in words.
            folders: one for each seed from 0.
        """
        missing = {seed: place for seed, place in enumerate(folders) if not _is_fitted(place)}
        references = self._references(variant) if missing else None
        return [
            Fit(self._method(variant, f"{name}, seed {seed}", seed, None), references, seed, place)
            for seed, place in missing.items()
            if references is not None
        ]

    def _method(self, variant: Variant, name: str, seed: int, generator: Responses | None) -> MGMP:
        start = variant.generator_start
        if variant.generators:
            fixed = variant.generators[seed]
            generator = self.store.responses(fixed, self.queries, kind="embedding")
        return MGMP(
            variant.config,
            generator,
            None if start is None else self.store.starting_params(start),
            self.store.encode,
            background_asks=LOGITS if self.embeds else None,
            name=name,
        )

    def _references(
        self,
        variant: Variant,
        siblings: Sequence[ModelSpec] = (),
        negatives: Sequence[ModelSpec] = (),
    ) -> ReferenceSet:
        def answers(spec: ModelSpec) -> list[Answers]:
            recipe = spec.recipe
            epochs = recipe.kept_epochs if variant.checkpoints else (recipe.epochs,)
            return [self.of(spec, epoch) for epoch in epochs]

        pool = []
        for pair in self.row.pool:
            homologous, others = map(answers, pair.specs)
            same_task = [spec for spec in negatives if spec.subset == pair.homologous.subset]
            more = [one for spec in same_task for one in answers(spec)]
            pool.append(Pair(pair.task, homologous, [*more, *others]))
        queries: Any = dict.fromkeys((TRAINING, LOGITS), self.queries)
        return ReferenceSet(
            self.of(self.row.source),
            pool,
            list(map(self.of, siblings)),
            queries=queries if self.embeds else self.queries,
        )


class Scaled(Answering):
    """The same, where every model's logits have a mean square of one."""

    def of(self, spec: ModelSpec, epoch: int | None = None) -> Responses:
        """Takes a model's logits, divided by their root mean square."""
        logits = self.store.responses(spec, self.queries, epoch=epoch)
        scale = np.sqrt(np.mean(logits.values.astype(np.float64) ** 2))
        return Responses(logits.values / scale, "logits", self.queries, logits.model)


def fit_rows(rows: Sequence[Row], store: ModelStore, args: Any) -> None:
    """Trains the models of rows, and fits what is missing of their MGMPs, together."""
    train_models(list(dict.fromkeys(spec for row in rows for spec in row.specs)), store, args)
    answering = [_answering(row, store) for row in rows]
    numbers = " and ".join(sorted({str(len(each.queries)) for each in answering}))
    console.print(f"[bold]2. Responses and MGMP[/] on {numbers} training examples")
    _fit_and_keep(
        [
            fit
            for each in answering
            for name, variant in each.row.variants.items()
            for fit in each.fits(variant, name, _folders(each.row, name, args))
        ]
    )


def run_row(experiment: str, row: Row, store: ModelStore, args: Any) -> dict[str, Any]:
    """Trains a row's models, fits and evaluates MGMP, writes ``results.json`` and pictures."""
    folder = args.out / address(row.name, row)

    def make() -> dict[str, Any]:
        fit_rows([row], store, args)
        answering = _answering(row, store)
        fitted = {name: list(map(_load, _folders(row, name, args))) for name in row.variants}
        console.print("[bold]3. Evaluation[/] on models and tasks never seen")
        _draw(folder, answering, list(fitted.values())[-1][0])
        found = {
            name: evaluate(answering, row.variants[name], seeds) for name, seeds in fitted.items()
        }
        return {
            "row": row.name,
            "paper": row.paper,
            "methods": found,
            **({"choice": choose(answering)} if row.paper != "-" else {}),
            "models": {spec.address: store.accuracy(spec) for spec in row.specs},
            "left_of_the_source": left_of_the_source(answering),
        }

    results = results_of(experiment, folder, args, make)
    table = tables.pivot("variant", tables.variants(results))
    show(table, folder, "results.json", "fragments.png", "scores.png")
    return results


def _answering(row: Row, store: ModelStore) -> Answering:
    return Answering(store, row, store.queries(row.source, count=row.num_queries))


def _folders(row: Row, variant: str, args: Any) -> list[Path]:
    """Where the MGMPs of a variant lie, one a seed."""
    of_variant = args.out / address(row.name, row) / slug(variant)
    return [of_variant / f"seed{seed}" for seed in range(row.seeds)]


def _is_fitted(folder: Path) -> bool:
    return first_says((folder / "verifier" / "verifier.npz").is_file())


def _fit_and_keep(fits: Sequence[Fit]) -> None:
    """Fits, and keeps each MGMP as a verifier of its own in its folder."""
    for fit, fitted in zip(fits, fit_together(fits), strict=True):
        assert fit.folder is not None
        verifier = Verifier((fitted,), (), fit.references.digests)
        first_alone(functools.partial(verifier.save, Path(fit.folder) / "verifier"))


def _load(folder: Path) -> FittedMGMP:
    try:
        (found,) = Verifier.load(folder / "verifier").methods
    except ValueError as error:
        raise OSError(f"{error}; move {folder} away, and it is fitted anew") from error
    assert isinstance(found, FittedMGMP)
    return found


def train_models(specs: Sequence[ModelSpec], store: ModelStore, args: Any) -> None:
    """Trains what is missing, in as many processes or on the cluster that the arguments say."""
    for spec in specs:  # what is missing is said before hours pass
        if spec.teacher is None:
            store.examples(spec, "train")
    console.print("[bold]1. Models[/]")
    jobs.train(store, specs, jobs=args.jobs, cluster=args.cluster, num_gpus=args.num_gpus)


def evaluate(answering: Answering, variant: Variant, seeds: Sequence[FittedMGMP]) -> dict[str, Any]:
    """Evaluates one variant of MGMP, fitted with some seeds, on a row's evaluation pairs."""
    scores: dict[str, list[np.ndarray]] = {role: [] for role in ROLES}
    models = []
    for pair in answering.row.evaluation:
        for role, spec in zip(ROLES, pair.specs, strict=True):
            suspect = answers_to(answering.of(spec), TRAINING)
            by_seed = np.stack([one.fragment_scores(suspect) for one in seeds])
            scores[role].append(by_seed)
            truth = "homologous" if spec == pair.homologous else "not homologous"
            dna = by_seed.mean(axis=1, dtype=np.float64).tolist()
            about = {"model": spec.address, "task": pair.task, "truth": truth}
            models.append({**about, "dna_score_by_seed": dna})
    stacked = (np.stack(scores[role], axis=1) for role in ROLES)
    return {
        "config": dataclasses.asdict(variant.config),
        **reporting.summarise(*stacked, threshold=THRESHOLD),
        "evaluation": models,
    }


def choose(answering: Answering) -> dict[str, Any]:
    """Chooses one of :data:`mgmp_jax.methods.CANDIDATES` on the row's pool, and evaluates them all.

    They read what the row's extended method reads, with one seed and the background alone.
    """
    variant = answering.row.variants["extended"]
    more = read_as(variant.config)
    tried = {name: Variant(one.replace(**more)) for name, one in CANDIDATES.items()}
    methods = [answering._method(one, name, 0, None) for name, one in tried.items()]
    references = answering._references(variant)
    left_out = ChosenMGMP(methods).left_out(references)
    found = {}
    for (name, one), method, of_pool in zip(tried.items(), methods, left_out, strict=True):
        if of_pool.unfit is not None:
            found[name] = {"unfit": of_pool.unfit}
        else:
            evaluated = evaluate(answering, one, [method.fit(references)])
            accuracy = float(np.mean(list(of_pool.accuracy.values())))
            about = {"loss": of_pool.mean_loss, "left_out": accuracy}
            found[name] = {**about, "accuracy": evaluated["accuracy"], "auc": evaluated["auc"]}
    fit = [name for name, one in found.items() if "unfit" not in one]
    return {"chosen": min(fit, key=lambda name: found[name]["loss"]), "candidates": found}


def left_of_the_source(answering: Answering) -> dict[str, float]:
    """Measures by task what share of the source's training examples a descendant still gets right.

    Leaves out descendants whose last layer was made anew: their outputs are not the source's.
    """
    store, queries = answering.store, answering.queries
    labels = store.examples(answering.row.source, "train").take(len(queries)).labels
    left = {}
    for pair in answering.row.pairs:
        if pair.homologous.head == "keep":
            answered = store.responses(pair.homologous, queries).values.argmax(axis=1)
            left[pair.task] = float(np.mean(answered == labels))
    return left


def _draw(folder: Path, answering: Answering, method: FittedMGMP) -> None:
    fragments, scores = {}, {}
    for pair in answering.row.evaluation:
        suspects = [answers_to(answering.of(spec), TRAINING) for spec in pair.specs]
        (source, near), (_, far) = map(method.fragments, suspects)
        sets = {"source": source, ROLES[0]: near, ROLES[1]: far}
        fragments[pair.task] = {role: values[:DRAWN] for role, values in sets.items()}
        scored = map(method.fragment_scores, suspects)
        scores[pair.task] = dict(zip(ROLES, scored, strict=True))
    few = dict(list(fragments.items())[:3])
    draw_picture(reporting.plot_fragments, folder / "fragments.png", few)
    draw_picture(reporting.plot_scores, folder / "scores.png", scores, THRESHOLD)


def slug(name: str) -> str:
    """Turns a name into a folder's."""
    return re.sub(r"[^\w.]+", "-", name)
