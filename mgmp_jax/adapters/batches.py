"""Asks a function about query sets, batch by batch: what all adapters end in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mgmp_jax.answers import Answers
from mgmp_jax.arrays import as_numbers, check_whole
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["Queries", "record"]

Queries = QuerySet | Mapping[str, QuerySet]
"""One query set, or several by name."""


def record(
    function: Callable[[Any], Any],
    queries: Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
) -> Answers:
    """Records what a Python function answers on raw queries.

    Args:
        function: takes a batch of queries as they are: uint8 images ``[b, h, w, 3]``, a list of
            ``b`` strings, or float32 rows ``[b, f]``; gives numbers ``[b, d]``, or class numbers
            ``[b]`` where the kind is ``"labels"``.
        queries: what to ask.
        kind: what the numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: the answers are no numbers, or not one row a query.
    """
    check_whole("batch_size", batch_size, 1)
    if isinstance(queries, Mapping):
        return {of: _record(function, one, kind, name, batch_size) for of, one in queries.items()}
    return _record(function, queries, kind, name, batch_size)


def _record(
    function: Callable[[Any], Any], queries: QuerySet, kind: ResponseKind, name: str, size: int
) -> Responses:
    who = name or "the model"
    parts: list[np.ndarray] = []
    for start in range(0, len(queries), size):
        batch = queries.take(slice(start, start + size))
        inputs = list(batch.inputs) if queries.modality == "texts" else batch.inputs
        part = as_numbers(function(inputs), f"answers of {who}")
        if not part.ndim or len(part) != len(batch):
            raise ValueError(
                f"{who} gave an array of shape {part.shape} for {len(batch)} queries; expected one "
                "row a query"
            )
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"{who} answered queries {start} and following with rows of shape "
                f"{part.shape[1:]}, those before with {parts[0].shape[1:]}; expected one width"
            )
        parts.append(part)
    return Responses(np.concatenate(parts), kind, queries, name)
