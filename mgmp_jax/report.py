"""What a verifier says of one suspect: an answer to each of two questions, never one of both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from mgmp_jax.kinds import Question

__all__ = ["Answer", "Report", "Verdict", "conformal_p", "false_positive_bound", "one_line"]

Verdict = Literal["homologous", "not homologous", "inconclusive"]


def conformal_p(score: float, others: Sequence[float]) -> float | None:
    """Computes the share of models, the suspect among them, that score at least as high as it.

    Args:
        score: of the suspect.
        others: of the calibration models.

    Returns:
        The p-value; ``None`` without calibration models.

    Raises:
        ValueError: a score is not finite.
    """
    wrong = [one for one in (score, *others) if not math.isfinite(one)]
    if wrong:
        raise ValueError(f"no p-value of a score that is not finite, got {wrong[0]}")
    if not others:
        return None
    return (1 + sum(other >= score for other in others)) / (len(others) + 1)


def one_line(name: str) -> str:
    """Writes out what is not printable in a name from outside, line breaks among them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def false_positive_bound(m: int) -> float:
    """Bounds the false positive rate of "scores above all ``m`` calibration models", at 95 %.

    That rate is distributed as Beta(1, m) over draws of the calibration models: ``1 - 0.05^(1/m)``,
    14.6 % for 19 models and 3.0 % for 99; 1 without any.
    """
    return 1 - 0.05 ** (1 / m) if m else 1.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one method answers to its question.

    Args:
        question: does the suspect *know* what the source knows, or does it *depend on* the
            source's own training run?
        method: the name of the method; empty where none was asked.
        verdict: homologous, not homologous or inconclusive.
        reason: why, in a sentence.
        score: larger for a suspect that looks homologous; ``None`` without an answer. Of MGMP the
            DNA score, from 0 to 1; of the sibling test how many standard deviations the source
            stands above its siblings.
        p_value: the share of ``m`` calibration models, or siblings, that score at least as high,
            the suspect, or the source, counted among them; ``None`` where there are none.
        others: their names and scores, in the unit of ``score``.
        queries: the digest of the query set that was asked; empty where none was.
        responses: the digest of the suspect's responses to it.
        beyond_siblings: whether what the source's siblings know was taken out of the question.
    """

    question: Question
    method: str
    verdict: Verdict
    reason: str
    score: float | None = None
    p_value: float | None = None
    others: tuple[tuple[str, float], ...] = ()
    queries: str = ""
    responses: str = ""
    beyond_siblings: bool = False

    @property
    def m(self) -> int:
        """How many calibration models or siblings there are."""
        return len(self.others)

    @property
    def least_p(self) -> float:
        """The smallest p-value that ``m`` models allow, ``1 / (m + 1)``."""
        return 1 / (self.m + 1)

    @property
    def false_positive_bound(self) -> float:
        """:func:`false_positive_bound` of ``m``.

        To knowledge it bounds how often another innocent suspect beats all ``m`` calibration
        models; to lineage how often another training in the source's place would beat these
        siblings with an innocent suspect, which holds only nearly: siblings' scores depend on the
        model in the source's place.
        """
        return false_positive_bound(self.m)

    def __str__(self) -> str:
        p = "no p-value"
        if self.p_value is not None:
            bound = ""
            if self.question == "knowledge" and self.p_value <= self.least_p:
                rate = f"{self.false_positive_bound:.1%}"
                bound = f", false positive rate of beating all m at most {rate} (95 % bound)"
            p = f"p = {self.p_value:.3g} (m = {self.m}, least p {self.least_p:.3g}{bound})"
        score = "" if self.score is None else f"score {self.score:.3f}, {p}. "
        return f"{self.question}: {self.verdict.upper()}. {score}{self.reason}"


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a verifier says of a suspect.

    Args:
        suspect: the name of the model.
        answers: one of each method, in their order. The first method of a question answers it;
            the others stand beside it and decide nothing.
    """

    suspect: str
    answers: tuple[Answer, ...]

    @property
    def knowledge(self) -> Answer:
        """Does the suspect know what the source knows (MGMP, similarities)?"""
        return self._first("knowledge", "MGMP needs a pool to learn from")

    @property
    def lineage(self) -> Answer:
        """Does it depend on the source's own training run (sibling test)?"""
        return self._first("lineage", "the sibling test needs at least two siblings")

    def _first(self, question: Question, needs: str) -> Answer:
        for answer in self.answers:
            if answer.question == question:
                return answer
        reason = f"Not asked: no method of the verifier answers it; {needs}."
        return Answer(question, "", "inconclusive", reason)

    def __str__(self) -> str:
        return f"{one_line(self.suspect) or 'suspect'}\n  {self.knowledge}\n  {self.lineage}"
