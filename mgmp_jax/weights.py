"""Distances of two models with their weights in hand (the paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["weight_cosine", "weight_distance", "weight_distance_by_layer"]


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
        (jnp.asarray(leaf, jnp.float32), jnp.asarray(other[path], jnp.float32))
        for path, leaf in jax.tree_util.tree_leaves_with_path(source)
        if path in other and jnp.shape(other[path]) == jnp.shape(leaf)
    ]


def _norm(arrays: list[Array]) -> Array:
    return jnp.sqrt(sum((jnp.sum(a**2) for a in arrays), start=jnp.zeros(())))
