"""The sibling test as a method: what depends on the candidates alone is prepared once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
from jaxtyping import Float

from mgmp_jax.arrays import check_varied
from mgmp_jax.kinds import Question
from mgmp_jax.linear import check_width, num_varying
from mgmp_jax.methods.attribution import (
    SiblingResult,
    combine,
    exact_p,
    stack_candidates,
    t_tail_p,
)
from mgmp_jax.methods.candidates import Candidates, RegressedOut
from mgmp_jax.queries import UNSEEN
from mgmp_jax.references import ReferenceSet
from mgmp_jax.responses import ResponseKind, Responses, can_convert

__all__ = ["FittedSiblingTest", "SiblingTest", "default_background"]

_FEW_QUERIES = 256


def default_background(n: int, width: int) -> RegressedOut:
    """Chooses the background by the number of queries and the width of all other candidates.

    Args:
        n: how many queries.
        width: of what would be regressed out.
    """
    return "others" if n > _FEW_QUERIES and width <= 0.4 * n else "none"


@dataclasses.dataclass(frozen=True)
class SiblingTest:
    """Asks whether a suspect can tell the source from siblings, models that differ by the seed.

    The statistic joins the R² of the cross-fitted ridge regressions of suspect and candidate on
    each other (:data:`mgmp_jax.methods.attribution.BOTH_FITS`).

    Args:
        background: whether the answers of all other candidates are regressed out of suspect and
            candidate first. By default they are where there are more than 256 queries and the
            others have together at most 0.4 coordinates a query; the rule knows nothing of the
            suspect nor of which candidate is the source.
        asks: the name of the query set that it asks.
        name: of the method in reports.

    Raises:
        ValueError: the background is unknown.
    """

    background: RegressedOut | None = None
    asks: str = UNSEEN
    name: str = "sibling test"
    question: ClassVar[Question] = "lineage"

    def __post_init__(self) -> None:
        if self.background not in (None, *get_args(RegressedOut)):
            raise ValueError(
                f"background must be one of {get_args(RegressedOut)}, or None for the default by "
                f"the number of queries; got {self.background!r}"
            )

    def fit(
        self, references: ReferenceSet, *, seed: int = 0, folder: str | Path | None = None
    ) -> FittedSiblingTest:
        """Prepares source and siblings; nothing is drawn or trained.

        Args:
            references: with at least two siblings. Scores are centred by its controls. The pool's
                non-homologous models never stand in: one that descends from a sibling would lower
                that sibling's scores, and none of them can lower the source's.
            seed: not needed.
            folder: not needed.

        Raises:
            ValueError: there are fewer than two siblings or ten queries; shapes or kinds of source
                and siblings differ; or the others are too wide to be regressed out.
        """
        own = references.on(self.asks)
        candidates = stack_candidates(own.source, own.siblings)
        count, n, d = candidates.shape
        width = (count - 1) * d
        background = self.background or default_background(n, width)
        if background == "others":
            check_width(width, n, "the other candidates are together")
        return FittedSiblingTest(
            candidates,
            tuple(own.controls),
            background,
            own.source.queries,
            self.asks,
            self.name,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class FittedSiblingTest:
    """The candidates of a sibling test, ready for suspects.

    Measured on one core for 2,500 queries of width 10: 19 siblings take 0.04 s once and 0.03 s a
    suspect, 99 siblings 0.8 s once and 0.15 s a suspect (``docs/results/benchmark.md``). For ``n``
    queries, ``c`` candidates and ``w = c d`` coordinates ``8 (3 n w + 5 w^2)`` bytes are kept, and
    a suspect of width ``p`` takes ``8 c n (d + 2 p)`` more while it is tested.

    Args:
        candidates: responses ``[c, n, d]`` of the source, which comes first, and its siblings.
        controls: models known not to come from any candidate. A candidate's mean score with them
            is subtracted, so that a source which resembles everything a little more than its
            siblings do is not accused of every suspect.
        background: whether the other candidates are regressed out.
        queries: the digest of the query set.
        asks: its name.
        name: of the method.
    """

    candidates: Float[np.ndarray, "c n d"]
    controls: tuple[Responses, ...]
    background: RegressedOut
    queries: str
    asks: str = UNSEEN
    name: str = "sibling test"
    question: ClassVar[Question] = "lineage"
    _centres: dict[str, np.ndarray] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def settings(self) -> dict[str, Any]:
        """How many siblings and controls it has, and what is regressed out."""
        return {
            "siblings": len(self.candidates) - 1,
            "controls": len(self.controls),
            "background": self.background,
        }

    def reads(self, suspect: Responses) -> str | None:
        """Says why responses cannot be read, in a sentence; ``None`` where they can.

        Any kind and width is read that the controls' responses convert to, as long as there are
        enough queries for a linear fit from so many coordinates.
        """
        for control in self.controls:
            if not can_convert(control.kind, suspect.kind):
                both_label = all(can_convert(r.kind, "labels") for r in (control, suspect))
                less = ", or give the suspect's labels: suspect.to('labels')" if both_label else ""
                return (
                    f"the suspect answers with {suspect.kind}, which the controls' {control.kind} "
                    f"cannot be converted to; record the controls' {suspect.kind}{less}"
                )
        try:
            check_width(num_varying(suspect.values), len(suspect), "the suspect's responses are")
        except ValueError as error:
            return str(error)
        return None

    def check_queries(self, suspect: Responses) -> None:
        """Raises ``ValueError`` unless a suspect answered the candidates' query set."""
        if suspect.queries != self.queries or len(suspect) != self.candidates.shape[1]:
            raise ValueError(
                f"{suspect.model or 'the suspect'} answered another query set than the "
                f"candidates (digests {suspect.queries[:12]} and {self.queries[:12]}); take its "
                "responses on theirs"
            )

    def test(self, suspect: Responses) -> SiblingResult:
        """Compares a suspect with all candidates.

        Raises:
            ValueError: it answered other queries, every query alike, or cannot be read; or a score
                is not finite.
        """
        self.check_queries(suspect)
        reason = self.reads(suspect)
        if reason:
            raise ValueError(reason)
        check_varied(suspect.values, suspect.model or "the suspect")
        scores = combine(self._prepared.scores(suspect.values) - self._centre(suspect.kind))
        p = float(exact_p(scores))
        return SiblingResult(float(scores[0]), scores[1:], p, float(t_tail_p(scores)))

    def score(self, suspect: Responses) -> float:
        """Computes how far the source stands above its siblings, in their standard deviations.

        Raises:
            ValueError: as :meth:`test`.
        """
        return self.test(suspect).deviations

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Gives all that :meth:`from_arrays` needs."""
        about = {
            "controls": [control.about for control in self.controls],
            "background": self.background,
            "queries": self.queries,
            "asks": self.asks,
            "name": self.name,
        }
        arrays = {f"controls/{i}": c.values for i, c in enumerate(self.controls)}
        return about, {"candidates": self.candidates, **arrays}

    @classmethod
    def from_arrays(
        cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> FittedSiblingTest:
        """Makes it again from what :meth:`to_arrays` gave; what is derived comes at first use."""
        controls = tuple(
            Responses(arrays[f"controls/{i}"], **control)
            for i, control in enumerate(about["controls"])
        )
        return cls(
            arrays["candidates"],
            controls,
            about["background"],
            about["queries"],
            about["asks"],
            about["name"],
        )

    @functools.cached_property
    def _prepared(self) -> Candidates:
        return Candidates(self.candidates, self.background)

    def _centre(self, kind: ResponseKind) -> np.ndarray:
        """The mean scores ``[2, c]`` of the controls, which answer as a suspect of a kind does."""
        if not self.controls:
            return np.zeros((2, len(self.candidates)))
        if kind not in self._centres:
            scores = [self._prepared.scores(control.to(kind).values) for control in self.controls]
            self._centres[kind] = np.mean(scores, axis=0)
        return self._centres[kind]
