"""Responses: what one model answered on a query set, and their file format."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from mgmp_jax import files
from mgmp_jax.arrays import as_matrix, as_numbers
from mgmp_jax.kinds import ResponseKind, check_is_kind
from mgmp_jax.queries import QuerySet

__all__ = ["FLOOR", "ResponseKind", "Responses", "can_convert"]

FLOOR = 1e-6
"""The least probability that a logarithm is taken of."""

_FORMAT = "mgmp_jax.responses.v2"
_FURTHER_DOWN: dict[str, tuple[str, ...]] = {
    "logits": ("log-probabilities", "probabilities", "labels"),
    "log-probabilities": ("probabilities", "labels"),
    "probabilities": ("log-probabilities", "labels"),
    "embedding": (),
    "top-k": ("labels",),
    "labels": (),
}
_MOST_CLASSES = 1_000_000
_FILL = 20.0  # typical deviations from the median beyond which a repeated number is a fill value


def can_convert(given: ResponseKind, wanted: ResponseKind) -> bool:
    """Says whether responses of one kind hold all that the other needs.

    Args:
        given: the kind that there is.
        wanted: the kind to convert to.

    Raises:
        ValueError: there is no such kind.
    """
    for kind in (given, wanted):
        check_is_kind(kind)
    return given == wanted or wanted in _FURTHER_DOWN[given]


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Responses:
    """The responses ``[n, d]`` of one model on ``n`` queries, row ``i`` for query ``i``.

    Args:
        values: finite numbers, ``[n, d]``, kept as float32. Of kind ``"labels"`` class numbers
            ``[n]``, or one-hot ``[n, classes]``; of kind ``"top-k"`` the probabilities that were
            answered, 0 for all other classes.
        kind: what the numbers are: logits, log-probabilities, probabilities, an embedding, the
            ``k`` largest probabilities, or labels.
        queries: the query set, or its digest (:attr:`mgmp_jax.queries.QuerySet.digest`).
            Responses can be compared only where it is the same.
        model: a name for the model that answered.

    Raises:
        ValueError: the values are not what the kind says, are empty, not finite or fill values
            beyond measure, or are not one row a query; or UTF-8 cannot write the name.

    Warns:
        UserWarning: a number far from all others is repeated, as fill values are; rows and
            columns are named. Or logits are given that look like probabilities.
    """

    values: np.ndarray
    kind: ResponseKind
    queries: str
    model: str = ""

    def __init__(
        self, values: Any, kind: ResponseKind, queries: QuerySet | str, model: str = ""
    ) -> None:
        name = f"responses of {model!r}" if model else "responses"
        check_is_kind(kind)
        if not isinstance(queries, QuerySet | str):
            raise ValueError(
                "queries must be the QuerySet that was asked, or its digest; got "
                f"{type(queries).__name__}: QuerySet.images, .texts and .rows make one"
            )
        if not isinstance(model, str):
            raise ValueError(f"model must be the name of the model, got {type(model).__name__}")
        if model != model.encode("utf-8", "ignore").decode():
            raise ValueError(
                f"model must be a name that UTF-8 can write, got {model!r}; give another name"
            )
        matrix = _of_labels(values, name) if kind == "labels" else None
        if matrix is None:
            matrix = as_matrix(_without_zero_logarithms(values, kind, name), name)
        _check_kind(matrix, kind, name)
        if isinstance(queries, QuerySet) and len(queries) != len(matrix):
            raise ValueError(f"{name} have {len(matrix)} rows for {len(queries)} queries")
        object.__setattr__(self, "values", matrix)
        object.__setattr__(self, "kind", kind)
        digest = queries.digest if isinstance(queries, QuerySet) else queries
        object.__setattr__(self, "queries", digest)
        object.__setattr__(self, "model", model)
        if kind in ("logits", "log-probabilities", "embedding"):
            _warn_of_fill_values(matrix, name)
        if kind == "logits" and matrix.shape[1] > 1 and _are_shares(matrix):
            warnings.warn(
                f"{name} are given as logits, but every row lies between 0 and 1 and sums to 1: "
                "where they are probabilities, say so by kind='probabilities' (--kind)",
                UserWarning,
                stacklevel=2,
            )

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        n, d = self.values.shape
        return f"Responses({self.model!r}, {self.kind}, [{n}, {d}], queries {self.queries[:12]})"

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of kind, shape and values."""
        digest = hashlib.sha256(f"{self.kind}{self.values.shape}".encode())
        digest.update(np.ascontiguousarray(self.values, "<f4").tobytes())
        return digest.hexdigest()

    @property
    def about(self) -> dict[str, str]:
        """All arguments but the values: ``Responses(values, **about)`` makes them again."""
        return {"kind": self.kind, "queries": self.queries, "model": self.model}

    def to(self, kind: ResponseKind, *, floor: float = FLOOR) -> Responses:
        """Converts to another kind, where these responses hold all that it needs.

        From logits to log-probabilities or probabilities, between these two, and from all of
        them and from top-k to labels; never back. Log-probabilities made of logits have no least
        value, as a logarithm loses nothing there; where some models answer with logits and others
        with probabilities, convert all to probabilities first.

        Args:
            kind: the wanted one.
            floor: the least probability that a logarithm is taken of.

        Raises:
            ValueError: the conversion would need what was not answered.
        """
        if not can_convert(self.kind, kind):
            raise ValueError(
                f"{self.model or 'responses'} are {self.kind}, which cannot be converted to "
                f"{kind}; ask the model for {kind}"
            )
        if kind == self.kind:
            return self
        values: Any = self.values
        if kind == "labels":
            values = _one_hot(values.argmax(axis=1), values.shape[1])
        elif self.kind == "logits":
            softmax = (
                scipy.special.softmax if kind == "probabilities" else scipy.special.log_softmax
            )
            values = softmax(values, axis=-1)
        elif kind == "probabilities":
            values = np.minimum(np.exp(values), 1)
        else:
            values = np.log(np.maximum(values, floor))
        return Responses(values, kind, self.queries, self.model)

    def check_same_queries(self, other: Responses) -> None:
        """Raises ``ValueError`` unless ``other`` answers the same query set in the same order."""
        mine, theirs = self.model or "one model", other.model or "the other"
        if len(self) != len(other):
            raise ValueError(
                f"{mine} answered {len(self)} queries and {theirs} {len(other)}; both must answer "
                "the same query set"
            )
        if self.queries != other.queries:
            raise ValueError(
                f"{mine} and {theirs} answered different query sets (digests "
                f"{self.queries[:12]} and {other.queries[:12]}); take the responses of both on "
                "the same queries in the same order"
            )

    def take(self, places: np.ndarray, queries: QuerySet | str) -> Responses:
        """Selects the rows at ``places``, which answer ``queries``."""
        return Responses(self.values[places], self.kind, queries, self.model)

    def save(self, path: str | Path) -> None:
        """Writes an ``.npz`` of plain arrays at ``path``, whole or not at all.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        files.write_arrays(path, {"values": self.values}, {"format": _FORMAT, **self.about})

    @classmethod
    def load(cls, path: str | Path) -> Responses:
        """Reads what :meth:`save` wrote; nothing in the file is ever executed.

        Raises:
            FileNotFoundError: there is no file.
            ValueError: the file is damaged or of another format, or its values are invalid.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"no responses at {path}; write them with Responses.save")
        try:
            arrays, about = files.read_arrays(path)
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}")
            return cls(arrays["values"], about["kind"], about["queries"], about["model"])
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            raise ValueError(
                f"{path} is not a readable responses file ({error}); expected the format "
                f"{_FORMAT}: delete it and take the responses again"
            ) from error


def _of_labels(values: Any, name: str) -> np.ndarray | None:
    """Class numbers as one-hot rows; ``None`` where the labels are one-hot already."""
    array = as_numbers(values, name)
    if array.ndim == 2 and array.shape[1] > 1:
        return None
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array) or array.min() < 0:
        raise ValueError(
            f"{name} of kind 'labels' must be class numbers [n], whole and not below 0, or "
            f"one-hot [n, classes]; got {array.dtype} {array.shape}"
        )
    if int(array.max()) >= _MOST_CLASSES:
        raise ValueError(
            f"{name} of kind 'labels' must be class numbers below {_MOST_CLASSES}, got "
            f"{array.max()}; number the classes from 0 on"
        )
    return _one_hot(array, int(array.max()) + 1)


def _one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Rows with a 1 for the label, at least two wide: one column would be class numbers."""
    rows = np.zeros((len(labels), max(classes, 2)), np.float32)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def _without_zero_logarithms(values: Any, kind: ResponseKind, name: str) -> Any:
    """Log-probabilities with a number for the logarithm of zero, the least that there is."""
    if kind != "log-probabilities":
        return values
    array = as_numbers(values, name)
    if array.dtype.kind != "f" or not np.isneginf(array).any():
        return values
    least = min(np.log(FLOOR), np.min(array, initial=0, where=np.isfinite(array)))
    return np.where(np.isneginf(array), least, array)


def _check_kind(values: np.ndarray, kind: ResponseKind, name: str) -> None:
    largest, least = values.max(), values.min()
    problem = None
    if kind in ("probabilities", "top-k") and (least < 0 or largest > 1.001):
        problem = f"must lie between 0 and 1, got {least:.3g} to {largest:.3g}"
    elif kind == "log-probabilities" and largest > 1e-3:
        problem = f"must not be above 0, got {largest:.3g}"
    elif kind == "labels" and not (
        np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
    ):
        problem = "must be one-hot rows, one 1 in each"
    if problem:
        raise ValueError(f"{name} of kind {kind!r} {problem}; choose the kind that they are")


def _are_shares(values: np.ndarray) -> bool:
    sums = values.sum(axis=1, dtype=np.float64)
    return bool((values >= 0).all() and np.abs(sums - 1).max() < 1e-3)


def _warn_of_fill_values(values: np.ndarray, name: str) -> None:
    median = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - median))
    if not deviation > 0:
        return
    for extreme in (values.min(), values.max()):
        alike = values == extreme
        if np.abs(extreme - median) > _FILL * deviation and alike.sum() > 1:
            rows, columns = (np.flatnonzero(alike.any(axis=axis)) for axis in (1, 0))
            warnings.warn(
                f"{name} repeat {extreme:.4g}, far from all other numbers, as fill values are: "
                f"{len(rows)} rows (first {rows[:5].tolist()}) in {len(columns)} columns (first "
                f"{columns[:5].tolist()}). They can hide what the model answers; leave them out",
                UserWarning,
                stacklevel=3,
            )
