"""The rules by which scores and p-values become verdicts, each with its reason."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from mgmp_jax.linear import num_varying
from mgmp_jax.methods import Fitted, FittedMGMP, FittedSiblingTest
from mgmp_jax.report import Answer, Verdict
from mgmp_jax.responses import Responses

__all__ = [
    "check_limits",
    "comparable",
    "has_thresholds",
    "knowledge_verdict",
    "lineage_answer",
    "why_not_compared",
]

_NO_CONTROLS = (
    " No control was known: a source a little better than its siblings may resemble every suspect "
    "more than they do."
)


def check_limits(threshold: float, level: float) -> None:
    """Raises ``ValueError`` unless these can be the limits of verdicts."""
    if isinstance(threshold, str) or not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0.5 to 1, got {threshold!r}")
    if isinstance(level, str) or not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")


def lineage_answer(method: FittedSiblingTest, suspect: Responses, level: float) -> Answer:
    """Tests a suspect's lineage: homologous where the exact p is at most the level.

    A larger p is inconclusive, never an acquittal.

    Args:
        method: source and siblings.
        suspect: responses that the method reads.
        level: the largest p of a homologous suspect.

    Raises:
        ValueError: as :meth:`mgmp_jax.methods.FittedSiblingTest.test`.
    """
    found = method.test(suspect)
    score, p, m = found.deviations, found.p_value, found.num_siblings
    higher = _number_above(p, m)
    if p <= level:
        verdict: Verdict = "homologous"
        reason = (
            f"It resembles the source more than {f'all but {higher} of' if higher else 'all'} its "
            f"{m} siblings; if these differ by the seed alone, it depends on this very training "
            f"run, says the test with p = {p:.3g}.{'' if method.controls else _NO_CONTROLS}"
        )
    elif 1 / (m + 1) > level:
        verdict = "inconclusive"
        reason = (
            f"{m} siblings allow no p below {1 / (m + 1):.3g}; for p ≤ {level:g} train at least "
            f"{_models_for(level)}."
        )
    else:
        verdict = "inconclusive"
        reason = (
            f"It resembles {higher} of its {m} siblings at least as much as the source, which is "
            "no evidence of innocence: the test may lack power."
        )
    others = tuple((f"sibling {i}", float(z)) for i, z in enumerate(found.sibling_deviations))
    return Answer("lineage", method.name, verdict, reason, score, p, others)


def has_thresholds(method: Fitted, suspect: Responses) -> bool:
    """Says whether a score of a suspect is large or small by itself: MGMP's, of a kind it knows."""
    return isinstance(method, FittedMGMP) and method.knows_kind(suspect)


def comparable(
    method: Fitted, suspect: Responses, models: Mapping[int, Responses]
) -> dict[int, Responses]:
    """Selects the calibration models with whose scores a suspect's may be compared.

    A score also depends on how many coordinates vary between queries, whatever the model knows.
    MGMP's rises with them, so its calibration models must have at least as many as the suspect;
    for other similarities, which rise or fall, equally many.

    Args:
        method: of knowledge.
        suspect: responses that it reads.
        models: responses of the calibration models by place, of the suspect's kind.
    """
    width, is_like = num_varying(suspect.values), operator.eq
    if isinstance(method, FittedMGMP):
        is_like = operator.ge
    return {i: model for i, model in models.items() if is_like(num_varying(model.values), width)}


def why_not_compared(
    method: Fitted,
    suspect: Responses,
    models: Mapping[int, Responses],
    read: Mapping[int, Responses],
    compared: int,
    total: int,
) -> str:
    """Says how many calibration models a suspect is not compared with, and why; or nothing.

    Args:
        method: as of :func:`comparable`.
        suspect: likewise.
        models: likewise.
        read: those of them that the method reads.
        compared: how many :func:`comparable` selects of these.
        total: how many calibration models there are.
    """
    missing = total - compared
    if not missing:
        return ""
    unread = [model for i, model in models.items() if i not in read]
    why = method.reads(unread[0]) if unread else None
    if why is None and len(models) == total:
        width, unlike = num_varying(suspect.values), "another number of coordinates vary than the"
        if isinstance(method, FittedMGMP):
            unlike = "fewer coordinates vary than the"
        why = (
            f"in their answers {unlike} {width} of the suspect's, and scores depend on how many "
            f"do, whatever a model knows; give calibration models with {width}"
        )
    return (
        f" {missing} of {total} calibration models cannot be compared with a suspect that answers "
        f"with {suspect.kind}: {why or f'record their {suspect.kind}'}."
    )


def knowledge_verdict(
    method: Fitted,
    suspect: Responses,
    score: float,
    p: float | None,
    m: int,
    threshold: float,
    level: float,
) -> tuple[Verdict, str]:
    """Gives the verdict on a suspect's knowledge, and its reason.

    Args:
        method: MGMP, whose score has thresholds for responses of the kinds that it learned from,
            or another similarity, whose has none.
        suspect: responses that the method reads.
        score: of the suspect.
        p: of :func:`mgmp_jax.report.conformal_p`.
        m: how many calibration models it counts.
        threshold: the paper's δ.
        level: the largest p of a homologous suspect.
    """
    learned = has_thresholds(method, suspect)
    if learned and score <= 1 - threshold:
        return "not homologous", f"The DNA score is at most 1 - δ = {1 - threshold:.2g}."
    if learned and score < threshold:
        return (
            "inconclusive",
            f"The DNA score lies between 1 - δ = {1 - threshold:.2g} and δ = {threshold:g}.",
        )
    above = f"The score is {score:.3g}"
    if learned:
        above = f"The DNA score is at least δ = {threshold:g}"
    elif isinstance(method, FittedMGMP):
        above = (
            f"MGMP learned from {' and '.join(method.kinds)}, so δ does not hold for the suspect's "
            f"{suspect.kind}; the DNA score is {score:.3g}"
        )
    if p is None:
        if not learned:
            return "inconclusive", f"{above}: without calibration models that says nothing."
        return (
            "homologous",
            f"{above}; without calibration models this has no error rate.{_unknown(method)}",
        )
    if p <= level:
        higher = _number_above(p, m)
        but = f"but {higher} of " if higher else ""
        return "homologous", f"{above}, above all {but}{m} calibration models.{_unknown(method)}"
    if 1 / (m + 1) > level:
        return (
            "inconclusive",
            f"{above}, but {m} calibration models allow no p below {1 / (m + 1):.3g}; for p ≤ "
            f"{level:g} give at least {_models_for(level)}.",
        )
    return "inconclusive", f"{above}, but calibration models score as high: p = {p:.3g}."


def _unknown(method: Fitted) -> str:
    if isinstance(method, FittedMGMP) and not method.knows_siblings:
        return (
            " No sibling of the source is in its background: another model of the same data may "
            "score as high."
        )
    return ""


def _number_above(p: float, m: int) -> int:
    """How many of ``m`` models score at least as high as the one whose p-value this is."""
    return round(p * (m + 1)) - 1


def _models_for(level: float) -> int:
    """How many calibration models or siblings a p-value of ``level`` takes."""
    m = round(1 / level) - 1
    return m if 1 / (m + 1) <= level else m + 1
