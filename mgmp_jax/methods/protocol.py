"""What every method offers: it is fitted to a reference set, and then reads suspects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from mgmp_jax.kinds import Question
from mgmp_jax.references import ReferenceSet
from mgmp_jax.responses import Responses

__all__ = ["Fitted", "Kept", "Method"]


@runtime_checkable
class Fitted(Protocol):
    """A method that is ready for suspects."""

    @property
    def name(self) -> str:
        """Of the method, in reports."""
        ...

    question: ClassVar[Question]
    """That it answers."""

    @property
    def asks(self) -> str:
        """The name of the query set that it asks."""
        ...

    def check_queries(self, suspect: Responses) -> None:
        """Raises ``ValueError`` unless a suspect answered the query set that it was fitted on."""
        ...

    def reads(self, suspect: Responses) -> str | None:
        """Says why responses cannot be read, in a sentence; ``None`` where they can."""
        ...

    def score(self, suspect: Responses) -> float:
        """Scores a suspect, larger for one that looks homologous.

        Raises:
            ValueError: the suspect answered other queries, or cannot be read.
        """
        ...


@runtime_checkable
class Kept(Fitted, Protocol):
    """A fitted method that a verifier can save, of this library."""

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON holds it; for reports."""
        ...

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Gives all that :meth:`from_arrays` needs: what JSON holds, and arrays by name."""
        ...

    @classmethod
    def from_arrays(cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Kept:
        """Makes it again."""
        ...


@runtime_checkable
class Method(Protocol):
    """A way to answer one of the two questions; made by its settings alone."""

    @property
    def name(self) -> str:
        """Of the method, in reports."""
        ...

    question: ClassVar[Question]
    """That it answers."""

    @property
    def asks(self) -> str:
        """The name of the query set that it asks, where models answered several."""
        ...

    def fit(
        self, references: ReferenceSet, *, seed: int = 0, folder: str | Path | None = None
    ) -> Fitted:
        """Learns what it needs from the reference set.

        Args:
            references: the models whose truth is known.
            seed: of whatever is drawn.
            folder: for checkpoints of a training, which is resumed; ``None`` keeps nothing.

        Raises:
            ValueError: the reference set lacks what the method needs.
        """
        ...
