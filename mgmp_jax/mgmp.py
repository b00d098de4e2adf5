"""MGMP: generator and provenance classifier, trained jointly on a pool's responses.

The pool models are frozen, so their responses are constants: a training step costs one
forward and backward pass of the generator, whatever the size of the pool.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mgmp_jax import data as datasets
from mgmp_jax import dna, losses, models, pool, training
from mgmp_jax.models import Classifier
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["EXTENDED", "PAPER", "MGMPConfig", "fit", "fragment_scores", "fragments", "latents", "prepare"]


@dataclasses.dataclass(frozen=True)
class MGMPConfig:
    """What MGMP is made of and how it is trained.

    Args:
        generator: a name that :func:`mgmp_jax.models.create` knows; ``None`` is MGMP without
            generator, whose fragments are the responses alone.
        generator_width: of its architecture, ``None`` for its own.
        latent: ``|z|``; ``None`` is the width of the source's responses.
        assemble: how latents and responses become fragments.
        response: which responses the models give.
        align: map targets' responses linearly into the source's coordinates first.
        context: let the classifier see, beside a pair of fragments, their product and the
            correlations of the two DNA sets as wholes.
        temperature: ``tau`` of Eq. 5 and 6.
        similarity_weight: of Eq. 5 in the loss; the paper's is 1.
        cohesion_weight: of Eq. 6 in the loss; the paper's is 1.
        weight_decay: ``lambda`` of Eq. 7.
        reduction: of Eq. 5 and 6 over a mini-batch; ``"sum"`` is the paper's.
        classifier_width: of the classifier's hidden layers.
        dropout: rate in the classifier.
        learning_rate: of Adam, constant.
        epochs: passes over the query set.
        batch_size: queries in a mini-batch.
    """

    generator: str | None = "resnet50"
    generator_width: int | None = None
    latent: int | None = None
    assemble: dna.Assembly = "addition"
    response: ResponseKind = "logits"
    align: bool = True
    context: bool = True
    temperature: float = 0.5
    similarity_weight: float = 1.0
    cohesion_weight: float = 0.0
    weight_decay: float = 1e-4
    reduction: Literal["mean", "sum"] = "mean"
    classifier_width: int = 128
    dropout: float = 0.1
    learning_rate: float = 1e-3
    epochs: int = 20
    batch_size: int = 256


EXTENDED = MGMPConfig()
PAPER = MGMPConfig(align=False, context=False, cohesion_weight=1.0)


def prepare(
    source: Responses, target: Responses, config: MGMPConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that stand for source and target in the fragments, each ``[n, d]``.

    The responses as they are or, with ``config.align``, the standardised source and the target
    mapped into its coordinates.

    Raises:
        ValueError: the query sets or kinds differ or, without alignment, the widths.
    """
    source.check_same_queries(target)
    for responses in (source, target):
        if responses.kind != config.response:
            raise ValueError(
                f"{responses.model or 'responses'} are {responses.kind}, but this MGMP reads "
                f"{config.response}"
            )
    if config.align:
        aligned = dna.align(jnp.asarray(target.values), jnp.asarray(source.values))
        return np.asarray(dna.standardise(jnp.asarray(source.values))), np.asarray(aligned)
    if source.values.shape != target.values.shape:
        raise ValueError(
            f"source and target responses are {source.values.shape[1]} and "
            f"{target.values.shape[1]} wide; without align=True they must be equally wide"
        )
    return source.values, target.values


def init(config: MGMPConfig, images: np.ndarray, width: int, key: Any) -> dict[str, Any]:
    """Initial variables of generator and classifier, for responses ``width`` wide."""
    generator_key, classifier_key = jax.random.split(key)
    params, batch_stats, latent = {}, {}, None
    generator = _generator(config, width)
    if generator is not None:
        init_fn = jax.jit(functools.partial(generator.init, train=False))
        variables = init_fn(generator_key, datasets.normalise(images[:1]))
        params["generator"] = variables["params"]
        batch_stats = variables.get("batch_stats", {})
        latent = jnp.zeros((1, generator.num_outputs))
    example = dna.assemble(latent, jnp.zeros((1, width)), config.assemble)
    inputs = _pair_inputs(example, example, config.context)
    params["classifier"] = _classifier(config).init(classifier_key, inputs, train=False)["params"]
    return {"params": params, "batch_stats": batch_stats}


def fit(
    config: MGMPConfig,
    queries: np.ndarray,
    source: Responses,
    homologous: Sequence[Responses],
    non_homologous: Sequence[Responses],
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    name: str = "mgmp",
) -> dict[str, Any]:
    """Trains generator and classifier on a pool; resumes where it was cut off.

    Args:
        config: what to train.
        queries: uint8 images of ``D_s``, ``[n, h, w, 3]``.
        source: responses of the source model on them.
        homologous: responses of homologous pool models.
        non_homologous: responses of non-homologous pool models.
        seed: of initialisation, order, pairs and dropout.
        folder: for metrics and checkpoints; ``None`` keeps nothing.
        name: for the progress display.

    Returns:
        The variables: ``params`` of generator and classifier, ``batch_stats`` of the generator.

    Raises:
        ValueError: the pool is empty, the responses do not fit each other or the config.
    """
    if not homologous or not non_homologous:
        raise ValueError(
            "the pool needs at least one homologous and one non-homologous model, got "
            f"{len(homologous)} and {len(non_homologous)}"
        )
    if len(queries) != len(source):
        raise ValueError(f"{len(source)} responses for {len(queries)} queries")
    prepared = [[prepare(source, t, config) for t in kind] for kind in (homologous, non_homologous)]
    data = {
        "images": queries,
        "source": prepared[0][0][0],
        "homologous": np.stack([target for _, target in prepared[0]]),
        "non_homologous": np.stack([target for _, target in prepared[1]]),
    }
    key = jax.random.key(seed)
    variables = init(config, queries, source.values.shape[1], key)
    step, optimizer = make_step(config, source.values.shape[1])

    def order(epoch: int) -> dict[str, np.ndarray]:
        queries_order = training.epoch_order(len(queries), config.batch_size, seed, epoch)
        rng = np.random.default_rng([seed, epoch, 1])
        sizes = (len(homologous), len(non_homologous))
        return {"query": queries_order, "pair": rng.integers(sizes, size=(len(queries_order), 2))}

    state = training.fit(
        step,
        training.create_state(variables, optimizer),
        data,
        order=order,
        epochs=config.epochs,
        key=jax.random.fold_in(key, 1),
        gather=gather_pair,
        folder=folder,
        name=name,
    )
    return jax.device_get(state.variables)


def gather_pair(data: Any, index: Any) -> dict[str, Any]:
    """A mini-batch: queries, with the responses of the source and of one pair of targets."""
    query, pair = index["query"], index["pair"]
    return {
        "images": data["images"][query],
        "source": data["source"][query],
        "homologous": data["homologous"][pair[0], query],
        "non_homologous": data["non_homologous"][pair[1], query],
    }


@functools.lru_cache(maxsize=16)
def make_step(
    config: MGMPConfig, width: int
) -> tuple[training.Step, optax.GradientTransformation]:
    """The joint step: Adam on Eq. 7 plus Eq. 8, over generator and classifier.

    A batch holds ``images [b, h, w, 3]`` and ``source``, ``homologous``, ``non_homologous``
    ``[b, width]``.
    """
    generator, classifier = _generator(config, width), _classifier(config)
    optimizer = optax.adam(config.learning_rate)

    def loss_fn(params: Any, batch_stats: Any, batch: training.Batch, key: Any):
        generator_key, classifier_key = jax.random.split(key)
        z = None
        if generator is not None:
            z, updates = generator.apply(
                {"params": params["generator"], "batch_stats": batch_stats},
                datasets.normalise(batch["images"]),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": generator_key},
            )
            batch_stats = updates.get("batch_stats", {})
        sets = ("source", "homologous", "non_homologous")
        s, t, n = (dna.assemble(z, batch[name], config.assemble) for name in sets)
        inputs = [_pair_inputs(s, other, config.context) for other in (t, n)]
        labels = jnp.repeat(jnp.array([1.0, 0.0]), len(s))
        logits = classifier.apply(
            {"params": params["classifier"]},
            jnp.concatenate(inputs),
            train=True,
            rngs={"dropout": classifier_key},
        )
        terms = {
            "similarity": losses.similarity_loss(
                s, t, n, temperature=config.temperature, reduction=config.reduction
            ),
            "cohesion": losses.cohesion_loss(
                s, t, n, temperature=config.temperature, reduction=config.reduction
            ),
            "weights": optax.tree.norm(params.get("generator", {}), squared=True),
            "provenance": losses.provenance_loss(logits, labels),
        }
        loss = terms["provenance"]
        if generator is not None:
            loss += (
                config.similarity_weight * terms["similarity"]
                + config.cohesion_weight * terms["cohesion"]
                + config.weight_decay * terms["weights"]
            )
        accuracy = jnp.mean((logits >= 0) == (labels == 1))
        return loss, (batch_stats, {"accuracy": accuracy, **terms})

    return training.make_step(loss_fn, optimizer), optimizer


def latents(config: MGMPConfig, variables: Any, queries: np.ndarray, width: int) -> Any:
    """The latents ``g(x)`` of all queries, ``[n, z]``, or ``None`` without generator."""
    generator = _generator(config, width)
    if generator is None:
        return None
    generator_variables = {
        "params": variables["params"]["generator"],
        "batch_stats": variables["batch_stats"],
    }
    return pool.predict(generator, generator_variables, queries)[0]


def fragment_scores(
    config: MGMPConfig, variables: Any, z: Any, source: Responses, target: Responses
) -> np.ndarray:
    """``f_p`` for every fragment of a target, ``[n]``, in (0, 1) (Eq. 9).

    Args:
        config: of the trained MGMP.
        variables: from :func:`fit`.
        z: from :func:`latents`, on the same queries.
        source: responses of the source.
        target: responses of the model in question.
    """
    y_source, y_target = prepare(source, target, config)
    params = variables["params"]["classifier"]
    return np.asarray(_compiled_scores(config)(params, z, y_source, y_target))


def fragments(
    config: MGMPConfig, z: Any, source: Responses, target: Responses
) -> tuple[np.ndarray, np.ndarray]:
    """The DNA of source and target, each ``[n, o]``, from their latents and responses (Eq. 4)."""
    y_source, y_target = prepare(source, target, config)
    z = None if z is None else jnp.asarray(z)
    o_source = dna.assemble(z, jnp.asarray(y_source), config.assemble)
    o_target = dna.assemble(z, jnp.asarray(y_target), config.assemble)
    return np.asarray(o_source), np.asarray(o_target)


@functools.lru_cache(maxsize=16)
def _compiled_scores(config: MGMPConfig) -> Callable:
    def scores(params: Any, z: Any, y_source: Any, y_target: Any) -> Any:
        s, t = (dna.assemble(z, y, config.assemble) for y in (y_source, y_target))
        inputs = _pair_inputs(s, t, config.context)
        return jax.nn.sigmoid(_classifier(config).apply({"params": params}, inputs, train=False))

    return jax.jit(scores)


def _pair_inputs(source: Any, target: Any, context: bool) -> Any:
    """What the classifier sees of each pair of fragments, ``[n, ...]``."""
    pair = [source, target]
    if context:
        correlations = dna.set_context(source, target)
        pair += [source * target, jnp.broadcast_to(correlations, source.shape)]
    return jnp.concatenate(pair, axis=-1)


def _generator(config: MGMPConfig, width: int) -> Any:
    if config.generator is None:
        return None
    options = {} if config.generator_width is None else {"width": config.generator_width}
    return models.create(
        config.generator,
        num_outputs=config.latent or width,
        dtype=training.compute_dtype(),
        **options,
    )


def _classifier(config: MGMPConfig) -> Classifier:
    return Classifier(width=config.classifier_width, dropout=config.dropout)
