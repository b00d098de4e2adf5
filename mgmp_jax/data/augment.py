"""Random augmentation of image batches, inside the compiled step."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

__all__ = ["Augmentation", "augment"]

Augmentation = Literal["none", "crop", "crop-flip"]


def augment(
    images: Float[Array, "b h w c"] | Int[Array, "b l"] | Float[Array, "b f"],
    key: PRNGKeyArray,
    how: Augmentation,
    pad: int = 4,
) -> Float[Array, "b h w c"] | Int[Array, "b l"] | Float[Array, "b f"]:
    """Shifts each image by up to ``pad`` pixels (edges reflected) and mirrors half of them.

    Args:
        images: a batch; token ids and rows of numbers only with ``"none"``.
        key: of the shifts and mirrors.
        how: ``"none"`` changes nothing, ``"crop"`` shifts, ``"crop-flip"`` mirrors too.
        pad: the largest shift, in pixels.

    Raises:
        ValueError: something other than images is to be augmented.
    """
    if how == "none":
        return images
    if images.ndim != 4:
        raise ValueError(f'{how!r} augments images only, got {images.shape}; choose augment="none"')
    shift_key, flip_key = jax.random.split(key)
    b, h, w, c = images.shape
    if how == "crop-flip":
        flip = jax.random.bernoulli(flip_key, 0.5, (b, 1, 1, 1))
        images = jnp.where(flip, images[:, :, ::-1], images)
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    corners = jax.random.randint(shift_key, (b, 2), 0, 2 * pad + 1)

    def crop(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (h, w, c))

    return jax.vmap(crop)(padded, corners)
