"""Equinox modules of one example, as ``jax.vmap`` maps them over a batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.flax import asking
from mgmp_jax.adapters.frameworks import import_framework, is_of
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.adapters.python import open_model
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]


def reads(model: Any) -> bool:
    """Says whether a model is an Equinox module."""
    return is_of(model, "equinox", "Module")


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    pixels: Pixels = Pixels(),
) -> Answers:
    """Records what an Equinox module answers, in inference mode.

    Args:
        model: a module of one float image ``[3, h, w]`` or one row ``[f]``, without state.
        queries: images or rows. For texts give a function that tokenises them.
        kind: what the numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.
        pixels: what the module reads; channels always come first.

    Raises:
        ValueError: the queries are texts, or the answers are no array, one row a query.
        ImportError: Equinox is not installed.
    """
    equinox = import_framework("equinox", "equinox")
    pixels = dataclasses.replace(pixels, channels_first=True)
    arrays, static = equinox.partition(equinox.nn.inference_mode(model), equinox.is_array)
    apply = jax.jit(lambda arrays, x: jax.vmap(equinox.combine(arrays, static))(x))
    return batches.record(
        asking(lambda x: apply(arrays, x), batch_size, pixels),
        queries,
        kind=kind,
        name=name,
        batch_size=batch_size,
    )
