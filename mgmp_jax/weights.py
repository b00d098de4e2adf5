"""Similarities of two models by their weights (the paper, section 3.2).

All take parameters as Flax keeps them, of any real dtype, and compute in float32. They are pure,
and work under ``jit``; weights that are not finite raise ``ValueError``, traced ones give NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

__all__ = ["weight_cosine", "weight_distance", "weight_distance_by_layer"]


def weight_distance(
    source: Mapping[str, Any], target: Mapping[str, Any], *, relative: bool = False
) -> Float[Array, ""]:
    """Computes minus the Euclidean distance of two models' parameters, ``‖Δw‖``.

    Args:
        source: parameters of the source, layer by layer.
        target: parameters of the target. Arrays that differ from the source's in name or shape
            are left out.
        relative: whether to divide by the norm of the source's parameters.

    Returns:
        A number that is at most 0, and 0 for equal parameters.

    Raises:
        ValueError: no array has the same name and shape in both, or one is not finite.
    """
    pairs = _shared(source, target)
    distance = _norm([b - a for a, b in pairs])
    if relative:
        distance = jnp.where(distance == 0, 0.0, distance / _norm([a for a, _ in pairs]))
    return -distance


def weight_distance_by_layer(
    source: Mapping[str, Any], target: Mapping[str, Any], *, relative: bool = False
) -> dict[str, Float[Array, ""]]:
    """Computes :func:`weight_distance` of each layer that has arrays of equal shape in both.

    Args:
        source: parameters of the source, layer by layer.
        target: parameters of the target.
        relative: whether to divide by the norm of the source's layer.

    Returns:
        The distances by the layers' names; other layers are left out.

    Raises:
        ValueError: an array is not finite.
    """
    layers = [layer for layer in source if layer in target and _pairs(source[layer], target[layer])]
    return {
        layer: weight_distance({layer: source[layer]}, {layer: target[layer]}, relative=relative)
        for layer in layers
    }


def weight_cosine(source: Mapping[str, Any], target: Mapping[str, Any]) -> Float[Array, ""]:
    """Computes the cosine similarity of two models' parameters.

    Args:
        source: parameters of the source, layer by layer.
        target: parameters of the target. Arrays that differ from the source's in name or shape
            are left out.

    Returns:
        A number from -1 to 1; 0 where one model has zeros only.

    Raises:
        ValueError: no array has the same name and shape in both, or one is not finite.
    """
    pairs = _shared(source, target)
    a, b = (_unit(list(side)) for side in zip(*pairs, strict=True))
    # a sum of products, which XLA adds up in parts; a dot product of JAX 0.10.0 loses four digits
    return jnp.sum(jnp.stack([jnp.sum(x * y) for x, y in zip(a, b, strict=True)]))


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
        (_float32(leaf, "source", path), _float32(other[path], "target", path))
        for path, leaf in jax.tree_util.tree_leaves_with_path(source)
        if path in other and jnp.shape(other[path]) == jnp.shape(leaf)
    ]


def _float32(leaf: Any, model: str, path: Any) -> Array:
    with np.errstate(over="ignore"):
        array = jnp.asarray(leaf, jnp.float32)
    if not isinstance(array, Tracer) and not jnp.isfinite(array).all():
        raise ValueError(
            f"parameters of the {model} must be finite; {jax.tree_util.keystr(path)} is not: look "
            "for a diverged model or a damaged file"
        )
    return array


def _size(arrays: list[Array]) -> Array:
    """The largest magnitude, 1 where all are zero: squares relative to it stay in float32."""
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(a), initial=0) for a in arrays]))
    return jnp.where(largest == 0, 1.0, largest)


def _norm(arrays: list[Array]) -> Array:
    size = _size(arrays)
    return size * jnp.sqrt(jnp.sum(jnp.stack([jnp.sum((a / size) ** 2) for a in arrays])))


def _unit(arrays: list[Array]) -> list[Array]:
    size = _size(arrays)
    scaled = [a / size for a in arrays]
    norm = _norm(scaled)
    return [a / jnp.where(norm == 0, 1.0, norm) for a in scaled]
