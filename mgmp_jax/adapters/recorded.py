"""Answers that somebody recorded as arrays: .npy, .npz, safetensors, parquet and CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.array_files import NAMED, SUFFIXES, is_own, read_array_file
from mgmp_jax.answers import Answers, answers_to, load_answers
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["Recorded", "open_model", "reads", "record"]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A file of recorded answers, one row a query.

    Args:
        path: of an ``.npy``, ``.npz``, ``.safetensors``, ``.parquet`` or ``.csv`` file.
    """

    path: str | Path


def reads(model: Any) -> bool:
    """Says whether a model is a file of recorded answers."""
    return isinstance(model, Recorded)


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: batches.Progress | None = None,
) -> Answers:
    """Takes recorded answers over, row ``i`` for query ``i``.

    An ``.npz`` of this library knows its kind and its queries: these stand, and are compared with
    the queries given. Other files hold one array; or, in ``.npz`` and ``.safetensors``, one for
    each query set by its name. Columns of a table are classes in their order. Labels may be class
    numbers, or words, which become places among the sorted words of that file.

    Args:
        model: a :class:`Recorded`.
        queries: one query set, or several by name.
        kind: what the numbers are.
        name: of the model.
        batch_size: of no importance here: a file is read at once.
        progress: likewise.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, unpacks to more than 2 GiB, or holds no numbers, or not one row
            a query.
        ImportError: safetensors or pyarrow is needed and not installed.
    """
    path = _check(model.path)
    several = isinstance(queries, Mapping)
    asked: Mapping[str, QuerySet] = queries if several else {"": queries}
    if is_own(path):
        found = {key: _own(path, key, one, name) for key, one in asked.items()}
    else:
        if several and path.suffix not in NAMED:
            raise ValueError(
                f"{path} holds one table, and there are the query sets {list(queries)}; give an "
                ".npz or .safetensors file with an array for each, by its name"
            )
        arrays = read_array_file(path, sum(map(len, asked.values())))
        if not several and len(arrays) == 1:
            arrays = {"": next(iter(arrays.values()))}
        if lacking := [key for key in asked if key not in arrays]:
            wanted = f"one for each query set: {lacking} are missing" if several else "one"
            raise ValueError(f"{path} holds the arrays {list(arrays)}; expected {wanted}")
        labelled = _numbered({key: arrays[key] for key in asked}, path, kind)
        found = {
            key: _responses(labelled[key], kind, one, name, path) for key, one in asked.items()
        }
    return found if several else found[""]


def open_model(target: str) -> Any:
    """Finds a file of recorded answers.

    Args:
        target: its path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has another suffix than those that are read.
    """
    return Recorded(_check(target))


def _check(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} is none of the files that are read: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    return path


def _own(path: Path, key: str, queries: QuerySet, name: str) -> Responses:
    answers = load_answers(path)
    if not key and isinstance(answers, Mapping):
        same = [key for key, one in answers.items() if one.queries == queries.digest]
        key = same[0] if same else next(iter(answers))
    one = answers_to(answers, key)
    if one.queries != queries.digest:
        raise ValueError(
            f"{path} holds answers to other queries (digest {one.queries[:12]}) than were given "
            f"({queries.digest[:12]}); record them on the same query set"
        )
    return Responses(one.values, one.kind, queries, name or one.model)


def _responses(
    array: np.ndarray, kind: ResponseKind, queries: QuerySet, name: str, path: Path
) -> Responses:
    try:
        return Responses(_rows(array, len(queries)), kind, queries, name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _rows(array: np.ndarray, count: int) -> np.ndarray:
    if not array.ndim or len(array) != count:
        raise ValueError(
            f"it holds an array of shape {array.shape} for {count} queries; expected one row a "
            "query"
        )
    return array


def _numbered(
    arrays: Mapping[str, np.ndarray], path: Path, kind: ResponseKind
) -> dict[str, np.ndarray]:
    """Brings labels to whole numbers ``[n]``: words by their places among those of all arrays."""
    flat = {
        key: array[:, 0] if kind == "labels" and array.ndim == 2 and array.shape[1] == 1 else array
        for key, array in arrays.items()
    }
    worded = [array for array in flat.values() if array.dtype.kind in "SU"]
    if worded and (kind != "labels" or len(worded) < len(flat)):
        raise ValueError(
            f"{path} holds words, such as {str(worded[0].flat[0])!r}; expected numbers of kind "
            f"{kind!r}, or words everywhere of kind 'labels'"
        )
    if worded:
        words = np.unique(np.concatenate([array.ravel() for array in worded]))
        return {key: np.searchsorted(words, array) for key, array in flat.items()}
    if kind != "labels":
        return flat
    return {
        key: array.astype(np.int64) if array.dtype.kind == "f" and _whole(array) else array
        for key, array in flat.items()
    }


def _whole(labels: np.ndarray) -> bool:
    return labels.ndim == 1 and bool(np.isfinite(labels).all() and (labels % 1 == 0).all())
