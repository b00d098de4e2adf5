"""The losses of MGMP on arrays of DNA fragments (paper, Eq. 5-8).

This file depends on JAX and optax only, so it can be used from any project.
Fragments are rows: ``source``, ``homologous`` and ``non_homologous`` are ``[n, d]``
arrays whose rows ``i`` belong to the same query, with entries below 1e38 in size. Similarities
are computed in float32 (float64 where the fragments are). Rows that are sharded along explicit
mesh axes are gathered first; inside ``jax.shard_map`` each device gets the loss of its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

if TYPE_CHECKING:
    from jaxtyping import Array, Float

__all__ = ["blockwise_dna_loss", "cohesion_loss", "dna_loss", "provenance_loss", "similarity_loss"]

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
    (s, t, n), tau = _prepare(source, homologous, non_homologous, temperature)

    def row_losses(rows: Array) -> Array:
        positive = jnp.sum(s[rows] * t[rows], axis=-1) / tau
        negatives = _matmul(s[rows], n.T) / tau
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
    models, tau = _prepare(source, homologous, non_homologous, temperature)
    n = len(source)

    def row_losses(rows: Array) -> Array:
        similarities = [_matmul(m[rows], m.T) / tau for m in models]
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


def blockwise_dna_loss(
    source: Float[Array, "n d"],
    homologous: Float[Array, "n d"],
    non_homologous: Float[Array, "n d"],
    *,
    temperature: float,
    reduction: Reduction = "mean",
    block_size: int = 256,
) -> Float[Array, ""]:
    """Computes :func:`dna_loss` for many fragments, its gradient in the forward pass.

    The similarities of a model with itself are symmetric, so each product of the gradient is done
    once instead of twice, and nothing is computed again. Memory is linear in ``n``. Only first
    derivatives in reverse mode (:func:`jax.grad`) exist.

    Args:
        source: fragments of the source model, ``[n, d]``.
        homologous: fragments of a homologous model on the same queries, ``[n, d]``.
        non_homologous: fragments of a non-homologous model, ``[n, d]``.
        temperature: ``tau``, positive.
        reduction: ``"sum"`` is the paper's; ``"mean"`` divides each term by its number of terms.
        block_size: rows of the ``n x n`` similarities held at a time.

    Returns:
        A scalar, float32 (float64 for float64 inputs).

    Raises:
        ValueError: shapes differ or are not ``[n, d]``, or an argument is out of range.
    """
    _check(source, homologous, non_homologous, temperature, reduction, block_size)
    sets, tau = _prepare(source, homologous, non_homologous, temperature)
    zero = _zero(sets)
    scaled = (x / jnp.sqrt(tau) + zero for x in sets)
    n = len(source)
    shares = (1 / n, 1 / max(n * (n - 1), 1)) if reduction == "mean" else (1.0, 1.0)
    return _weighted_dna_loss(*scaled, shares, min(block_size, n))


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _weighted_dna_loss(
    s: Array, t: Array, other: Array, shares: tuple[float, float], block_size: int
) -> Array:
    """Adds Eq. 5 and Eq. 6, each as a sum times its share, for similarities ``s @ t.T``."""
    sets = s, t, other
    (similarity, cohesion), _ = jax.lax.scan(
        lambda sums, rows: (_add(sums, _block(sets, rows)[0]), None),
        (_zero(sets), _zero(sets)),
        _blocks(len(s), block_size),
    )
    return shares[0] * (similarity - jnp.sum(s * t)) - shares[1] * cohesion


def _loss_and_gradients(
    s: Array, t: Array, other: Array, shares: tuple[float, float], block_size: int
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Computes the loss and, in the same pass, its gradients as what is kept for later."""
    sets, n = (s, t, other), len(s)

    def add_block(carry: Any, rows: Array) -> Any:
        sums, columns = carry
        new, (negatives, pairs) = _block(sets, rows)
        by_row = (_matmul(negatives, other), *map(_matmul, pairs, sets))
        own = s[jnp.minimum(rows, n - 1)]
        return (_add(sums, new), columns + _matmul(negatives.T, own)), by_row

    zero = _zero(sets)
    carry = (zero, zero), zero + jnp.zeros_like(s)
    ((similarity, cohesion), columns), by_row = jax.lax.scan(
        add_block, carry, _blocks(n, block_size)
    )
    of_source, *of_pairs = (x.reshape(-1, s.shape[-1])[:n] for x in by_row)
    first = (of_source - t, -s, columns)
    a, b = shares
    gradients = tuple(a * x - 2 * b * y for x, y in zip(first, of_pairs, strict=True))
    return a * (similarity - jnp.sum(s * t)) - b * cohesion, gradients


def _block(sets: tuple[Array, Array, Array], rows: Array) -> tuple[Any, Any]:
    """Sums of a block of rows, and the shares of every similarity in its row's or pair's sum."""
    s, _, other = sets
    n = len(s)
    own = jnp.minimum(rows, n - 1)
    is_row = (rows < n)[:, None]
    is_pair = is_row & (own[:, None] != jnp.arange(n)[None, :])

    negatives = _matmul(s[own], other.T)
    top = jnp.max(negatives, axis=-1, keepdims=True)
    negatives = jnp.exp(negatives - top)
    total = jnp.sum(negatives, axis=-1, keepdims=True)
    similarity = jnp.sum(jnp.where(is_row, jnp.log(total) + top, 0.0))

    pairs = [_matmul(x[own], x.T) for x in sets]
    top = jnp.maximum(jnp.maximum(pairs[0], pairs[1]), pairs[2])
    pairs = [jnp.exp(x - top) for x in pairs]
    of_pair = pairs[0] + pairs[1] + pairs[2]
    cohesion = jnp.sum(jnp.where(is_pair, jnp.log(of_pair) + top, 0.0))
    inverse = jnp.where(is_pair, 1 / of_pair, 0.0)
    shares = jnp.where(is_row, negatives / total, 0.0), [x * inverse for x in pairs]
    return (similarity, cohesion), shares


def _zero(sets: Iterable[Array]) -> Array:
    """Makes a 0 that varies over every mesh axis of ``jax.shard_map`` that fragments vary over."""
    s, t, other = sets
    return 0 * (s[0, 0] + t[0, 0] + other[0, 0])


def _blocks(n: int, block_size: int) -> Array:
    return jnp.arange(-(-n // block_size) * block_size).reshape(-1, block_size)


def _add(sums: tuple[Array, Array], more: tuple[Array, Array]) -> tuple[Array, Array]:
    return sums[0] + more[0], sums[1] + more[1]


def _times(_: Any, __: int, gradients: tuple[Array, ...], cotangent: Array) -> tuple[Array, ...]:
    return tuple(cotangent * x for x in gradients)


_weighted_dna_loss.defvjp(_loss_and_gradients, _times)


def provenance_loss(logits: Float[Array, " m"], labels: Float[Array, " m"]) -> Float[Array, ""]:
    """Mean binary cross-entropy of the provenance classifier (Eq. 8).

    Args:
        logits: the classifier's outputs before the sigmoid, ``[m]``, finite.
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


def _prepare(
    source: Array, homologous: Array, non_homologous: Array, temperature: Any
) -> tuple[list[Array], Array]:
    """Normalises all fragments, and brings them and the temperature to one type."""
    sets = [_normalise(_gather(x)) for x in (source, homologous, non_homologous)]
    dtype = jnp.result_type(*sets)
    return [x.astype(dtype) for x in sets], jnp.asarray(temperature, dtype)


def _gather(x: Array) -> Array:
    """Gathers what is sharded along explicit mesh axes: every fragment meets every other."""
    sharding = jax.typeof(jnp.asarray(x)).sharding
    is_sharded = any(axis is not None for axis in sharding.spec)
    return jax.reshard(x, NamedSharding(sharding.mesh, PartitionSpec())) if is_sharded else x


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
    blocks = _blocks(n, block_size)

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
