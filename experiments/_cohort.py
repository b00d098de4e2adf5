"""A source with its siblings, suspects of every kind, and what all methods judge them by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from _rows import (
    Answering,
    Row,
    TaskPair,
    Variant,
    check_subsets,
    fit_or_load,
    fit_variants,
    slug,
    train_models,
    variants,
)
from _run import address
from configs.cifar import recipe_for
from configs.cohort import PRESETS, Args, Preset

from mgmp_jax import models, training
from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR
from mgmp_jax.data.halves import halves
from mgmp_jax.methods import MGMP, FittedMGMP
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore

FROZEN_SEED = 3001
"""Of the frozen random generator."""

QUERIES: tuple[str, ...] = ("training images", "unseen images", "halves of two")
"""Kinds of queries: what the source was trained on; what no model was; halves of two of
these, side by side."""
TRAINING, UNSEEN, HALVES = QUERIES

WITH_SIBLINGS = "MGMP extended, with siblings"
"""The variant whose background holds the source's siblings; they are no suspects of it."""

AllAnswers = Mapping[ModelSpec, Responses]
"""The responses of every model on one set of queries."""


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A model whose relation to the source is asked.

    Args:
        spec: the model.
        kind: one of :data:`KINDS`, as seen from the cohort's source.
    """

    spec: ModelSpec
    kind: str


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Everybody.

    Args:
        row: source, pool and variants of MGMP; its evaluation pairs are left out.
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
    def address(self) -> str:
        """A name unique to all that decides its numbers."""
        return address(self.row.name, [self.row, self.specs])

    @property
    def candidates(self) -> tuple[ModelSpec, ...]:
        """Of the sibling test, the source first."""
        return (self.row.source, *self.siblings)

    @property
    def specs(self) -> list[ModelSpec]:
        """All models once, the source first."""
        pairs = [spec for pair in self.row.pool for spec in pair.specs]
        suspects = [suspect.spec for suspect in self.suspects]
        generators = [g for variant in self.row.variants.values() for g in variant.generators]
        everybody = [*self.candidates, *generators, *pairs, *suspects, *self.rehearsal]
        everybody += self.families
        return list(dict.fromkeys(everybody))

    @property
    def controls(self) -> list[ModelSpec]:
        """The pool's non-homologous models, by which the sibling test's scores are centred."""
        return [pair.non_homologous for pair in self.row.pool]

    def of_kind(self, kind: str) -> list[int]:
        """Which of the suspects are of a kind."""
        return [i for i, suspect in enumerate(self.suspects) if suspect.kind == kind]


def make_cohort(args: Args) -> Cohort:
    """The cohort that the arguments ask for.

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
    source = ModelSpec(
        args.arch,
        f"{preset.data}10",
        recipe_for(preset.source, args.arch, preset.augment),
        width=preset.widths[args.arch],
        num_examples=preset.source_images,
    )
    siblings = tuple(source.sibling(101 + i) for i in range(num_siblings))
    others = [source.sibling(201), source.sibling(202)]
    cousins = [source.cousin(301), source.cousin(302)]
    generator = source.sibling(1001)
    pool = tuple(
        TaskPair(f"subset {s}", source.descendant(task), task)
        for s in args.pool_subsets
        for task in (_task(args, preset, s, 1 + s),)
    )
    paper = PAPER.replace(
        generator=args.arch, generator_width=preset.widths[args.arch], **preset.mgmp
    )
    return Cohort(
        row=Row(
            name=f"cohort-{preset.data}-{args.arch}-{args.preset}",
            source=source,
            pool=pool,
            evaluation=(),
            num_queries=preset.num_queries,
            variants=variants(
                paper,
                PAPER_WITHOUT_GENERATOR.replace(batch_size=paper.batch_size),
                EXTENDED.replace(batch_size=paper.batch_size),
                [generator],
            ),
            seeds=1,
            paper="-",
        ),
        siblings=siblings,
        suspects=tuple(_suspects(args, preset, source, siblings, others, cousins)),
        rehearsal=_families(args, preset, (source, *siblings), args.pool_subsets),
        families=_families(args, preset, (source, *siblings), args.eval_subsets),
    )


def _suspects(
    args: Args,
    preset: Preset,
    source: ModelSpec,
    siblings: Sequence[ModelSpec],
    others: Sequence[ModelSpec],
    cousins: Sequence[ModelSpec],
) -> list[Suspect]:
    found = []
    for subset in args.eval_subsets:
        kept, new = (_task(args, preset, subset, seed + subset) for seed in (11, 31))
        for start in (source, *others):
            kind = "homologous" if start == source else "sibling descendant"
            if start != others[-1]:
                found.append(Suspect(start.descendant(kept), kind))
            if start != others[0]:
                found.append(Suspect(start.descendant(new, "reinit"), kind))
        for start, task, head in zip(cousins, (kept, new), ("keep", "reinit"), strict=True):
            found.append(Suspect(start.descendant(task, head), "cousin descendant"))
        found += [Suspect(task, "scratch") for task in (kept, new)]
    found += [Suspect(spec, "independent") for spec in (*others, *siblings)]
    return found


def _families(
    args: Args, preset: Preset, candidates: Sequence[ModelSpec], subsets: Sequence[int]
) -> tuple[ModelSpec, ...]:
    """A descendant of every candidate on every task, the head kept or new task by task."""
    return tuple(
        start.descendant(_task(args, preset, subset, 51 + subset), ("keep", "reinit")[i % 2])
        for start in candidates
        for i, subset in enumerate(subsets)
    )


def _task(args: Args, preset: Preset, subset: int, seed: int) -> ModelSpec:
    return ModelSpec(
        args.arch,
        f"{preset.data}100",
        recipe_for(preset.target, args.arch, preset.augment),
        width=preset.widths[args.arch],
        subset=subset,
        num_examples=preset.target_images,
        seed=seed,
    )


@dataclasses.dataclass(frozen=True)
class Material:
    """What all methods judge by.

    Args:
        queries: images of each of :data:`QUERIES`.
        answers: of every model, by kind of queries.
        labels: of the unseen images.
        methods: the variants of MGMP, by name; they judge by training images.
    """

    queries: Mapping[str, QuerySet]
    answers: Mapping[str, AllAnswers]
    labels: np.ndarray
    methods: Mapping[str, FittedMGMP]

    def draw(self, n: int, rng: np.random.Generator) -> Material:
        """A random part with ``n`` queries of each kind, or all where there are fewer."""
        parts = {of: np.sort(rng.permutation(len(q))[:n]) for of, q in self.queries.items()}
        queries = {of: q.take(parts[of]) for of, q in self.queries.items()}
        digests = {of: q.digest for of, q in queries.items()}
        answers = {
            of: {spec: r.take(parts[of], digests[of]) for spec, r in all_.items()}
            for of, all_ in self.answers.items()
        }
        part = parts[TRAINING]
        methods = {
            name: dataclasses.replace(
                method,
                source=method.source.take(part, digests[TRAINING]),
                latents=None if method.latents is None else method.latents[part],
            )
            for name, method in self.methods.items()
        }
        return Material(queries, answers, self.labels[parts[UNSEEN]], methods)


def take_part(answers: AllAnswers, n: int) -> AllAnswers:
    """The answers to the first ``n`` queries, or all where there are fewer."""
    return {
        spec: r if len(r) <= n else r.take(np.arange(n), f"{r.queries}:{n}")
        for spec, r in answers.items()
    }


def frozen_variants(row: Row) -> dict[str, Variant]:
    """The paper's MGMP and the extended one, with a generator that stays as it was initialised.

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


def _frozen_methods(row: Row, queries: QuerySet) -> dict[str, MGMP]:
    config = row.variants["paper"].config
    width = {} if config.generator_width is None else {"width": config.generator_width}
    module = models.create(config.generator or "", num_outputs=10, **width)
    variables = module.init(jax.random.key(FROZEN_SEED), jnp.zeros((1, 32, 32, 3)), train=False)
    outputs, embedding = training.predict(module, variables, queries.inputs)
    return {
        name: MGMP(
            variant.config,
            Responses(embedding if variant.checkpoints else outputs, "embedding", queries),
            name=name,
        )
        for name, variant in frozen_variants(row).items()
    }


def gather(cohort: Cohort, store: ModelStore, args: Args) -> tuple[Material, int]:
    """Trains all models and fits all MGMPs that are not there yet, and takes all answers.

    Returns:
        The material, and how many models were there before.
    """
    row, found = cohort.row, train_models(cohort.specs, store)
    training_queries = store.queries(row.source, count=row.num_queries)
    unseen = store.queries(row.source, "test", row.num_queries)
    labels = store.examples(row.source, "test").labels[: row.num_queries]
    answering = Answering(store, training_queries, "logits")
    folder = args.out / row.address
    methods = {name: fitted for (name, _), fitted in fit_variants(row, answering, folder).items()}
    for name, method in _frozen_methods(row, training_queries).items():
        references = answering.references(row, frozen_variants(row)[name])
        what = address(slug(name), [method.config, FROZEN_SEED])
        methods[name] = fit_or_load(folder / what, method, references)
    extended, name = row.variants["extended"], WITH_SIBLINGS.removeprefix("MGMP ")
    methods[name] = fit_or_load(
        folder / address(slug(name), [extended, cohort.siblings]),
        answering.method(extended, name, 0),
        answering.references(row, extended, cohort.siblings),
    )
    parts = (training_queries, unseen, QuerySet.images(halves(unseen.inputs)))
    queries = dict(zip(QUERIES, parts, strict=True))
    answers = {
        name: {spec: store.responses(spec, part) for spec in cohort.specs}
        for name, part in queries.items()
    }
    named = {f"MGMP {name}": method for name, method in methods.items()}
    return Material(queries, answers, labels, named), found
