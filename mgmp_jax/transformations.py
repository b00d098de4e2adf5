"""What may happen to a model, or to its answers, before its owner meets it as a suspect."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

__all__ = [
    "add_noise",
    "keep_top",
    "one_hot_label",
    "prune",
    "ranks",
    "round_to",
    "temper",
    "to_float16",
    "to_int8",
]


def prune(params: Any, share: float) -> Any:
    """Sets the kernel weights of smallest magnitude to zero.

    Pruning is unstructured and global: one threshold for the kernels of all layers. Biases, norms
    and embeddings stay. Weights as large as the threshold are pruned, too.

    Args:
        params: parameters of a model, as Flax keeps them.
        share: of kernel weights that become zero, from 0 to 1.

    Returns:
        Parameters of the same shapes.

    Raises:
        ValueError: the share is not from 0 to 1, or no array is called ``kernel``.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    sizes = jnp.sort(jnp.concatenate([jnp.abs(kernel).ravel() for kernel in _kernels(params)]))
    number = round(share * len(sizes))
    threshold = sizes[number - 1] if number else -1.0
    return _change_kernels(params, lambda k: jnp.where(jnp.abs(k) > threshold, k, 0))


def to_int8(params: Any) -> Any:
    """Rounds kernels to 8 bits, symmetrically, with one scale for each place of the last axis.

    That is one for each output channel; in attention all heads share them.

    Args:
        params: parameters of a model, as Flax keeps them.

    Returns:
        Parameters of the same shapes, the kernels in float32 again.
    """

    def quantise(kernel: Array) -> Array:
        axes = tuple(range(kernel.ndim - 1))
        kernel = kernel.astype(jnp.float32)
        scale = jnp.max(jnp.abs(kernel), axis=axes, keepdims=True) / 127
        return jnp.round(kernel / jnp.where(scale > 0, scale, 1)) * scale

    return _change_kernels(params, quantise)


def to_float16(params: Any) -> Any:
    """Rounds all parameters to float16.

    Args:
        params: parameters of a model, as Flax keeps them.

    Returns:
        Parameters of the same shapes, in float32 again.
    """
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float16).astype(jnp.float32), params)


def round_to(probabilities: Float[Array, "n d"], decimals: int) -> Float[Array, "n d"]:
    """Rounds probabilities.

    Args:
        probabilities: answers of a model.
        decimals: how many to keep.

    Raises:
        ValueError: ``decimals`` is negative.
    """
    if decimals < 0:
        raise ValueError(f"decimals must be at least 0, got {decimals}")
    return jnp.round(probabilities, decimals)


def temper(probabilities: Float[Array, "n d"], temperature: float) -> Float[Array, "n d"]:
    """Sharpens probabilities by a temperature below 1, or flattens them by one above.

    Args:
        probabilities: answers of a model.
        temperature: that their logarithms are divided by.

    Returns:
        Probabilities that sum to 1 in each row.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    tiny = jnp.finfo(probabilities.dtype).tiny
    return jax.nn.softmax(jnp.log(jnp.maximum(probabilities, tiny)) / temperature, axis=-1)


def keep_top(probabilities: Float[Array, "n d"], k: int) -> Float[Array, "n d"]:
    """Keeps the ``k`` largest probabilities of each answer and sets the others to zero.

    Args:
        probabilities: answers of a model.
        k: how many to keep.

    Raises:
        ValueError: ``k`` is not from 1 to the number of classes.
    """
    if not 1 <= k <= probabilities.shape[-1]:
        raise ValueError(f"k must be from 1 to {probabilities.shape[-1]} classes, got {k}")
    place = probabilities.shape[-1] - 1 - ranks(probabilities)
    return jnp.where(place < k, probabilities, 0)


def one_hot_label(responses: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Replaces each answer by 1 for its label, the largest coordinate, and 0 for other classes.

    Args:
        responses: answers of a model.
    """
    return jax.nn.one_hot(responses.argmax(axis=-1), responses.shape[-1], dtype=responses.dtype)


def ranks(responses: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Replaces each number by its place in the answer, 0 for the least; ties keep their order.

    Args:
        responses: answers of a model.
    """
    return jnp.argsort(jnp.argsort(responses, axis=-1), axis=-1).astype(responses.dtype)


def add_noise(
    responses: Float[Array, "n d"], share: float, key: Key[Array, ""]
) -> Float[Array, "n d"]:
    """Adds Gaussian noise in proportion to each coordinate's standard deviation.

    Args:
        responses: answers of a model.
        share: the noise's standard deviation, relative to the coordinate's.
        key: of the noise.

    Raises:
        ValueError: the share is negative.
    """
    if not share >= 0:
        raise ValueError(f"share must be at least 0, got {share}")
    deviation = jnp.std(responses, axis=0, keepdims=True)
    return responses + share * deviation * jax.random.normal(key, responses.shape, responses.dtype)


def _kernels(params: Any) -> list[Array]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = [jnp.asarray(leaf) for path, leaf in leaves if _is_kernel(path)]
    if not kernels:
        raise ValueError("these parameters have no array called kernel")
    return kernels


def _change_kernels(params: Any, change: Any) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: change(jnp.asarray(leaf)) if _is_kernel(path) else leaf, params
    )


def _is_kernel(path: Any) -> bool:
    return bool(path) and getattr(path[-1], "key", None) == "kernel"
