"""MGMP: generator and provenance classifier, trained jointly on a pool's responses.

The pool models are frozen, so their responses are constants: a training step costs one
forward and backward pass of the generator, whatever the size of the pool.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mgmp_jax import data as datasets
from mgmp_jax import dna, files, losses, models, training
from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.fragments import gather_pair, gather_trimmed_pair, pool_arrays, prepare
from mgmp_jax.models import Classifier
from mgmp_jax.responses import Responses

__all__ = [
    "EXTENDED",
    "PAPER",
    "PAPER_WITHOUT_GENERATOR",
    "MGMPConfig",
    "fit",
    "fragment_scores",
    "fragments",
    "generate",
    "make_loss",
    "make_step",
]


def init(config: MGMPConfig, queries: np.ndarray, width: int, key: Any) -> dict[str, Any]:
    """Initial variables of generator and classifier.

    Args:
        config: what to make.
        queries: some, of which the shape counts.
        width: of what :func:`prepare` gives.
        key: a PRNG key.
    """
    generator_key, classifier_key = jax.random.split(key)
    params, batch_stats, latent = {}, {}, None
    generator = _generator(config, width)
    if generator is not None:
        init_fn = jax.jit(functools.partial(generator.init, train=False))
        variables = init_fn(generator_key, datasets.model_inputs(queries[:1]))
        params["generator"] = variables["params"]
        batch_stats = variables.get("batch_stats", {})
        latent = jnp.zeros((1, generator.num_outputs))
    example = dna.assemble(latent, jnp.zeros((1, width)), config.assemble)
    context = dna.set_context(example, example) if config.context else None
    inputs = _pair_inputs(example, example, context)
    params["classifier"] = _classifier(config).init(classifier_key, inputs, train=False)["params"]
    return {"params": params, "batch_stats": batch_stats}


def fit(
    config: MGMPConfig,
    queries: np.ndarray,
    source: Responses,
    homologous: Sequence[Responses],
    non_homologous: Sequence[Responses],
    *,
    latents: np.ndarray | Sequence[np.ndarray] | None = None,
    generator_params: Mapping[str, Any] | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    name: str = "mgmp",
) -> dict[str, Any]:
    """Trains on a pool; resumes where it was cut off.

    Args:
        config: what to train.
        queries: of ``D_s``, uint8 images ``[n, h, w, 3]`` or token ids ``[n, l]``.
        source: responses of the source model on them.
        homologous: responses of homologous pool models.
        non_homologous: responses of non-homologous pool models.
        latents: of a fixed generator on the queries, ``[n, z]``; or one such array for each
            pair of a homologous and a non-homologous model in their order, where what is taken
            out of their responses must not have seen them.
        generator_params: where the generator starts, layer by layer, for example from
            :func:`mgmp_jax.models.pretrained.load_pretrained`; layers that are not in it start
            at random.
        seed: of initialisation, order, pairs and dropout.
        folder: for metrics and checkpoints; ``None`` keeps nothing.
        name: for the progress display.

    Returns:
        The variables: ``params`` of generator and classifier, ``batch_stats`` of the generator.

    Raises:
        ValueError: the pool is empty, the responses do not fit each other or the config, the
            config asks for what a jointly trained generator cannot have, or the folder holds
            another training.
    """
    _check(config, queries, source, homologous, non_homologous, latents)
    data = pool_arrays(config, source, homologous, non_homologous, latents)
    if config.generator is not None:
        data["inputs"] = queries
    key, width = jax.random.key(seed), data["source"].shape[-1]
    step, optimizer = make_step(config, width)
    variables = _initial_variables(config, queries, width, key, generator_params)
    if folder is not None:
        _claim(Path(folder), config, seed, {"data": data, "start": variables})
    is_text = queries.ndim == 2
    state = training.fit(
        step,
        training.create_state(variables, optimizer),
        data,
        order=functools.partial(
            _order,
            len(queries),
            config.batch_size,
            seed,
            sizes=(len(homologous), len(non_homologous)),
            paired=isinstance(latents, Sequence),
        ),
        epochs=config.epochs,
        key=jax.random.fold_in(key, 1),
        gather=gather_trimmed_pair if is_text and "inputs" in data else gather_pair,
        scan=False if is_text else None,
        folder=folder,
        name=name,
    )
    return jax.device_get(state.variables)


def _order(
    n: int, batch_size: int, seed: int, epoch: int, *, sizes: tuple[int, int], paired: bool
) -> dict[str, np.ndarray]:
    """An epoch's queries and, for each mini-batch, one pair of models drawn at random."""
    queries = training.epoch_order(n, batch_size, seed, epoch)
    pairs = np.random.default_rng([seed, epoch, 1]).integers(sizes, size=(len(queries), 2))
    if paired:
        pairs[:, 1] = pairs[:, 0]
    return {"query": queries, "pair": pairs}


def _initial_variables(
    config: MGMPConfig,
    queries: np.ndarray,
    width: int,
    key: Any,
    generator_params: Mapping[str, Any] | None,
) -> dict[str, Any]:
    variables = init(config, queries, width, key)
    if generator_params is None:
        return variables
    generator = variables["params"].get("generator", {})
    shapes = {layer: jax.tree.map(np.shape, below) for layer, below in generator.items()}
    for layer, below in generator_params.items():
        if jax.tree.map(np.shape, below) != shapes.get(layer):
            raise ValueError(
                f"generator_params[{layer!r}] does not fit the generator {config.generator!r}: "
                f"expected {shapes.get(layer, f'one of the layers {list(shapes)}')}"
            )
    variables["params"]["generator"] = {**generator, **generator_params}
    return variables


def _claim(folder: Path, config: MGMPConfig, seed: int, arrays: Any) -> None:
    """Writes down what is trained in a folder, or checks that it is what is written there."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(arrays):
        digest.update(np.asarray(leaf).tobytes())
    run = {"config": dataclasses.asdict(config), "seed": seed, "arrays": digest.hexdigest()}
    path = folder / "run.json"
    if not path.is_file():
        files.write_json(path, run)
        return
    found = files.read_json(path)
    different = [name for name in run if found.get(name) != run[name]]
    if different:
        raise ValueError(
            f"{folder} holds an MGMP trained with other {' and '.join(different)} (arrays are the "
            "responses, latents and starting weights); choose another folder, or delete it"
        )


@functools.lru_cache(maxsize=16)
def make_step(config: MGMPConfig, width: int) -> tuple[training.Step, optax.GradientTransformation]:
    """The joint step, Adam on :func:`make_loss` over generator and classifier, and its Adam."""
    optimizer = optax.adam(config.learning_rate)
    return training.make_step(make_loss(config, width), optimizer), optimizer


def make_loss(config: MGMPConfig, width: int) -> training.LossFn:
    """Eq. 7 plus Eq. 8 as a function of ``(params, batch_stats, batch, key)``.

    Without a generator to train there is nothing that Eq. 7 could change, and the loss is Eq. 8
    alone. A batch is what :func:`gather_pair` gives.

    Args:
        config: of the MGMP.
        width: of what :func:`prepare` gives.
    """
    generator, classifier = _generator(config, width), _classifier(config)

    def loss_fn(params: Any, batch_stats: Any, batch: training.Batch, key: Any):
        generator_key, classifier_key = jax.random.split(key)
        z = None
        if generator is not None:
            z, updates = generator.apply(
                {"params": params["generator"], "batch_stats": batch_stats},
                datasets.model_inputs(batch["inputs"]),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": generator_key},
            )
            batch_stats = updates.get("batch_stats", {})
        sets = ("source", "homologous", "non_homologous")
        s, t, n = (dna.assemble(z, batch[name], config.assemble) for name in sets)
        inputs = [
            _pair_inputs(s, t, batch.get("homologous_context")),
            _pair_inputs(s, n, batch.get("non_homologous_context")),
        ]
        labels = jnp.repeat(jnp.array([1.0, 0.0]), len(s))
        logits = classifier.apply(
            {"params": params["classifier"]},
            jnp.concatenate(inputs),
            train=True,
            rngs={"dropout": classifier_key},
        )
        provenance = losses.provenance_loss(logits, labels)
        accuracy = jnp.mean((logits >= 0) == (labels == 1))
        if generator is None:
            return provenance, (batch_stats, {"accuracy": accuracy})
        terms = {
            "similarity": losses.similarity_loss(
                s, t, n, temperature=config.temperature, reduction=config.reduction
            ),
            "cohesion": losses.cohesion_loss(
                s, t, n, temperature=config.temperature, reduction=config.reduction
            ),
            "weights": optax.tree.norm(params["generator"], squared=True),
            "provenance": provenance,
        }
        loss = (
            config.similarity_weight * terms["similarity"]
            + config.cohesion_weight * terms["cohesion"]
            + config.weight_decay * terms["weights"]
            + provenance
        )
        return loss, (batch_stats, {"accuracy": accuracy, **terms})

    return loss_fn


def generate(config: MGMPConfig, variables: Any, queries: np.ndarray, width: int) -> Any:
    """Latents ``g(x)`` of all queries by the trained generator, ``[n, z]``; ``None`` without."""
    generator = _generator(config, width)
    if generator is None:
        return None
    generator_variables = {
        "params": variables["params"]["generator"],
        "batch_stats": variables["batch_stats"],
    }
    return training.predict(generator, generator_variables, queries)[0]


def fragments(
    config: MGMPConfig, latents: Any, source: Responses, target: Responses
) -> tuple[np.ndarray, np.ndarray]:
    """The DNA of source and target, each ``[n, o]`` (Eq. 4).

    Args:
        config: of the MGMP.
        latents: from :func:`generate`, or those of a fixed generator that :func:`fit` got.
        source: responses of the source.
        target: responses of the model in question.

    Raises:
        ValueError: as :func:`prepare`.
    """
    if config.generator is None:
        return prepare(config, source, target, latents)
    s, t = prepare(config, source, target)
    z = jnp.asarray(latents)
    s, t = (dna.assemble(z, jnp.asarray(y), config.assemble) for y in (s, t))
    return np.asarray(s), np.asarray(t)


def fragment_scores(
    config: MGMPConfig, variables: Any, latents: Any, source: Responses, target: Responses
) -> np.ndarray:
    """``f_p`` for every fragment of a target, ``[n]``, in (0, 1) (Eq. 9).

    Args: as for :func:`fragments`, and ``variables`` from :func:`fit`.
    """
    s, t = fragments(config, latents, source, target)
    return np.asarray(_compiled_scores(config)(variables["params"]["classifier"], s, t))


@functools.lru_cache(maxsize=16)
def _compiled_scores(config: MGMPConfig) -> Callable:
    def scores(params: Any, s: Any, t: Any) -> Any:
        inputs = _pair_inputs(s, t, dna.set_context(s, t) if config.context else None)
        return jax.nn.sigmoid(_classifier(config).apply({"params": params}, inputs, train=False))

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


def _classifier(config: MGMPConfig) -> Any:
    return Classifier(width=config.classifier_width, dropout=config.dropout)


def _check(
    config: MGMPConfig,
    queries: np.ndarray,
    source: Responses,
    homologous: Sequence[Responses],
    non_homologous: Sequence[Responses],
    latents: np.ndarray | Sequence[np.ndarray] | None,
) -> None:
    if not homologous or not non_homologous:
        raise ValueError(
            "the pool needs at least one homologous and one non-homologous model, got "
            f"{len(homologous)} and {len(non_homologous)}"
        )
    if len(queries) != len(source):
        raise ValueError(f"{len(source)} responses for {len(queries)} queries")
    source.check_queries(queries)
    if isinstance(latents, Sequence) and not (
        len(latents) == len(homologous) == len(non_homologous)
    ):
        raise ValueError(
            f"latents for each pair need as many as there are pairs: got {len(latents)} for "
            f"{len(homologous)} homologous and {len(non_homologous)} non-homologous models"
        )
    if config.generator is not None:
        reads_text = config.generator in models.TEXT_MODELS
        if reads_text != (queries.ndim == 2):
            raise ValueError(
                f"the generator {config.generator!r} reads {'texts' if reads_text else 'images'}, "
                f"but the queries are an array of shape {queries.shape}"
            )
        fixed = [name for name in ("align", "context") if getattr(config, name)]
        if config.assemble == "residual" or fixed or latents is not None:
            raise ValueError(
                "alignment, set context, residual assembly and given latents need fragments that "
                f"training does not change, but generator={config.generator!r} is trained jointly; "
                "choose generator=None and give the latents of a fixed one"
            )
