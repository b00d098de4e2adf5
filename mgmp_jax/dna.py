"""DNA: how responses and latents become fragments, and what can be said of whole sets of them."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from mgmp_jax.linear import cross_fit, standardise

__all__ = ["Assembly", "align", "assemble", "set_context"]

Assembly = Literal["addition", "concatenation", "residual"]


def assemble(
    latents: Float[Array, "n z"] | None, responses: Float[Array, "n d"], how: Assembly
) -> Float[Array, "n o"]:
    """Assembles DNA fragments of the generator's latents and a model's responses (Eq. 4).

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
        return standardise(responses) - cross_fit(latents, responses)
    if how == "concatenation":
        return jnp.concatenate([latents, responses], axis=-1)
    if latents.shape != responses.shape:
        raise ValueError(
            f"addition needs |z| = |y|, got |z| = {latents.shape[-1]} and |y| = "
            f"{responses.shape[-1]}; give the generator {responses.shape[-1]} outputs or choose "
            "concatenation"
        )
    return latents + responses


def align(source: Float[Array, "n d"], target: Float[Array, "n p"]) -> Float[Array, "n d"]:
    """Maps a target's responses linearly into the source's coordinates.

    Each query is mapped by a ridge regression that did not see it
    (:func:`mgmp_jax.linear.cross_fit`). So targets of any width, with coordinates of any meaning,
    become comparable with the source.

    Args:
        source: responses of the source model.
        target: responses of the target model on the same queries.

    Returns:
        What is predicted of the standardised source from the standardised target.
    """
    return cross_fit(target, source)


def set_context(source: Float[Array, "n o"], target: Float[Array, "n o"]) -> Float[Array, " c"]:
    """Compares two DNA sets as wholes, in three numbers.

    Args:
        source: fragments of the source.
        target: fragments of the target on the same queries.

    Returns:
        The cosine between coordinate ``j`` of all source fragments and coordinate ``j`` of all
        target fragments, averaged over ``j``; the same weighted by the source's variance; and the
        share of queries on which the two fragments have a positive product.
    """
    products = source * target
    covariance, energy = jnp.mean(products, axis=0), jnp.mean(source**2, axis=0)
    cosine = covariance / jnp.sqrt(energy * jnp.mean(target**2, axis=0) + 1e-12)
    weighted = jnp.sum(cosine * energy) / (jnp.sum(energy) + 1e-12)
    return jnp.stack([jnp.mean(cosine), weighted, jnp.mean(jnp.sum(products, axis=1) > 0)])
