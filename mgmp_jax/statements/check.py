"""Checks a report by verifying the suspect again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mgmp_jax.answers import Answers
from mgmp_jax.statements.report_json import report_from_json
from mgmp_jax.verifier import Verifier

__all__ = ["check_report"]

_TOLERANCE = 1e-3
"""Of scores: other hardware rounds otherwise."""


def check_report(content: Mapping[str, Any], verifier: Verifier, suspect: Answers) -> None:
    """Checks that a verifier says of a suspect what a report says that it did.

    Args:
        content: what :func:`mgmp_jax.statements.report_to_json` gave.
        verifier: the private verifier.
        suspect: the recorded answers.

    Raises:
        ValueError: the report is none, was made by another verifier or of other answers, or the
            verifier says something else; the message says what differs.
    """
    stated = report_from_json(content)
    if content["verifier"]["sha256"] != verifier.digest:
        raise ValueError(
            f"the report was made by another verifier: {content['verifier']['sha256'][:12]}, this "
            f"one is {verifier.digest[:12]}"
        )
    found = verifier.verify(
        suspect, threshold=float(content["threshold"]), level=float(content["level"])
    )
    if len(stated.answers) < len(found.answers):
        raise ValueError(
            f"the report has {len(stated.answers)} answers, the verifier {len(found.answers)}"
        )
    for said, made in zip(stated.answers, found.answers, strict=False):
        for name in ("question", "method", "queries", "responses", "verdict", "p_value", "m"):
            if getattr(said, name) != getattr(made, name):
                raise ValueError(
                    f"the report's {name} of {said.question} is {getattr(said, name)}, the "
                    f"verifier's {getattr(made, name)}"
                )
        scores = [(said.score, made.score)]
        scores += [(a, b) for (_, a), (_, b) in zip(said.others, made.others, strict=True)]
        for one, other in scores:
            if (one is None) != (other is None) or not _close(one or 0.0, other or 0.0):
                raise ValueError(
                    f"the report's scores of {said.question} are not the verifier's: {one} is "
                    f"{other}"
                )


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
