"""What the methods are compared by: queries, every model's answers to them, and MGMPs."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from command import address
from pipeline import PoolAnswers, fit_method, slug, take_responses, train_mgmp
from row import Method, Row
from tracing import Answers, take_part
from zoo import Zoo

from mgmp_jax import models, training
from mgmp_jax.config import PAPER_WITHOUT_GENERATOR
from mgmp_jax.data.halves import halves
from mgmp_jax.pool import Pool
from mgmp_jax.responses import Responses, query_digest
from mgmp_jax.spec import ModelSpec
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

FROZEN_SEED = 3001
"""Of the frozen random generator."""

QUERIES: tuple[str, ...] = ("training images", "unseen images", "halves of two")
"""Kinds of queries: what the source was trained on; what no model was; halves of two of
these, side by side."""
TRAINING, UNSEEN, HALVES = QUERIES


@dataclasses.dataclass(frozen=True)
class Material:
    """What all methods judge by.

    Args:
        queries: images of each of :data:`QUERIES`.
        answers: of every model, by kind of queries.
        labels: of the unseen images.
        verifiers: the variants of MGMP, by name; they judge by training images.
    """

    queries: Mapping[str, np.ndarray]
    answers: Mapping[str, Answers]
    labels: np.ndarray
    verifiers: Mapping[str, Verifier]

    def draw(self, n: int, rng: np.random.Generator) -> "Material":
        """A random part with ``n`` queries of each kind, or all where there are fewer."""
        parts = {
            of: np.sort(rng.permutation(len(images))[:n]) for of, images in self.queries.items()
        }
        return Material(
            {of: images[parts[of]] for of, images in self.queries.items()},
            {of: take_part(answers, parts[of]) for of, answers in self.answers.items()},
            self.labels[parts[UNSEEN]],
            {name: _part(verifier, parts[TRAINING]) for name, verifier in self.verifiers.items()},
        )


def _part(verifier: Verifier, part: np.ndarray) -> Verifier:
    """A verifier that asks some of its queries only."""
    queries, latents = verifier.queries[part], verifier.latents
    source = Responses(
        verifier.source.values[part], verifier.config.response, query_digest(queries)
    )
    trained = verifier.config.generator is not None  # and makes its latents itself
    latents = None if trained or latents is None else latents[part]
    return Verifier(verifier.config, verifier.variables, queries, source, latents)


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
    variables = module.init(jax.random.key(FROZEN_SEED), jnp.zeros((1, 32, 32, 3)), train=False)
    outputs, embedding = training.predict(module, variables, queries)
    return {
        name: fit_method(
            row,
            method,
            queries,
            answers,
            latents=embedding if method.consensus else outputs,
            folder=folder / address(slug(name), [method, FROZEN_SEED]),
            name=name,
        )
        for name, method in frozen_methods(row).items()
    }


def all_specs(zoo: Zoo) -> list[ModelSpec]:
    """All models of a zoo and the generators of its methods."""
    generators = [g for method in zoo.row.methods.values() for g in method.generators]
    return list(dict.fromkeys([*zoo.specs, *generators]))


def gather(zoo: Zoo, pool: Pool, out: Path) -> Material:
    """Trains all models and all MGMPs that are not there yet, and takes all answers."""
    specs = all_specs(zoo)
    console.print(f"[bold]1. {len(specs)} models[/]")
    pool.train(specs)
    examples = pool.examples(zoo.row.source, "train").take(zoo.row.num_queries)
    unseen = pool.examples(zoo.row.source, "test").take(zoo.row.num_queries)
    of_row = take_responses(zoo.row, pool, examples.inputs)
    folder = out / zoo.row.address
    trained = train_mgmp(zoo.row, pool, folder, examples.inputs, of_row)
    verifiers = {name: verifier for (name, _), verifier in trained.items()}
    verifiers |= frozen_random(zoo.row, examples.inputs, of_row, folder)
    images = (examples.inputs, unseen.inputs, halves(unseen.inputs))
    queries = dict(zip(QUERIES, images, strict=True))
    return Material(
        queries,
        {
            name: {spec: pool.responses(spec, inputs).values for spec in zoo.specs}
            for name, inputs in queries.items()
        },
        unseen.labels,
        {f"MGMP {name}": verifier for name, verifier in verifiers.items()},
    )
