"""Similarities of two models by their responses.

All are ``similarity(source, target) -> scalar``, larger for models that are more alike; row ``i``
of both answers query ``i``. They take :class:`mgmp_jax.responses.Responses` or arrays of numbers of
any real dtype and compute in float32; they are pure, and work under ``jit`` and ``vmap``. Unless
one says otherwise, the two models may have different label spaces. Responses that are not finite,
or of other shapes, raise ``ValueError``; traced ones that are not finite give NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from mgmp_jax.arrays import as_matrix
from mgmp_jax.dna import align
from mgmp_jax.linear import cross_fit, standardise
from mgmp_jax.responses import Responses
from mgmp_jax.transformations import one_hot_label

__all__ = [
    "NEIGHBOURS",
    "SIMILARITIES",
    "leep",
    "linear_cka",
    "mistake_agreement",
    "model_diff",
    "mutual_knn",
    "nmi",
    "ridge_r2_to_source",
    "ridge_r2_to_target",
    "sac",
]

NEIGHBOURS = 10
"""How many neighbours of a query :func:`mutual_knn` looks at by default."""

_BLOCK = 1024  # rows at a time


def _similarity(function: Callable[..., Array], **jit: Any) -> Callable[..., Any]:
    """Compiles ``function``; what it is given passes the door first, but for traced arrays."""

    @functools.partial(jax.jit, **jit)
    def compiled(source: Any, target: Any, *more: Any, **options: Any) -> Array:
        finite = jnp.all(jnp.isfinite(source)) & jnp.all(jnp.isfinite(target))
        return jnp.where(finite, function(source, target, *more, **options), jnp.nan)

    @functools.wraps(function)
    def checked(source: Any, target: Any, *more: Any, **options: Any) -> Any:
        if isinstance(source, Responses) and isinstance(target, Responses):
            source.check_same_queries(target)
        source, target = _numbers(source, "source"), _numbers(target, "target")
        shapes = [jnp.shape(source), jnp.shape(target)]
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
            raise ValueError(
                "give the responses of two models to the same queries, [n, d] and [n, p]; got "
                f"shapes {shapes[0]} and {shapes[1]}"
            )
        return compiled(source, target, *more, **options)

    return checked


def _numbers(values: Any, name: str) -> Any:
    if isinstance(values, Tracer):
        return values.astype(jnp.float32)
    return as_matrix(values, f"responses of the {name}")


@functools.partial(_similarity, static_argnames=("unbiased",))
def linear_cka(
    source: Float[Array, "n d"], target: Float[Array, "n p"], *, unbiased: bool = False
) -> Float[Array, ""]:
    """Linear centred kernel alignment (Kornblith et al., 2019), from 0 to 1; 1 with itself.

    The usual estimator is biased upwards where responses are wide and queries few: for two arrays
    of random numbers ``[20, 512]`` it is 0.966. Sums over queries are taken in blocks, so that
    float32 is enough for any number of them.

    Args:
        source: responses of the source.
        target: responses of the target.
        unbiased: whether it is put together from unbiased estimates of HSIC (Song et al., 2012),
            about 0 for unrelated responses of any width; needs four queries.

    Raises:
        ValueError: there are fewer than four queries for the unbiased one.
    """
    x, y = _centred(source), _centred(target)
    if unbiased:
        if len(x) < 4:
            raise ValueError(f"the unbiased estimate needs at least four queries, got {len(x)}")
        shared, own = _hsic(x, y), jnp.sqrt(jnp.maximum(_hsic(x, x) * _hsic(y, y), 0))
    else:
        shared = jnp.sum(_gram(x, y) ** 2)
        own = jnp.sqrt(jnp.sum(_gram(x, x) ** 2)) * jnp.sqrt(jnp.sum(_gram(y, y) ** 2))
    return jnp.where(own > 0, shared / jnp.where(own > 0, own, 1), 0.0)


@_similarity
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


@_similarity
def nmi(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Normalised mutual information of the two models' labels, from 0 to 1.

    Normalised by the arithmetic mean of the two entropies; 0 where both always say the same.
    """
    joint = _matmul(one_hot_label(source).T, one_hot_label(target)) / len(source)
    entropies = [_entropy(joint.sum(axis=axis)) for axis in (0, 1)]
    mutual = entropies[0] + entropies[1] - _entropy(joint.ravel())
    mean = (entropies[0] + entropies[1]) / 2
    return jnp.where(mean > 0, jnp.clip(mutual / jnp.where(mean > 0, mean, 1), 0, 1), 0.0)


def leep(source: Any, target: Any) -> Float[Array, ""]:
    """LEEP (Nguyen et al., 2020) with the target's labels in place of true ones, at most 0.

    The mean log-probability of the target's label where it is predicted from the source's
    probabilities.

    Args:
        source: logits or log-probabilities ``[n, d]``, or responses that convert to them.
        target: responses ``[n, p]`` of any kind; the largest is the label.

    Raises:
        ValueError: the source's responses hold no log-probabilities (labels, an embedding).
    """
    if isinstance(source, Responses) and source.kind != "logits":
        source = source.to("log-probabilities")
    return _leep(source, target)


@_similarity
def _leep(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    probabilities = jax.nn.softmax(source, axis=-1)
    labels = one_hot_label(target)
    joint = _matmul(labels.T, probabilities) / len(source)
    mass = joint.sum(axis=0, keepdims=True)
    conditional = joint / jnp.where(mass > 0, mass, 1)
    expected = jnp.sum(_matmul(probabilities, conditional.T) * labels, axis=1)
    return jnp.mean(jnp.log(jnp.maximum(expected, jnp.finfo(expected.dtype).tiny)))


@_similarity
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


@_similarity
def ridge_r2_to_target(
    source: Float[Array, "n d"], target: Float[Array, "n p"]
) -> Float[Array, ""]:
    """R² of the cross-fitted ridge regression that predicts the target from the source."""
    return _r2(source, target)


@_similarity
def ridge_r2_to_source(
    source: Float[Array, "n d"], target: Float[Array, "n p"]
) -> Float[Array, ""]:
    """R² of the cross-fitted ridge regression that predicts the source from the target."""
    return _r2(target, source)


@_similarity
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


@functools.partial(_similarity, static_argnames=("k",))
def mutual_knn(
    source: Float[Array, "n d"], target: Float[Array, "n p"], *, k: int = NEIGHBOURS
) -> Float[Array, ""]:
    """Mutual k-NN: the share of a query's nearest neighbours common to both (Huh et al., 2024).

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


SIMILARITIES = {
    "linear CKA": linear_cka,
    "SAC": sac,
    "NMI": nmi,
    "LEEP": leep,
    "ModelDiff": model_diff,
    "ridge R², source to target": ridge_r2_to_target,
    "ridge R², target to source": ridge_r2_to_source,
    "mutual k-NN": mutual_knn,
}
"""By the names that results bear."""


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


def _hsic(x: Array, y: Array) -> Array:
    """Unbiased estimate of HSIC for linear kernels, times ``(n - 3) / n``, of centred responses."""
    n = len(x)
    own_x, own_y = jnp.sum(x**2, axis=1), jnp.sum(y**2, axis=1)
    rows_x, rows_y = (_matvec(z, z.sum(axis=0)) - own for z, own in ((x, own_x), (y, own_y)))
    trace = jnp.sum(_gram(x, y) ** 2) - jnp.mean(own_x * own_y) / n
    sums = jnp.mean(rows_x) * jnp.mean(rows_y) / ((n - 1) * (n - 2))
    return trace + sums - 2 / (n - 2) * jnp.mean(rows_x * rows_y) / n


def _unit(responses: Array) -> Array:
    largest = jnp.max(jnp.abs(responses), axis=-1, keepdims=True)
    scaled = responses / jnp.where(largest > 0, largest, 1)
    norm = jnp.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / jnp.where(norm > 0, norm, 1)


def _entropy(probabilities: Array) -> Array:
    return -jnp.sum(jax.scipy.special.xlogy(probabilities, probabilities))
