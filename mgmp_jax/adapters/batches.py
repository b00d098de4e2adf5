"""Asks a function about query sets, batch by batch: what all adapters end in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mgmp_jax.answers import Answers
from mgmp_jax.arrays import as_numbers, check_whole
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["Progress", "Queries", "record"]

Queries = QuerySet | Mapping[str, QuerySet]
"""One query set, or several by name."""

Progress = Callable[[int, int], None]
"""Told how many queries are answered, and of how many."""


def record(
    function: Callable[[Any], Any],
    queries: Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: Progress | None = None,
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
        progress: told how many queries are answered, and of how many.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: the answers are no numbers, or not one row a query; or the function raises
            something or ends the program.
    """
    check_whole("batch_size", batch_size, 1)
    several = isinstance(queries, Mapping)
    sets: Mapping[str, QuerySet] = queries if several else {"": queries}
    total, answered, found = sum(map(len, sets.values())), 0, {}
    for query_set, one in sets.items():
        parts: list[np.ndarray] = []
        for part in _ask(function, one, name or "the model", batch_size):
            parts.append(part)
            answered += len(part)
            if progress is not None:
                progress(answered, total)
        found[query_set] = Responses(np.concatenate(parts), kind, one, name)
    return found if several else found[""]


def _ask(
    function: Callable[[Any], Any], queries: QuerySet, who: str, size: int
) -> Iterator[np.ndarray]:
    width: tuple[int, ...] | None = None
    for start in range(0, len(queries), size):
        batch = queries.take(slice(start, start + size))
        inputs = list(batch.inputs) if queries.modality == "texts" else batch.inputs.copy()
        try:
            answer = function(inputs)
        except (ValueError, OSError, ImportError):
            raise
        except (Exception, SystemExit) as error:  # whatever a model's own code raises
            raise ValueError(
                f"{who} failed at queries {start} to {start + len(batch) - 1}: "
                f"{type(error).__name__}: {error}"
            ) from error
        part = np.array(as_numbers(answer, f"answers of {who}"))  # whose memory may be used again
        if not part.ndim or len(part) != len(batch):
            raise ValueError(
                f"{who} gave an array of shape {part.shape} for {len(batch)} queries; expected one "
                "row a query"
            )
        width = part.shape[1:] if width is None else width
        if part.shape[1:] != width:
            raise ValueError(
                f"{who} answered queries {start} and following with rows of shape "
                f"{part.shape[1:]}, those before with {width}; expected one width"
            )
        yield part
