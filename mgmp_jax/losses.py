"""The losses of MGMP on arrays of DNA fragments (paper, Eq. 5-8).

This file depends on JAX and optax only, so it can be used from any project.
Fragments are rows: ``source``, ``homologous`` and ``non_homologous`` are ``[n, d]``
arrays whose rows ``i`` belong to the same query. Similarities are computed in float32
(float64 where the inputs are).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

if TYPE_CHECKING:
    from jaxtyping import Array, Float

__all__ = ["cohesion_loss", "dna_loss", "provenance_loss", "similarity_loss"]

Reduction = Literal["mean", "sum"]

# Accelerators multiply float32 in a shorter format unless told otherwise.
_matmul = partial(jnp.matmul, precision="highest")


def similarity_loss(
    source: Float[Array, "n d"],
    homologous: Float[Array, "n d"],
    non_homologous: Float[Array, "n d"],
    *,
    temperature: float,
    reduction: Reduction = "mean",
    block_size: int | None = None,
) -> Float[Array, ""]:
    """Pulls source and homologous fragments together, pushes non-homologous ones away.

    Eq. 5: ``-sum_i log(exp(sim(s_i, t_i) / tau) / sum_k exp(sim(s_i, n_k) / tau))`` with
    cosine similarity; the homologous pair is not part of the denominator. A zero fragment
    has similarity 0 with every other.

    Args:
        source: fragments of the source model, ``[n, d]``.
        homologous: fragments of a homologous model on the same queries, ``[n, d]``.
        non_homologous: fragments of a non-homologous model, ``[n, d]``.
        temperature: ``tau``, positive.
        reduction: ``"sum"`` is the paper's; ``"mean"`` divides by ``n``.
        block_size: rows of the ``n x n`` similarities held at a time, in the forward and
            the backward pass; ``None`` holds all.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: shapes differ or are not ``[n, d]``, or an argument is out of range.
    """
    _check(source, homologous, non_homologous, temperature, reduction, block_size)
    s, t, n = (_normalise(x) for x in (source, homologous, non_homologous))

    def row_losses(rows: Array) -> Array:
        positive = jnp.sum(s[rows] * t[rows], axis=-1) / temperature
        negatives = _matmul(s[rows], n.T) / temperature
        return jax.nn.logsumexp(negatives, axis=-1) - positive

    total = _sum_over_rows(row_losses, len(s), block_size)
    return total / len(s) if reduction == "mean" else total


def cohesion_loss(
    source: Float[Array, "n d"],
    homologous: Float[Array, "n d"],
    non_homologous: Float[Array, "n d"],
    *,
    temperature: float,
    reduction: Reduction = "mean",
    block_size: int | None = None,
) -> Float[Array, ""]:
    """Makes the fragments of one model similar to each other, for each of the three models.

    Eq. 6: ``-sum_i sum_{k != i} log(sum_m exp(sim(m_i, m_k) / tau))``, where ``m`` runs over
    source, homologous and non-homologous fragments. ``"mean"`` divides by the ``n (n - 1)``
    ordered pairs; with a single fragment there is no pair and the loss is 0.

    Args, Returns and Raises as in :func:`similarity_loss`.
    """
    _check(source, homologous, non_homologous, temperature, reduction, block_size)
    models = [_normalise(x) for x in (source, homologous, non_homologous)]
    n = len(source)

    def row_losses(rows: Array) -> Array:
        similarities = [_matmul(m[rows], m.T) / temperature for m in models]
        pairs = jnp.logaddexp(jnp.logaddexp(similarities[0], similarities[1]), similarities[2])
        is_self = rows[:, None] == jnp.arange(n)[None, :]
        return -jnp.sum(jnp.where(is_self, 0.0, pairs), axis=-1)

    total = _sum_over_rows(row_losses, n, block_size)
    return total / max(n * (n - 1), 1) if reduction == "mean" else total


def dna_loss(
    source: Float[Array, "n d"],
    homologous: Float[Array, "n d"],
    non_homologous: Float[Array, "n d"],
    *,
    temperature: float,
    reduction: Reduction = "mean",
    block_size: int | None = None,
) -> Float[Array, ""]:
    """The DNA similarity loss without its weight term: Eq. 5 plus Eq. 6 (Eq. 7).

    The term ``lambda ||w_g||^2`` of Eq. 7 concerns the generator's parameters, not the
    fragments, and is added where the training step knows them.

    Args, Returns and Raises as in :func:`similarity_loss`.
    """
    return similarity_loss(
        source,
        homologous,
        non_homologous,
        temperature=temperature,
        reduction=reduction,
        block_size=block_size,
    ) + cohesion_loss(
        source,
        homologous,
        non_homologous,
        temperature=temperature,
        reduction=reduction,
        block_size=block_size,
    )


def provenance_loss(logits: Float[Array, " m"], labels: Float[Array, " m"]) -> Float[Array, ""]:
    """Mean binary cross-entropy of the provenance classifier (Eq. 8).

    Args:
        logits: the classifier's outputs before the sigmoid, ``[m]``.
        labels: 1 where the pair of fragments is homologous, 0 where not, ``[m]``.

    Returns:
        A scalar, float32 (float64 for float64 logits).

    Raises:
        ValueError: the shapes differ or are not ``[m]``.
    """
    if jnp.ndim(logits) != 1 or jnp.shape(logits) != jnp.shape(labels) or not jnp.size(logits):
        raise ValueError(
            "logits and labels must be vectors of one length, at least 1; "
            f"got shapes {jnp.shape(logits)} and {jnp.shape(labels)}"
        )
    logits = _at_least_float32(logits)
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(labels, logits.dtype)))


def _at_least_float32(x: Array) -> Array:
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _normalise(x: Array) -> Array:
    """Rows of length 1; a zero row stays zero, with zero gradient."""
    x = _at_least_float32(x)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    is_zero = largest == 0
    scaled = x / jnp.where(is_zero, 1.0, largest)
    squares = jnp.sum(scaled**2, axis=-1, keepdims=True)
    return jnp.where(is_zero, 0.0, scaled * jax.lax.rsqrt(jnp.where(is_zero, 1.0, squares)))


def _sum_over_rows(
    row_losses: Callable[[Array], Array], n: int, block_size: int | None
) -> Float[Array, ""]:
    """Sum of ``row_losses(rows)`` over all ``n`` rows, ``block_size`` of them at a time."""
    if block_size is None or block_size >= n:
        return jnp.sum(row_losses(jnp.arange(n)))
    blocks = jnp.arange(-(-n // block_size) * block_size).reshape(-1, block_size)

    @jax.checkpoint
    def block_sum(rows: Array) -> Array:
        losses = row_losses(jnp.minimum(rows, n - 1))
        return jnp.sum(jnp.where(rows < n, losses, 0.0))

    first = block_sum(blocks[0])
    total, _ = jax.lax.scan(lambda sum_, rows: (sum_ + block_sum(rows), None), first, blocks[1:])
    return total


def _check(
    source: Array,
    homologous: Array,
    non_homologous: Array,
    temperature: float,
    reduction: str,
    block_size: int | None,
) -> None:
    shapes = [jnp.shape(x) for x in (source, homologous, non_homologous)]
    if len(shapes[0]) != 2 or len(set(shapes)) != 1 or not shapes[0][0]:
        raise ValueError(
            "source, homologous and non_homologous fragments must have one shape [n, d] with "
            f"n >= 1; got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    if not isinstance(temperature, Tracer) and not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean" or "sum", got {reduction!r}')
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be at least 1 or None, got {block_size}")
