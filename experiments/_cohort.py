"""A source with its siblings, suspects of every kind, and the answers that they are judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from _rows import (
    Answering,
    Row,
    TaskPair,
    Variant,
    recipe_for,
    slug,
    train_models,
    variants,
)
from _run import address
from configs.cohort import PRESETS, QUERIES, TRAINING, UNSEEN, WITH_SIBLINGS, Args
from configs.common import check_subsets

from mgmp_jax import models, training
from mgmp_jax.config import PAPER, PAPER_WITHOUT_GENERATOR
from mgmp_jax.data.halves import halves
from mgmp_jax.methods import FittedMGMP
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore

FROZEN_SEED = 3001
"""Of the frozen random generator."""

AllAnswers = Mapping[ModelSpec, Responses]
"""The responses of every model on one set of queries."""


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A model whose relation to the source is asked.

    Args:
        spec: the model.
        kind: one of :data:`configs.cohort.KINDS`, as seen from the cohort's source.
    """

    spec: ModelSpec
    kind: str


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Everybody.

    Args:
        row: source, pool and variants of MGMP; it has no evaluation pairs.
        siblings: of the source; with it the candidates of the sibling test.
        suspects: of every kind, on the evaluation tasks.
        rehearsal: descendants of every candidate on the pool tasks, by which the sibling test's
            statistic is chosen: all candidates have equally many, so the choice does not know
            which of them is the source.
        families: descendants of every candidate on the evaluation tasks.
    """

    row: Row
    siblings: tuple[ModelSpec, ...]
    suspects: tuple[Suspect, ...]
    rehearsal: tuple[ModelSpec, ...]
    families: tuple[ModelSpec, ...]

    @property
    def candidates(self) -> tuple[ModelSpec, ...]:
        """Of the sibling test, the source first."""
        return (self.row.source, *self.siblings)

    @property
    def specs(self) -> list[ModelSpec]:
        """All models once, the source first."""
        suspects = [suspect.spec for suspect in self.suspects]
        everybody = [*self.candidates, *self.row.specs, *suspects, *self.rehearsal, *self.families]
        return list(dict.fromkeys(everybody))

    @property
    def controls(self) -> list[ModelSpec]:
        """The pool's non-homologous models, by which the sibling test's scores are centred."""
        return [pair.non_homologous for pair in self.row.pool]

    def of_kind(self, *kinds: str) -> list[int]:
        """Finds the suspects of some kinds."""
        return [i for i, suspect in enumerate(self.suspects) if suspect.kind in kinds]

    def folder(self, command: str, what: Any) -> str:
        """Names a folder uniquely for the cohort and ``what`` else decides a result."""
        return address(f"{command}-{self.row.name}", [self.row, self.specs, what])


def make_cohort(args: Args) -> Cohort:
    """Makes the cohort that the arguments ask for.

    On every evaluation task the source and two models of each kind give two suspects each: one
    that keeps the head of what it started from, one with a new head. For siblings and cousins the
    two start from different models, none of which is a candidate of the sibling test.

    Raises:
        ValueError: the subsets or the number of siblings are impossible.
    """
    preset = PRESETS[args.preset]
    check_subsets(args.pool_subsets, args.eval_subsets)
    num_siblings = preset.num_siblings if args.siblings is None else args.siblings
    if not 3 <= num_siblings <= 99:
        raise ValueError(f"--siblings must be from 3 to 99, got {num_siblings}")
    width, data = preset.widths[args.arch], preset.data

    def model(name: str, recipe: Any, images: int, checkpoints: int = 1) -> ModelSpec:
        recipe = recipe_for(recipe, args.arch, data, checkpoints)
        return ModelSpec(args.arch, name, recipe, width=width, num_examples=images)

    source = model(f"{data}10", preset.source, preset.images[0])
    target = model(f"{data}100", preset.target, preset.images[1], preset.checkpoints)

    def task(subset: int, seed: int) -> ModelSpec:
        return dataclasses.replace(target, subset=subset, seed=seed + subset)

    siblings = tuple(source.sibling(101 + i) for i in range(num_siblings))
    others = [source.sibling(201), source.sibling(202)]
    cousins = [source.cousin(301), source.cousin(302)]
    suspects = []
    for subset in args.eval_subsets:
        kept, new = task(subset, 11), task(subset, 31)
        suspects += _descendants([source, source], kept, new, "homologous")
        suspects += _descendants(others, kept, new, "sibling descendant")
        suspects += _descendants(cousins, kept, new, "cousin descendant")
        suspects += [Suspect(spec, "scratch") for spec in (kept, new)]
    suspects += [Suspect(spec, "independent") for spec in (*others, *siblings)]

    def families(subsets: Sequence[int]) -> tuple[ModelSpec, ...]:
        heads: tuple[Literal["keep", "reinit"], ...] = ("keep", "reinit")  # in turn
        return tuple(
            start.descendant(task(subset, 51), heads[i % 2])
            for start in (source, *siblings)
            for i, subset in enumerate(subsets)
        )

    paper = PAPER.replace(generator=args.arch, generator_width=width, **preset.mgmp)
    pairs = [(f"subset {subset}", task(subset, 1)) for subset in args.pool_subsets]
    row = Row(
        name=f"cohort-{data}-{args.arch}-{args.preset}",
        source=source,
        pool=tuple(TaskPair(name, source.descendant(spec), spec) for name, spec in pairs),
        evaluation=(),
        num_queries=preset.num_queries,
        variants=variants(paper, [source.sibling(1001)]),
        seeds=1,
    )
    rehearsal = families(args.pool_subsets)
    return Cohort(row, siblings, tuple(suspects), rehearsal, families(args.eval_subsets))


def _descendants(
    starts: Sequence[ModelSpec], kept: ModelSpec, new: ModelSpec, kind: str
) -> list[Suspect]:
    specs = starts[0].descendant(kept), starts[1].descendant(new, "reinit")
    return [Suspect(spec, kind) for spec in specs]


@dataclasses.dataclass(frozen=True)
class Material:
    """What all methods judge by.

    Args:
        queries: images of each of :data:`configs.cohort.QUERIES`.
        answers: of every model, by kind of queries.
        labels: of the unseen images.
        methods: the variants of MGMP, by name; they judge by training images.
        unfit: why other variants could not be fitted.
    """

    queries: Mapping[str, QuerySet]
    answers: Mapping[str, AllAnswers]
    labels: np.ndarray
    methods: Mapping[str, FittedMGMP]
    unfit: Mapping[str, str]

    def draw(self, n: int, rng: np.random.Generator) -> Material:
        """Draws ``n`` queries of each kind, or all where there are fewer."""
        parts = {of: np.sort(rng.permutation(len(q))[:n]) for of, q in self.queries.items()}
        queries = {of: q.take(parts[of]) for of, q in self.queries.items()}
        answers = {
            of: {spec: r.take(parts[of], queries[of].digest) for spec, r in all_.items()}
            for of, all_ in self.answers.items()
        }
        part, digest = parts[TRAINING], queries[TRAINING].digest
        methods = {
            name: dataclasses.replace(
                method,
                source=method.source.take(part, digest),
                latents=None if method.latents is None else method.latents[part],
            )
            for name, method in self.methods.items()
        }
        return Material(queries, answers, self.labels[parts[UNSEEN]], methods, self.unfit)


def take_part(answers: AllAnswers, n: int) -> AllAnswers:
    """Takes the answers to the first ``n`` queries, or all where there are fewer."""
    return {
        spec: r if len(r) <= n else r.take(np.arange(n), f"{r.queries}:{n}")
        for spec, r in answers.items()
    }


def frozen_variants(row: Row) -> dict[str, Variant]:
    """Makes the paper's MGMP and the extended one for a generator that stays as initialised.

    The paper's classifier is trained as the one without generator, many epochs of it.
    """
    paper, extended = (row.variants[name] for name in ("paper", "extended"))
    config = PAPER_WITHOUT_GENERATOR.replace(
        response=paper.config.response, batch_size=paper.config.batch_size
    )
    return {
        "paper, frozen random generator": Variant(config),
        "extended, frozen random generator": dataclasses.replace(extended, generators=()),
    }


def _fit_all(
    cohort: Cohort, answering: Answering, folder: Path
) -> tuple[dict[str, FittedMGMP], dict[str, str]]:
    """Fits all variants; says of the others why they cannot be, as for too wide a background."""
    row = cohort.row
    asked: dict[str, tuple[str, Variant, dict[str, Any]]] = {
        name: (f"{slug(name)}/seed0", variant, {}) for name, variant in row.variants.items()
    }
    config = row.variants["paper"].config
    width = {} if config.generator_width is None else {"width": config.generator_width}
    module = models.create(config.generator or "", num_outputs=10, **width)
    variables = module.init(jax.random.key(FROZEN_SEED), jnp.zeros((1, 32, 32, 3)), train=False)
    outputs, embedding = training.predict(module, variables, answering.queries.inputs)
    for name, variant in frozen_variants(row).items():
        latents = embedding if variant.checkpoints else outputs
        generator = Responses(latents, "embedding", answering.queries)
        of = address(slug(name), [variant.config, FROZEN_SEED])
        asked[name] = (of, variant, {"generator": generator})
    extended, name = row.variants["extended"], WITH_SIBLINGS.removeprefix("MGMP ")
    of = address(slug(name), [extended, cohort.siblings])
    asked[name] = (of, extended, {"siblings": cohort.siblings})
    fitted, unfit = {}, {}
    for name, (of, variant, more) in asked.items():
        try:
            found = answering.fit_or_load(folder / of, row, variant, name, **more)
            fitted[f"MGMP {name}"] = found
        except ValueError as error:
            unfit[f"MGMP {name}"] = str(error)
            training.console.print(f"[bold]{name} was not fitted:[/] {error}")
    return fitted, unfit


def gather(cohort: Cohort, store: ModelStore, args: Args) -> tuple[Material, int]:
    """Trains all models and fits all MGMPs that are not there yet, and takes all answers.

    Returns:
        The material, and how many models were there before.
    """
    row, found = cohort.row, train_models(cohort.specs, store)
    asked = store.queries(row.source, count=row.num_queries)
    unseen = store.queries(row.source, "test", _at_most(store, row))
    answering, folder = Answering(store, asked), args.out / address(row.name, row)
    methods, unfit = _fit_all(cohort, answering, folder)
    parts = (asked, unseen, QuerySet.images(halves(unseen.inputs)))
    queries = dict(zip(QUERIES, parts, strict=True))
    answers = {
        name: {spec: store.responses(spec, part) for spec in cohort.specs}
        for name, part in queries.items()
    }
    labels = store.examples(row.source, "test").labels[: len(unseen)]
    return Material(queries, answers, labels, methods, unfit), found


def _at_most(store: ModelStore, row: Row) -> int:
    """The row's number of queries, or all unseen images where there are fewer."""
    there = len(store.examples(row.source, "test"))
    return there if row.num_queries is None else min(row.num_queries, there)
