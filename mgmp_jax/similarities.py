"""Every other similarity of two models, from their responses or from their weights.

All statistics of responses are ``statistic(source, target) -> scalar``, larger for models that
are more alike; row ``i`` of both answers query ``i``. They are pure, and work under ``jit`` and
``vmap``; unless one says otherwise, the two models may have different label spaces. Responses that
are not finite give NaN, those of other shapes a ``ValueError``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mgmp_jax.dna import align
from mgmp_jax.linear import cross_fit, standardise
from mgmp_jax.transformations import one_hot_label

__all__ = [
    "NEIGHBOURS",
    "RESPONSE_STATISTICS",
    "fit_to_source",
    "fit_to_target",
    "label_information",
    "leep",
    "linear_cka",
    "mistake_agreement",
    "model_diff",
    "mutual_neighbours",
    "sac",
    "weight_cosine",
    "weight_distance",
    "weight_distance_by_layer",
]

NEIGHBOURS = 10
"""How many neighbours of a query :func:`mutual_neighbours` looks at by default."""

_BLOCK = 1024  # rows at a time


def _statistic(function: Callable[..., Array]) -> Callable[..., Array]:
    """``function`` of responses ``[n, any]`` to the same queries; NaN where one is not finite."""

    @functools.wraps(function)
    def checked(source: Any, target: Any, *more: Any, **options: Any) -> Any:
        shapes = [jnp.shape(source), jnp.shape(target)]
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
            raise ValueError(
                "give the responses of two models to the same queries, [n, d] and [n, p]; got "
                f"shapes {shapes[0]} and {shapes[1]}"
            )
        finite = jnp.all(jnp.isfinite(source)) & jnp.all(jnp.isfinite(target))
        value = function(jnp.asarray(source), jnp.asarray(target), *more, **options)
        return jnp.where(finite, value, jnp.nan)

    return checked


@jax.jit
@_statistic
def linear_cka(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Linear centred kernel alignment (Kornblith et al., 2019), from 0 to 1; 1 with itself.

    Sums over queries are taken in blocks, so that float32 is enough for any number of them.
    """
    x, y = _centred(source), _centred(target)
    shared = jnp.sum(_gram(x, y) ** 2)
    own = jnp.sqrt(jnp.sum(_gram(x, x) ** 2)) * jnp.sqrt(jnp.sum(_gram(y, y) ** 2))
    return jnp.where(own > 0, shared / jnp.where(own > 0, own, 1), 0.0)


@jax.jit
@_statistic
def sac(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Minus the SAC distance (Guan et al., 2022): how differently queries relate to each other.

    The mean absolute difference between the two models' matrices of cosine similarities of all
    pairs of queries.
    """
    x, y = _unit(source), _unit(target)

    def row(of_query: tuple[Array, Array]) -> Array:
        a, b = (_matvec(all_, one) for all_, one in zip((x, y), of_query, strict=True))
        return jnp.mean(jnp.abs(a - b))

    return -jnp.mean(jax.lax.map(row, (x, y), batch_size=_BLOCK))


@jax.jit
@_statistic
def label_information(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Normalised mutual information of the two models' labels, from 0 to 1.

    Normalised by the arithmetic mean of the two entropies; 0 where both always say the same.
    """
    joint = _matmul(one_hot_label(source).T, one_hot_label(target)) / len(source)
    entropies = [_entropy(joint.sum(axis=axis)) for axis in (0, 1)]
    mutual = entropies[0] + entropies[1] - _entropy(joint.ravel())
    mean = (entropies[0] + entropies[1]) / 2
    return jnp.where(mean > 0, jnp.clip(mutual / jnp.where(mean > 0, mean, 1), 0, 1), 0.0)


@jax.jit
@_statistic
def leep(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """LEEP (Nguyen et al., 2020) with the target's labels in place of true ones, at most 0.

    The mean log-probability of the target's label where it is predicted from the source's
    probabilities. The source's responses must be logits or log-probabilities.
    """
    probabilities = jax.nn.softmax(source, axis=-1)
    labels = one_hot_label(target)
    joint = _matmul(labels.T, probabilities) / len(source)
    mass = joint.sum(axis=0, keepdims=True)
    conditional = joint / jnp.where(mass > 0, mass, 1)
    expected = jnp.sum(_matmul(probabilities, conditional.T) * labels, axis=1)
    return jnp.mean(jnp.log(jnp.maximum(expected, jnp.finfo(expected.dtype).tiny)))


@jax.jit
@_statistic
def model_diff(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Cosine similarity of decision-distance vectors (ModelDiff, Li et al., 2021).

    A vector holds a model's cosine distances between its answers to two queries each: here the
    first half of the queries against the second, in their order.
    """
    half = len(source) // 2

    def distances(responses: Array) -> Array:
        unit = _unit(responses)
        return 1 - jnp.sum(unit[:half] * unit[half : 2 * half], axis=1)

    a, b = distances(source), distances(target)
    norms = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    return jnp.where(norms > 0, jnp.sum(a * b) / jnp.where(norms > 0, norms, 1), 0.0)


@jax.jit
@_statistic
def fit_to_target(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """R² of the cross-fitted ridge regression that predicts the target from the source."""
    return _r2(source, target)


@jax.jit
@_statistic
def fit_to_source(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """R² of the cross-fitted ridge regression that predicts the source from the target."""
    return _r2(target, source)


@jax.jit
@_statistic
def mistake_agreement(
    source: Float[Array, "n d"], target: Float[Array, "n p"], labels: Int[Array, "..."]
) -> Float[Array, ""]:
    """Share of the source's mistakes that the target makes too, 0 where there are none.

    The target is read in the source's label space through :func:`mgmp_jax.dna.align`.

    Args:
        source: its responses, one coordinate a class.
        target: its responses.
        labels: the true classes ``[n]`` in the source's label space.

    Raises:
        ValueError: there is not one label for each query.
    """
    deviation = jnp.std(source, axis=0, keepdims=True)
    aligned = align(source, target) * deviation + jnp.mean(source, axis=0, keepdims=True)
    if jnp.shape(labels) != (len(source),):
        raise ValueError(f"give one label a query, [{len(source)}]; got {jnp.shape(labels)}")
    answer = source.argmax(axis=-1)
    wrong = answer != labels
    same = wrong & (aligned.argmax(axis=-1) == answer)
    return same.sum() / jnp.maximum(wrong.sum(), 1).astype(source.dtype)


@jax.jit(static_argnames=("k",))
@_statistic
def mutual_neighbours(
    source: Float[Array, "n d"], target: Float[Array, "n p"], *, k: int = NEIGHBOURS
) -> Float[Array, ""]:
    """Share of a query's ``k`` nearest neighbours common to both models (Huh et al., 2024).

    Neighbours are by cosine similarity of the standardised responses. Under 0 to 1, chance is
    about ``k / n``.

    Raises:
        ValueError: there are not more than ``k`` queries.
    """
    n = len(source)
    if not 1 <= k < n:
        raise ValueError(f"k must be from 1 to the number of queries less one, {n - 1}; got {k}")
    x, y = _unit(standardise(source)), _unit(standardise(target))

    def row(i: Array) -> Array:
        near = [jax.lax.top_k(_matvec(z, z[i]).at[i].set(-jnp.inf), k)[1] for z in (x, y)]
        return jnp.mean(jnp.isin(near[0], near[1]).astype(x.dtype))

    return jnp.mean(jax.lax.map(row, jnp.arange(n), batch_size=_BLOCK))


RESPONSE_STATISTICS = {
    "linear CKA": linear_cka,
    "SAC": sac,
    "label information": label_information,
    "LEEP": leep,
    "ModelDiff": model_diff,
    "fit to target": fit_to_target,
    "fit to source": fit_to_source,
    "mutual neighbours": mutual_neighbours,
}
"""The statistics of two models' responses alone."""


def weight_distance(
    source: Mapping[str, Any], target: Mapping[str, Any], *, relative: bool = False
) -> Float[Array, ""]:
    """Minus the Euclidean distance of two models' parameters, ``‖Δw‖`` (the paper, section 3.2).

    Args:
        source: parameters, layer by layer.
        target: likewise; arrays of another shape than the source's are left out.
        relative: whether it is divided by the norm of the source's parameters.

    Raises:
        ValueError: no array has the same name and shape in both.
    """
    pairs = _shared(source, target)
    distance = _norm([b - a for a, b in pairs])
    return -distance / _norm([a for a, _ in pairs]) if relative else -distance


def weight_distance_by_layer(
    source: Mapping[str, Any], target: Mapping[str, Any], *, relative: bool = False
) -> dict[str, Float[Array, ""]]:
    """:func:`weight_distance` of each layer whose arrays have the same shapes in both."""
    layers = [layer for layer in source if layer in target and _pairs(source[layer], target[layer])]
    return {
        layer: weight_distance({layer: source[layer]}, {layer: target[layer]}, relative=relative)
        for layer in layers
    }


def weight_cosine(source: Mapping[str, Any], target: Mapping[str, Any]) -> Float[Array, ""]:
    """Cosine similarity of two models' parameters, of arrays alike in name and shape.

    0 where one of them has zeros only.

    Raises:
        ValueError: there are none.
    """
    pairs = _shared(source, target)
    product = sum((jnp.sum(a * b) for a, b in pairs), start=jnp.zeros(()))
    norms = _norm([a for a, _ in pairs]) * _norm([b for _, b in pairs])
    return jnp.where(norms > 0, product / jnp.where(norms > 0, norms, 1), 0.0)


def _shared(source: Any, target: Any) -> list[tuple[Array, Array]]:
    pairs = _pairs(source, target)
    if not pairs:
        raise ValueError(
            "the two models have no array of parameters of the same name and shape; weights can "
            "be compared within one architecture only"
        )
    return pairs


def _pairs(source: Any, target: Any) -> list[tuple[Array, Array]]:
    other = dict(jax.tree_util.tree_leaves_with_path(target))
    return [
        (jnp.asarray(leaf), jnp.asarray(other[path]))
        for path, leaf in jax.tree_util.tree_leaves_with_path(source)
        if path in other and jnp.shape(other[path]) == jnp.shape(leaf)
    ]


def _norm(arrays: list[Array]) -> Array:
    return jnp.sqrt(sum((jnp.sum(a**2) for a in arrays), start=jnp.zeros(())))


def _r2(inputs: Array, outputs: Array) -> Array:
    left = standardise(outputs) - cross_fit(inputs, outputs)
    varies = jnp.mean(standardise(outputs) ** 2)
    return jnp.where(varies > 0, 1 - jnp.mean(left**2) / jnp.where(varies > 0, varies, 1), 0.0)


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision="highest")


def _matvec(x: Array, vector: Array) -> Array:
    return _matmul(x, vector[:, None])[:, 0]


def _centred(responses: Array) -> Array:
    """Mean 0, of a size whose squares neither overflow nor vanish."""
    largest = jnp.max(jnp.abs(responses))
    scaled = responses / jnp.where(largest > 0, largest, 1)
    for _ in range(2):  # the second pass takes out what rounding left of a large mean
        scaled = scaled - jnp.mean(scaled, axis=0, keepdims=True)
    largest = jnp.max(jnp.abs(scaled))
    return scaled / jnp.where(largest > 0, largest, 1)


def _gram(x: Array, y: Array) -> Array:
    """``xᵀy / n``, summed within blocks of rows first."""
    n = len(x)
    blocks = [
        jnp.pad(z, ((0, -n % _BLOCK), (0, 0))).reshape(-1, _BLOCK, z.shape[1]) for z in (x, y)
    ]
    return jnp.sum(jnp.einsum("bnd,bnp->bdp", *blocks, precision="highest"), axis=0) / n


def _unit(responses: Array) -> Array:
    largest = jnp.max(jnp.abs(responses), axis=-1, keepdims=True)
    scaled = responses / jnp.where(largest > 0, largest, 1)
    norm = jnp.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / jnp.where(norm > 0, norm, 1)


def _entropy(probabilities: Array) -> Array:
    return -jnp.sum(jax.scipy.special.xlogy(probabilities, probabilities))
