"""Flax modules: Linen with their variables, and NNX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen, nnx

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import is_of
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.adapters.python import open_model
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["Linen", "open_model", "reads", "record"]


@dataclasses.dataclass(frozen=True, eq=False)
class Linen:
    """A Linen module with all that its ``apply`` needs.

    Args:
        module: the module.
        variables: its parameters and other collections.
        options: other arguments of its call, such as ``{"train": False}``.
    """

    module: Any
    variables: Mapping[str, Any]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def reads(model: Any) -> bool:
    """Says whether a model is a :class:`Linen`, a Linen module or an NNX module."""
    return isinstance(model, Linen) or is_of(model, "flax", "Module")


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    pixels: Pixels = Pixels(),
) -> Answers:
    """Records what a Flax module answers.

    Args:
        model: a :class:`Linen` or an ``nnx.Module``, which is asked in evaluation mode and left in
            the mode in which it was. It reads float images ``[b, h, w, 3]`` or rows ``[b, f]``.
        queries: images or rows. For texts give a function that tokenises them.
        kind: what the numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.
        pixels: what the module reads.

    Raises:
        ValueError: the queries are texts; a Linen module comes without variables; or the answers
            are no array, one row a query.
    """
    if isinstance(model, linen.Module):
        raise ValueError("give Linen(module, variables): a Linen module alone has no parameters")
    if isinstance(model, Linen):
        apply = jax.jit(lambda variables, x: model.module.apply(variables, x, **model.options))
        state: Any = model.variables
    else:
        graph, state = nnx.split(nnx.clone(model))
        evaluated = nnx.merge(graph, state)
        evaluated.eval()
        graph, state = nnx.split(evaluated)
        apply = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    return batches.record(
        asking(lambda x: apply(state, x), batch_size, pixels),
        queries,
        kind=kind,
        name=name,
        batch_size=batch_size,
    )


def asking(apply: Any, batch_size: int, pixels: Pixels) -> Any:
    """Makes a function of raw queries of one of float arrays that is compiled for one batch size.

    Args:
        apply: a function of images ``[b, h, w, 3]`` or rows ``[b, f]``.
        batch_size: ``b``; a smaller batch is filled up.
        pixels: what it reads of images.
    """

    def answer(inputs: Any) -> np.ndarray:
        if isinstance(inputs, list):
            raise ValueError(
                "a module of arrays reads no texts; give a function of a list of texts that "
                "tokenises them and calls it"
            )
        x = pixels(inputs) if inputs.ndim == 4 else inputs
        filled = np.concatenate([x, np.repeat(x[-1:], batch_size - len(x), axis=0)])
        return np.asarray(apply(filled))[: len(x)]

    return answer
