"""A source with its siblings, suspects of every kind, and the answers that they are judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _rows import Answering, Row, TaskPair, slug, train_models
from _run import address
from _specs import source_and_target
from _variants import Variant, changed, variants
from configs.cohort import PRESETS, QUERIES, TRAINING, UNSEEN, Args
from configs.common import check_subsets

from mgmp_jax import models, training
from mgmp_jax.config import PAPER, MGMPConfig
from mgmp_jax.data.halves import halves
from mgmp_jax.growth import restrict
from mgmp_jax.methods import Fitted, FittedMGMP
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore

FROZEN_SEED = 3001
"""Of the frozen random generator."""

AllAnswers = Mapping[ModelSpec, Responses]
"""The responses of every model on one set of queries."""


class Suspect(NamedTuple):
    """A model, and which of :data:`configs.cohort.KINDS` it is for the cohort's source."""

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
        controls: by which the sibling test's scores are centred, the pool's non-homologous models.
        tuned_controls: others that could be, on the same tasks: descendants of two further
            siblings, which are no candidates.
        negatives: descendants of a quarter of the siblings on the pool's tasks, made as the pool's
            homologous models are: MGMP may learn from them. Their parents are in no background
            then, as a suspect's parent is in none.
    """

    row: Row
    siblings: tuple[ModelSpec, ...]
    suspects: tuple[Suspect, ...]
    rehearsal: tuple[ModelSpec, ...]
    families: tuple[ModelSpec, ...]
    controls: tuple[ModelSpec, ...]
    tuned_controls: tuple[ModelSpec, ...]
    negatives: tuple[ModelSpec, ...]

    @property
    def candidates(self) -> tuple[ModelSpec, ...]:
        """Of the sibling test, the source first."""
        return (self.row.source, *self.siblings)

    @property
    def specs(self) -> list[ModelSpec]:
        """All models once, the source first."""
        suspects = [suspect.spec for suspect in self.suspects]
        others = (*self.rehearsal, *self.families, *self.tuned_controls, *self.negatives)
        return list(dict.fromkeys([*self.candidates, *self.row.specs, *suspects, *others]))

    @property
    def kinds(self) -> list[str]:
        """Of the suspects."""
        return [suspect.kind for suspect in self.suspects]

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
    """
    preset = PRESETS[args.preset]
    check_subsets(args.pool_subsets, args.eval_subsets)
    num_siblings = preset.num_siblings if args.siblings is None else args.siblings
    if not 3 <= num_siblings <= 99:
        raise ValueError(f"--siblings must be from 3 to 99, got {num_siblings}")
    source, target = source_and_target(preset, args.arch, preset.data)

    def task(subset: int, seed: int) -> ModelSpec:
        return dataclasses.replace(target, subset=subset, seed=seed + subset)

    def families(starts: Sequence[ModelSpec], subsets: Sequence[int]) -> tuple[ModelSpec, ...]:
        heads: tuple[Literal["keep", "reinit"], ...] = ("keep", "reinit")  # in turn
        return tuple(
            start.descendant(task(subset, 51), heads[i % 2])
            for start in starts
            for i, subset in enumerate(subsets)
        )

    siblings = tuple(source.sibling(101 + i) for i in range(num_siblings))
    starts = {
        "homologous": (source, source),
        "sibling descendant": (source.sibling(201), source.sibling(202)),
        "cousin descendant": (source.cousin(301), source.cousin(302)),
    }
    suspects = []
    for subset in args.eval_subsets:
        kept, new = task(subset, 11), task(subset, 31)
        for kind, (one, other) in starts.items():
            specs = one.descendant(kept), other.descendant(new, "reinit")
            suspects += [Suspect(spec, kind) for spec in specs]
        suspects += [Suspect(spec, "scratch") for spec in (kept, new)]
    others = (*starts["sibling descendant"], *siblings)
    suspects += [Suspect(spec, "independent") for spec in others]
    paper = PAPER.replace(generator=args.arch, generator_width=source.width, **preset.mgmp)
    pairs = [(f"subset {subset}", task(subset, 1)) for subset in args.pool_subsets]
    row = Row(
        name=f"cohort-{preset.data}-{args.arch}-{args.preset}",
        source=source,
        pool=tuple(TaskPair(name, source.descendant(spec), spec) for name, spec in pairs),
        evaluation=(),
        num_queries=preset.num_queries,
        variants=variants(paper, [source.sibling(1001)]),
        seeds=1,
    )
    controls = tuple(pair.non_homologous for pair in row.pool)
    parents = siblings[-max(num_siblings // 4, 1) :]
    return Cohort(
        row,
        siblings,
        tuple(suspects),
        families((source, *siblings), args.pool_subsets),
        families((source, *siblings), args.eval_subsets),
        controls,
        families((source.sibling(203), source.sibling(204)), args.pool_subsets),
        tuple(parent.descendant(control) for parent in parents for control in controls),
    )


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
    methods: Mapping[str, Fitted]
    unfit: Mapping[str, str]

    def draw(self, n: int, rng: np.random.Generator) -> Material:
        """Draws ``n`` queries of each kind, or all where there are fewer."""
        parts = {which: np.sort(rng.permutation(len(q))[:n]) for which, q in self.queries.items()}
        queries = {which: q.take(parts[which]) for which, q in self.queries.items()}
        answers = {
            which: {spec: r.take(parts[which], queries[which].digest) for spec, r in all_.items()}
            for which, all_ in self.answers.items()
        }
        part, digest = parts[TRAINING], queries[TRAINING].digest
        methods = {name: restrict(one, part, digest) for name, one in self.methods.items()}
        return Material(queries, answers, self.labels[parts[UNSEEN]], methods, self.unfit)


def _frozen_latents(config: MGMPConfig, queries: QuerySet) -> tuple[Responses, Responses]:
    """Takes outputs and embedding of a generator that stays as initialised."""
    width = {} if config.generator_width is None else {"width": config.generator_width}
    module = models.create(config.generator or "", num_outputs=10, **width)
    variables = module.init(jax.random.key(FROZEN_SEED), jnp.zeros((1, 32, 32, 3)), train=False)
    outputs, embedding = training.predict(module, variables, queries.inputs)
    return Responses(outputs, "embedding", queries), Responses(embedding, "embedding", queries)


def _fit_all(
    cohort: Cohort, answering: Answering, folder: Path
) -> tuple[dict[str, FittedMGMP], dict[str, str]]:
    """Fits all variants; says of the others why they cannot be, as for too wide a background."""
    row = cohort.row
    asked: dict[str, tuple[Variant, dict[str, Any]]]
    asked = {name: (variant, {}) for name, variant in row.variants.items()}
    paper, plain = row.variants["paper"].config, row.variants["paper, without generator"]
    plain = changed(plain, response=paper.response)
    outputs, embedding = _frozen_latents(paper, answering.queries)
    bare = row.variants["extended, background only"]
    asked["paper, frozen random generator"] = plain, {"generator": outputs}
    asked["extended, frozen random generator"] = bare, {"generator": embedding}
    extended, parents = row.variants["extended"], {spec.start for spec in cohort.negatives}
    others = [spec for spec in cohort.siblings if spec not in parents]
    asked["extended, with siblings"] = extended, {"siblings": cohort.siblings}
    asked["extended, with siblings and others' descendants"] = (
        extended,
        {"siblings": others, "negatives": cohort.negatives},
    )
    fitted, unfit = {}, {}
    for name, (variant, more) in asked.items():
        specs = [more.get("siblings"), *more.get("negatives", ())]
        place = folder / address(slug(name), [variant, FROZEN_SEED, *specs])
        try:
            fitted[f"MGMP {name}"] = answering.fit_or_load(place, variant, name, **more)
        except ValueError as error:
            unfit[f"MGMP {name}"] = str(error)
            training.console.print(f"[bold]{name} was not fitted:[/] {error}")
    return fitted, unfit


def ask(cohort: Cohort, store: ModelStore) -> dict[str, QuerySet]:
    """Makes the queries of each of :data:`configs.cohort.QUERIES`."""
    source, most = cohort.row.source, cohort.row.num_queries
    number = len(store.examples(source, "test").labels[:most])
    asked, unseen = store.queries(source, count=most), store.queries(source, "test", number)
    parts = (asked, unseen, QuerySet.images(halves(unseen.inputs)))
    return dict(zip(QUERIES, parts, strict=True))


def gather(cohort: Cohort, store: ModelStore, args: Args) -> Material:
    """Trains all models and fits all MGMPs that are not there yet, and takes all answers."""
    row = cohort.row
    train_models(cohort.specs, store, args)
    queries = ask(cohort, store)
    folder = args.out / address(row.name, row)
    methods, unfit = _fit_all(cohort, Answering(store, row, queries[TRAINING]), folder)
    labels = store.examples(row.source, "test").labels[: len(queries[UNSEEN])]
    answers = {
        name: {spec: store.responses(spec, part) for spec in cohort.specs}
        for name, part in queries.items()
    }
    return Material(queries, answers, labels, methods, unfit)
