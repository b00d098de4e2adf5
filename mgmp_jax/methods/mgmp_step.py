"""MGMP's train step: generator and provenance classifier, jointly, on a pool's responses.

The pool models are frozen, so their responses are constants: a step costs one forward and
backward pass of the generator, whatever the size of the pool.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mgmp_jax import data as datasets
from mgmp_jax import dna, losses, models, training
from mgmp_jax.config import MGMPConfig
from mgmp_jax.models import Classifier

__all__ = [
    "NUMBERS",
    "classify",
    "generate",
    "init",
    "like",
    "make_loss",
    "make_stacked_step",
    "make_step",
]

Numbers = Mapping[str, Any]
"""By the names of :data:`NUMBERS`."""


def init(config: MGMPConfig, inputs: np.ndarray | None, width: int, key: Any) -> dict[str, Any]:
    """Initialises the variables of generator and classifier.

    Args:
        config: what to make.
        inputs: what the generator reads, of which the shape counts; ``None`` without one.
        width: of the responses, or of the fragments where no generator is trained.
        key: a PRNG key.
    """
    generator_key, classifier_key = jax.random.split(key)
    params, batch_stats, latent = {}, {}, None
    generator = _generator(config, width)
    if generator is not None and inputs is not None:
        example = np.asarray(datasets.model_inputs(inputs[:1]))
        variables = models.initial_variables(generator, generator_key, example)
        params["generator"], batch_stats = variables["params"], variables["batch_stats"]
        latent = jnp.zeros((1, generator.num_outputs))
    how = "addition" if generator is None else config.assemble
    example = dna.assemble(latent, jnp.zeros((1, width)), how)
    context = dna.set_context(example, example) if config.context else None
    pair = _pair_inputs(example, example, context)
    drawn = models.initial_variables(_classifier(config), classifier_key, np.asarray(pair))
    params["classifier"] = drawn["params"]
    return {"params": params, "batch_stats": batch_stats}


NUMBERS = (
    "temperature",
    "similarity_weight",
    "cohesion_weight",
    "weight_decay",
    "learning_rate",
)
"""Fields of a config that a compiled step takes as arguments."""

_IRRELEVANT = ("epochs", "batch_size", "response", "background")
"""Fields that change what a step is given, not the step."""


def make_step(config: MGMPConfig, width: int) -> tuple[training.Step, optax.GradientTransformation]:
    """Makes the joint step: Adam on :func:`make_loss` over generator and classifier.

    Configs that differ in :data:`NUMBERS` alone share what is compiled of it.

    Returns:
        A :class:`jax.tree_util.Partial` whose only argument is those numbers; and the optimiser.
    """
    step = jax.tree_util.Partial(_numbered_step(like(config), width), _numbers(config))
    return step, optax.adam(config.learning_rate)


def make_stacked_step(configs: Sequence[MGMPConfig], width: int) -> training.Step:
    """Makes one step of several trainings, by ``vmap``, where :func:`like` gives one config.

    Leaves of states, keys and metrics are stacked along the first axis; those of batches along
    the second, so that the first is still that along which devices split them.
    """
    (config,) = {like(config) for config in configs}
    stacked = jax.tree.map(lambda *x: np.stack(x), *map(_numbers, configs))
    return jax.tree_util.Partial(_stacked_step(config, width), stacked)


def _numbers(config: MGMPConfig) -> Numbers:
    return {name: np.float32(getattr(config, name)) for name in NUMBERS}


def like(config: MGMPConfig) -> MGMPConfig:
    """Gives the one config that stands for all whose compiled step is the same."""
    fields = {field.name: field.default for field in dataclasses.fields(config)}
    same = {name: fields[name] for name in (*NUMBERS, *_IRRELEVANT)}
    if config.generator is None:  # the fragments are made already
        same |= {"assemble": fields["assemble"], "align": False, "reduction": "mean"}
    return config.replace(**same)


@functools.lru_cache(maxsize=16)
def _numbered_step(config: MGMPConfig, width: int) -> Callable:
    def step(numbers: Numbers, state: training.TrainState, batch: training.Batch, key: Any):
        loss_fn = functools.partial(make_loss(config, width), numbers=numbers)
        optimizer = optax.adam(numbers["learning_rate"])
        return training.make_step(loss_fn, optimizer)(state, batch, key)

    return step


@functools.lru_cache(maxsize=16)
def _stacked_step(config: MGMPConfig, width: int) -> Callable:
    return jax.vmap(_numbered_step(config, width), in_axes=(0, 0, 1, 0))


def make_loss(config: MGMPConfig, width: int) -> Callable:
    """Makes Eq. 7 plus Eq. 8 a function of ``(params, batch_stats, batch, key)``.

    Without a generator to train there is nothing that Eq. 7 could change, and the loss is Eq. 8
    alone. A batch is what :func:`mgmp_jax.methods.fragments.gather_pair` gives.

    Args:
        config: of the MGMP; the function also takes ``numbers``, to be used in place of its own.
        width: as for :func:`init`.
    """
    generator, classifier = _generator(config, width), _classifier(config)
    own = {name: getattr(config, name) for name in NUMBERS}

    def loss_fn(
        params: Any, batch_stats: Any, batch: training.Batch, key: Any, numbers: Numbers = own
    ):
        generator_key, classifier_key = jax.random.split(key)
        sets = [batch[name] for name in ("source", "homologous", "non_homologous")]
        if generator is not None:
            z, updates = generator.apply(
                {"params": params["generator"], "batch_stats": batch_stats},
                datasets.model_inputs(batch["inputs"]),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": generator_key},
            )
            z, batch_stats = _bounded(config, z, sets[0]), updates.get("batch_stats", {})
            sets = [dna.assemble(z, responses, config.assemble) for responses in sets]
        s, t, n = sets
        pairs = [
            _pair_inputs(s, t, batch.get("homologous_context")),
            _pair_inputs(s, n, batch.get("non_homologous_context")),
        ]
        labels = jnp.repeat(jnp.array([1.0, 0.0]), len(s))
        logits: Any = classifier.apply(
            {"params": params["classifier"]},
            jnp.concatenate(pairs),
            train=True,
            rngs={"dropout": classifier_key},
        )
        provenance = losses.provenance_loss(logits, labels)
        accuracy = jnp.mean((logits >= 0) == (labels == 1))
        if generator is None:
            return provenance, (batch_stats, {"accuracy": accuracy})
        options = {"temperature": numbers["temperature"], "reduction": config.reduction}
        terms = {
            "similarity": losses.similarity_loss(s, t, n, **options),
            "cohesion": losses.cohesion_loss(s, t, n, **options),
            "weights": optax.tree.norm(params["generator"], squared=True),
            "provenance": provenance,
        }
        loss = (
            numbers["similarity_weight"] * terms["similarity"]
            + numbers["cohesion_weight"] * terms["cohesion"]
            + numbers["weight_decay"] * terms["weights"]
            + provenance
        )
        return loss, (batch_stats, {"accuracy": accuracy, **terms})

    return loss_fn


def generate(
    config: MGMPConfig, variables: Any, inputs: np.ndarray, source: np.ndarray
) -> np.ndarray:
    """Computes the latents ``g(x)`` of all queries by the trained generator, ``[n, z]``.

    Args:
        config: of the MGMP.
        variables: of generator and classifier.
        inputs: what the generator reads of the queries.
        source: the source's responses to them, ``[n, d]``.
    """
    generator_variables = {
        "params": variables["params"]["generator"],
        "batch_stats": variables["batch_stats"],
    }
    generator = _generator(config, source.shape[1])
    latents = training.predict(generator, generator_variables, inputs)[0]
    return np.asarray(_bounded(config, latents, source))


def _bounded(config: MGMPConfig, latents: Any, source: Any) -> Any:
    """Brings latents to the root mean square of the source's responses, where config says so."""
    if not config.bound_latents:
        return latents
    own = jnp.mean(jnp.square(latents), axis=-1, keepdims=True)
    return latents * jnp.sqrt(jnp.mean(jnp.square(source)) / (own + 1e-12))


def classify(config: MGMPConfig, classifier: Any, source: Any, target: Any) -> np.ndarray:
    """Computes ``f_p`` for every pair of fragments, ``[n]``, in (0, 1) (Eq. 9).

    Args:
        config: of the MGMP.
        classifier: parameters of the classifier.
        source: fragments of the source, ``[n, o]``.
        target: fragments of the model in question, ``[n, o]``.
    """
    return np.asarray(_compiled_scores(like(config))(classifier, source, target))


@functools.lru_cache(maxsize=16)
def _compiled_scores(config: MGMPConfig) -> Callable:
    def scores(params: Any, s: Any, t: Any) -> Any:
        pair = _pair_inputs(s, t, dna.set_context(s, t) if config.context else None)
        logits: Any = _classifier(config).apply({"params": params}, pair, train=False)
        return jax.nn.sigmoid(logits)

    return jax.jit(scores)


def _pair_inputs(source: Any, target: Any, context: Any | None) -> Any:
    """What the classifier sees of each pair of fragments, ``[n, ...]``."""
    pair = [source, target]
    if context is not None:
        pair += [source * target, jnp.broadcast_to(context, (len(source), context.shape[-1]))]
    return jnp.concatenate(pair, axis=-1)


def _generator(config: MGMPConfig, width: int) -> Any:
    if config.generator is None:
        return None
    given = {"width": config.generator_width, "vocab_size": config.generator_vocab_size}
    options = {name: value for name, value in given.items() if value is not None}
    return models.create(
        config.generator,
        num_outputs=config.latent or width,
        **options,
        dtype=training.compute_dtype(),
    )


def _classifier(config: MGMPConfig) -> Classifier:
    return Classifier(width=config.classifier_width, dropout=config.dropout)
