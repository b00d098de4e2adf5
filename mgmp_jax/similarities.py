"""Similarities of two models by their responses.

All are ``similarity(source, target) -> scalar``, larger for models that are more alike; row ``i``
of both answers query ``i``. They take :class:`mgmp_jax.responses.Responses`, or arrays, lists and
tables of any real dtype (:func:`mgmp_jax.arrays.as_matrix`), and compute in float32. They are pure,
and work under ``jit`` and ``vmap``. Unless one says otherwise, the two models may have different
label spaces.

All raise ``ValueError`` where responses are not finite, not ``[n, d]`` and ``[n, p]``, or answer
different queries. Traced arrays are checked for their shapes only; where they are not finite the
result is NaN.

    >>> source = np.random.default_rng(0).normal(size=(100, 5))
    >>> print(f"{linear_cka(source, 2 * source[:, ::-1]):.3f}")
    1.000
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from mgmp_jax.arrays import as_matrix, as_numbers
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
    """Compiles ``function`` and lets only checked responses, or traced ones, through to it."""

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
    """Computes linear centred kernel alignment, CKA (Kornblith et al., 2019).

    The usual estimator is biased upwards where responses are wide and queries few: for two arrays
    of random numbers ``[20, 512]`` it is about 0.966. Sums over queries are taken in blocks, so
    that float32 is enough for any number of them.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.
        unbiased: whether to use the unbiased estimates of HSIC (Song et al., 2012), which are
            about 0 for unrelated responses of any width.

    Returns:
        A number from 0 to 1, and 1 for equal responses; 0 where one model answers all queries
        alike. The unbiased one lies between -1 and 1, and is 0 also where what one query says
        outweighs all others a hundredfold.

    Raises:
        ValueError: there are fewer than four queries for the unbiased one.
    """
    x, y = _centred(source), _centred(target)
    if unbiased:
        if len(x) < 4:
            raise ValueError(f"the unbiased estimate needs at least four queries, got {len(x)}")
        parts = [(_hsic(z, z), jnp.sum(_gram(z, z) ** 2)) for z in (x, y)]
        own = jnp.prod(jnp.sqrt(jnp.array([jnp.where(h > 1e-4 * g, h, 0.0) for h, g in parts])))
        shared = jnp.clip(_hsic(x, y), -own, own)
    else:
        shared = jnp.sum(_gram(x, y) ** 2)
        own = jnp.sqrt(jnp.sum(_gram(x, x) ** 2)) * jnp.sqrt(jnp.sum(_gram(y, y) ** 2))
    return jnp.where(own > 0, shared / jnp.where(own > 0, own, 1), 0.0)


@_similarity
def sac(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Computes minus the SAC distance (Guan et al., 2022): how differently queries relate.

    The distance is the mean absolute difference between the two models' matrices of cosine
    similarities of all pairs of queries.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.

    Returns:
        A number from -2 to 0.
    """
    x, y = _unit(source), _unit(target)

    def row(of_query: tuple[Array, Array]) -> Array:
        a, b = (_matvec(all_, one) for all_, one in zip((x, y), of_query, strict=True))
        return jnp.mean(jnp.abs(a - b))

    return -jnp.mean(jax.lax.map(row, (x, y), batch_size=_BLOCK))


@_similarity
def nmi(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, ""]:
    """Computes the normalised mutual information, NMI, of the two models' labels.

    A label is the largest coordinate of a response; that of an embedding means nothing.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.

    Returns:
        The mutual information divided by the arithmetic mean of the two entropies, from 0 to 1;
        0 where both models give one label only.
    """
    joint = _matmul(one_hot_label(source).T, one_hot_label(target)) / len(source)
    entropies = [_entropy(joint.sum(axis=axis)) for axis in (0, 1)]
    mutual = entropies[0] + entropies[1] - _entropy(joint.ravel())
    mean = (entropies[0] + entropies[1]) / 2
    return jnp.where(mean > 0, jnp.clip(mutual / jnp.where(mean > 0, mean, 1), 0, 1), 0.0)


def leep(source: Any, target: Any) -> Float[Array, ""]:
    """Computes LEEP (Nguyen et al., 2020) with the target's labels in place of true ones.

    This is the mean log-probability of the target's label, predicted from the source's
    probabilities.

    Args:
        source: logits or log-probabilities ``[n, d]``, or Responses that convert to them.
        target: responses ``[n, p]`` of the target; the largest coordinate is the label.

    Returns:
        A number that is at most 0.

    Raises:
        ValueError: the source's responses hold no log-probabilities: they are labels, the top
            ``k`` or an embedding.
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
    """Computes ModelDiff (Li et al., 2021), the cosine of two decision-distance vectors.

    A model's vector holds the cosine distances between its answers to two queries each: here
    query ``i`` of the first half and query ``i`` of the second.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.

    Returns:
        A number from 0 to 1; 0 where one model's distances are all 0.
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
    """Computes the cross-validated R² of a ridge regression from source to target.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.

    Returns:
        A number that is at most 1: the share of the target's variance that is predicted, see
        :func:`mgmp_jax.linear.cross_fit`; 0 where the target answers all queries alike.
    """
    return _r2(source, target)


@_similarity
def ridge_r2_to_source(
    source: Float[Array, "n d"], target: Float[Array, "n p"]
) -> Float[Array, ""]:
    """Computes the cross-validated R² of a ridge regression from target to source.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.

    Returns:
        A number that is at most 1: the share of the source's variance that is predicted, see
        :func:`mgmp_jax.linear.cross_fit`; 0 where the source answers all queries alike.
    """
    return _r2(target, source)


def mistake_agreement(source: Any, target: Any, labels: Any) -> Float[Array, ""]:
    """Computes the share of the source's mistakes that the target makes too.

    The target is read in the source's label space through :func:`mgmp_jax.dna.align`.

    Args:
        source: responses ``[n, d]`` of the source, one coordinate a class.
        target: responses ``[n, p]`` of the target.
        labels: the true classes ``[n]`` in the source's label space, whole numbers.

    Returns:
        A number from 0 to 1; 0 where the source makes no mistake.

    Raises:
        ValueError: there is not one whole number for each query.
    """
    if not isinstance(labels, Tracer):
        labels = as_numbers(labels, "labels")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be class numbers, whole ones; got {labels.dtype}")
    return _mistake_agreement(source, target, labels)


@_similarity
def _mistake_agreement(
    source: Float[Array, "n d"], target: Float[Array, "n p"], labels: Int[Array, "..."]
) -> Float[Array, ""]:
    if jnp.shape(labels) != (len(source),):
        raise ValueError(f"give one label a query, [{len(source)}]; got {jnp.shape(labels)}")
    deviation = jnp.std(source, axis=0, keepdims=True)
    aligned = align(source, target) * deviation + jnp.mean(source, axis=0, keepdims=True)
    answer = source.argmax(axis=-1)
    wrong = answer != labels
    same = wrong & (aligned.argmax(axis=-1) == answer)
    return same.sum() / jnp.maximum(wrong.sum(), 1).astype(source.dtype)


@functools.partial(_similarity, static_argnames=("k",))
def mutual_knn(
    source: Float[Array, "n d"], target: Float[Array, "n p"], *, k: int = NEIGHBOURS
) -> Float[Array, ""]:
    """Computes mutual k-NN alignment (Huh et al., 2024): the share of neighbours in common.

    A query's neighbours are those with the largest cosine similarity of standardised responses.

    Args:
        source: responses ``[n, d]`` of the source.
        target: responses ``[n, p]`` of the target.
        k: how many neighbours of each query are compared.

    Returns:
        A number from 0 to 1, about ``k / n`` for unrelated responses without ties.

    Raises:
        ValueError: there are not more than ``k`` queries, or ``k`` is no whole number.
    """
    n = len(source)
    if int(k) != k or not 1 <= k < n:
        raise ValueError(
            f"k must be from 1 to the number of queries less one, {n - 1}, a whole number; got {k}"
        )
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
"""All similarities of two models' responses alone, by the names that results bear."""


def _r2(inputs: Array, outputs: Array) -> Array:
    left = standardise(outputs) - cross_fit(inputs, outputs)
    varies = jnp.mean(standardise(outputs) ** 2)
    return jnp.where(varies > 0, 1 - jnp.mean(left**2) / jnp.where(varies > 0, varies, 1), 0.0)


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision="highest")


def _matvec(x: Array, vector: Array) -> Array:
    return _matmul(x, vector[:, None])[:, 0]


def _centred(responses: Array) -> Array:
    """Centres each coordinate and scales all alike, so that squares neither overflow nor vanish.

    A coordinate is centred at its own scale, and a constant one becomes 0 exactly: rounding of a
    large one would hide all others.
    """
    varies = jnp.any(responses != responses[:1], axis=0, keepdims=True)
    varying = jnp.where(varies, responses, 0)
    sizes = jnp.max(jnp.abs(varying), axis=0, keepdims=True)
    scaled = varying / jnp.where(sizes > 0, sizes, 1)
    for _ in range(2):  # the second pass takes out what rounding left of a large mean
        scaled = scaled - jnp.mean(scaled, axis=0, keepdims=True)
    largest = jnp.max(sizes)
    scaled = scaled * (sizes / jnp.where(largest > 0, largest, 1))
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
