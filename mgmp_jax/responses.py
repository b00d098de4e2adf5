"""Responses: what one model answered on the query set, and their file format."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mgmp_jax import files

__all__ = ["ResponseKind", "Responses", "query_digest"]

ResponseKind = Literal["logits", "probs", "logprobs", "embedding"]
_FORMAT = "mgmp_jax.responses.v1"


@dataclasses.dataclass(frozen=True, eq=False)
class Responses:
    """The responses ``[n, d]`` of one model on ``n`` queries, row ``i`` for query ``i``.

    Args:
        values: finite numbers, ``[n, d]``; kept as float32.
        kind: what the numbers are: logits, probabilities, log-probabilities or an embedding.
        queries: the digest of the query set, from :func:`query_digest`. Responses can be
            compared only where it is the same.
        model: a name for the model that answered.

    Raises:
        ValueError: the values are not ``[n, d]``, are empty or not finite, or the kind is
            unknown.
    """

    values: np.ndarray
    kind: ResponseKind
    queries: str
    model: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32)
        name = f"responses of {self.model!r}" if self.model else "responses"
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(
                f"{name} must be an array [n, d], one row per query; got shape {values.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{name} must be finite; {len(bad)} of {len(values)} rows are not, "
                f"the first is row {bad[0]}. Look for a diverged model or an overflow in float16"
            )
        if self.kind not in get_args(ResponseKind):
            raise ValueError(f"kind must be one of {get_args(ResponseKind)}, got {self.kind!r}")
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    def check_same_queries(self, other: Responses) -> None:
        """Raises ``ValueError`` unless ``other`` answers the same query set in the same order."""
        if len(self) != len(other):
            raise ValueError(
                f"{self.model or 'one model'} answered {len(self)} queries and "
                f"{other.model or 'the other'} {len(other)}; both must answer the same query set"
            )
        if self.queries != other.queries:
            raise ValueError(
                f"{self.model or 'one model'} and {other.model or 'the other'} answered different "
                f"query sets (digests {self.queries[:12]} and {other.queries[:12]}); take the "
                "responses of both on the same queries in the same order"
            )

    def check_queries(self, queries: np.ndarray) -> None:
        """Raises ``ValueError`` unless these are the queries that were answered, in their order."""
        if query_digest(queries) != self.queries:
            raise ValueError(
                f"{self.model or 'these'} responses were taken on other queries than those given; "
                "take them on exactly these, in this order"
            )

    def save(self, path: str | Path) -> None:
        """Writes an ``.npz`` of plain arrays at ``path``, whole or not at all.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        about = {"format": _FORMAT, "kind": self.kind, "queries": self.queries, "model": self.model}
        with files.replacing(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, values=self.values, about=np.array(json.dumps(about)))

    @classmethod
    def load(cls, path: str | Path) -> Responses:
        """Reads what :meth:`save` wrote; nothing in the file is ever executed.

        Raises:
            FileNotFoundError: there is no file.
            ValueError: the file is damaged or of another format, or its values are invalid.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no responses at {path}; write them with Responses.save")
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                values, about = file["values"], json.loads(str(file["about"]))
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}")
            return cls(values, about["kind"], about["queries"], about["model"])
        except Exception as error:
            raise ValueError(
                f"{path} is not a readable responses file ({error}); expected the format "
                f"{_FORMAT}: delete it and take the responses again"
            ) from error


def query_digest(queries: np.ndarray) -> str:
    """SHA-256 of a query set: its dtype, its shape and its bytes, rows in order."""
    queries = np.ascontiguousarray(queries)
    digest = hashlib.sha256(f"{queries.dtype.str}{queries.shape}".encode())
    digest.update(queries.data)
    return digest.hexdigest()
