"""A similarity of responses as a method, with the same calibration as MGMP."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mgmp_jax.kinds import Question
from mgmp_jax.queries import TRAINING
from mgmp_jax.references import ReferenceSet
from mgmp_jax.responses import Responses
from mgmp_jax.similarities import SIMILARITIES

__all__ = ["FittedSimilarity", "Similarity"]


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Scores a suspect by how alike it and the source answer. It learns nothing.

    Args:
        name: one of :data:`mgmp_jax.similarities.SIMILARITIES`.
        asks: the name of the query set that it asks.

    Raises:
        ValueError: the similarity is unknown.
    """

    name: str
    asks: str = TRAINING
    question: ClassVar[Question] = "knowledge"

    def __post_init__(self) -> None:
        if self.name not in SIMILARITIES:
            raise ValueError(
                f"unknown similarity {self.name!r}; choose one of {', '.join(SIMILARITIES)}"
            )

    def fit(
        self, references: ReferenceSet, *, seed: int = 0, folder: str | Path | None = None
    ) -> FittedSimilarity:
        """Keeps the source's responses; ``seed`` and ``folder`` are not needed."""
        return FittedSimilarity(self.name, references.on(self.asks).source, self.asks)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedSimilarity:
    """A similarity with the source's responses.

    Args:
        name: of the similarity.
        source: the source's responses.
        asks: the name of the query set that it asks.
    """

    name: str
    source: Responses
    asks: str = TRAINING
    question: ClassVar[Question] = "knowledge"
    _last: dict[str, float] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """None."""
        return {}

    def reads(self, suspect: Responses) -> str | None:
        """Says why responses cannot be read, in a sentence; ``None`` where they can."""
        try:
            self._similarity(suspect)
        except ValueError as error:
            return str(error)
        return None

    def check_queries(self, suspect: Responses) -> None:
        """Raises ``ValueError`` unless a suspect answered the source's query set."""
        self.source.check_same_queries(suspect)

    def score(self, suspect: Responses) -> float:
        """Computes the similarity of source and suspect.

        Raises:
            ValueError: the suspect answered other queries, cannot be read, or the similarity is
                not finite.
        """
        self.check_queries(suspect)
        score = self._similarity(suspect)
        if not np.isfinite(score):
            raise ValueError(f"{self.name} of source and suspect is not finite")
        return score

    def _similarity(self, suspect: Responses) -> float:
        """The similarity; the last one is kept, as what is read is scored next."""
        if suspect.digest not in self._last:
            score = float(SIMILARITIES[self.name](self.source, suspect))
            self._last.clear()
            self._last[suspect.digest] = score
        return self._last[suspect.digest]

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Gives all that :meth:`from_arrays` needs."""
        about = {"name": self.name, "asks": self.asks, "source": self.source.about}
        return about, {"source": self.source.values}

    @classmethod
    def from_arrays(
        cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> FittedSimilarity:
        """Makes it again from what :meth:`to_arrays` gave."""
        source = Responses(arrays["source"], **about["source"])
        return cls(about["name"], source, about["asks"])
