"""DNA: how responses and latents become fragments, and what can be said of whole sets of them."""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Assembly", "align", "assemble", "set_context", "standardise"]

Assembly = Literal["addition", "concatenation", "residual"]

# Accelerators multiply float32 in a shorter format unless told otherwise.
_matmul = partial(jnp.matmul, precision="highest")


def assemble(
    latents: Float[Array, "n z"] | None, responses: Float[Array, "n d"], how: Assembly
) -> Float[Array, "n o"]:
    """DNA fragments from the generator's latents and a model's responses (Eq. 4).

    Args:
        latents: ``z_i = g(x_i)``; ``None`` stands for MGMP without generator, whose fragments
            are the responses alone.
        responses: ``y_i = M(x_i)``.
        how: ``"addition"`` needs ``|z| = |y|``; ``"concatenation"`` gives ``|o| = |z| + |y|``;
            ``"residual"`` is what remains of the standardised responses when their linear fit
            on the latents, cross-fitted over the whole query set, is taken out: ``|o| = |y|``.

    Raises:
        ValueError: the widths differ under addition, the numbers of rows differ, or ``how``
            is unknown.
    """
    if how not in get_args(Assembly):
        raise ValueError(f"assembly must be one of {get_args(Assembly)}, got {how!r}")
    if latents is None:
        return responses
    if len(latents) != len(responses):
        raise ValueError(f"{len(latents)} latents for {len(responses)} responses")
    if how == "residual":
        return standardise(responses) - align(latents, responses)
    if how == "concatenation":
        return jnp.concatenate([latents, responses], axis=-1)
    if latents.shape != responses.shape:
        raise ValueError(
            f"addition needs |z| = |y|, got |z| = {latents.shape[-1]} and |y| = "
            f"{responses.shape[-1]}; give the generator {responses.shape[-1]} outputs or choose "
            "concatenation"
        )
    return latents + responses


def standardise(responses: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Each coordinate to mean 0 and variance 1 over the query set; a constant one to 0."""
    largest = jnp.max(jnp.abs(responses), axis=0, keepdims=True)
    scaled = responses / jnp.where(largest > 0, largest, 1)
    centred = scaled - jnp.mean(scaled, axis=0, keepdims=True)
    deviation = jnp.std(scaled, axis=0, keepdims=True)
    return centred / jnp.where(deviation > 1e-6, deviation, jnp.inf)


@jax.jit(static_argnames=("folds",))
def align(
    target: Float[Array, "n p"],
    source: Float[Array, "n d"],
    *,
    penalty: float = 0.01,
    folds: int = 5,
) -> Float[Array, "n d"]:
    """A target's responses mapped linearly into the source's coordinates.

    Ridge regression from the standardised target to the standardised source over the query
    set, cross-fitted: query ``i`` is mapped by a fit that did not see it. So targets of any
    width, with coordinates of any meaning, become comparable with the source.

    Args:
        target: responses of the target model.
        source: responses of the source model on the same queries.
        penalty: ridge penalty, relative to the unit variance of the target's coordinates.
        folds: how many parts of about equal size; which query belongs to which is drawn by a
            fixed key, so an order of the queries by class does no harm.
    """
    n = len(target)
    x, y = standardise(target), standardise(source)
    fold = jax.random.permutation(jax.random.key(0), n) % folds

    def predict(left_out: Array) -> Array:
        weight = (fold != left_out).astype(x.dtype)[:, None]
        count = jnp.sum(weight)
        x_mean = jnp.sum(weight * x, axis=0, keepdims=True) / count
        y_mean = jnp.sum(weight * y, axis=0, keepdims=True) / count
        xc, yc = (x - x_mean) * weight, (y - y_mean) * weight
        gram = _matmul(xc.T, xc) / count + penalty * jnp.eye(x.shape[1], dtype=x.dtype)
        coefficients = jnp.linalg.solve(gram, _matmul(xc.T, yc) / count)
        return jnp.where(weight == 0, _matmul(x - x_mean, coefficients) + y_mean, 0.0)

    return jnp.sum(jax.lax.map(predict, jnp.arange(folds)), axis=0)


def set_context(source: Float[Array, "n o"], target: Float[Array, "n o"]) -> Float[Array, " c"]:
    """How well two DNA sets go together as wholes, in three numbers.

    The cosine between coordinate ``j`` of all source fragments and coordinate ``j`` of all
    target fragments, averaged over ``j``; the same weighted by the source's variance; and the
    share of queries on which the two fragments point to the same side.
    """
    products = source * target
    covariance, energy = jnp.mean(products, axis=0), jnp.mean(source**2, axis=0)
    cosine = covariance / jnp.sqrt(energy * jnp.mean(target**2, axis=0) + 1e-12)
    weighted = jnp.sum(cosine * energy) / (jnp.sum(energy) + 1e-12)
    return jnp.stack([jnp.mean(cosine), weighted, jnp.mean(jnp.sum(products, axis=1) > 0)])
