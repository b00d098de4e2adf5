"""Checks a report by verifying the suspect again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgmp_jax import files
from mgmp_jax.answers import Answers
from mgmp_jax.statements.cyclonedx import report_to_cyclonedx
from mgmp_jax.statements.in_toto import report_to_in_toto
from mgmp_jax.statements.model_card import report_to_model_card
from mgmp_jax.statements.report_json import read_report, report_from_json
from mgmp_jax.verifier import Verifier

__all__ = ["check_report", "check_statements"]

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
    if len(stated.answers) != len(found.answers) or stated.suspect != found.suspect:
        raise ValueError(
            f"the report has {len(stated.answers)} answers on {stated.suspect!r}, the verifier "
            f"{len(found.answers)} on {found.suspect!r}"
        )
    compared = ("question", "method", "queries", "responses", "verdict", "reason", "p_value", "m")
    for said, made in zip(stated.answers, found.answers, strict=True):
        for name in compared:
            if getattr(said, name) != getattr(made, name):
                raise ValueError(
                    f"the report's {name} of {said.question} is {getattr(said, name)}, the "
                    f"verifier's {getattr(made, name)}"
                )
        if [name for name, _ in said.others] != [name for name, _ in made.others]:
            raise ValueError(f"the report's {said.question} names other models than the verifier")
        scores = [(said.score, made.score)]
        scores += [(a, b) for (_, a), (_, b) in zip(said.others, made.others, strict=True)]
        for one, other in scores:
            if (one is None) != (other is None) or not _close(one or 0.0, other or 0.0):
                raise ValueError(
                    f"the report's scores of {said.question} are not the verifier's: {one} is "
                    f"{other}"
                )


def check_statements(folder: str | Path, answers: str | Path, source: str) -> tuple[str, ...]:
    """Checks that the statements in the folder of a report say what its ``report.json`` says.

    Args:
        folder: that `mgmp report` made.
        answers: the file of answers that it judged.
        source: the name of the owner's model.

    Returns:
        The names of the files that were checked. The page is not among them: nothing but its
        signature shows that it was not changed.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: one says something else; it is named.
    """
    folder = Path(folder)
    content, _ = read_report(folder / "report.json")
    bom = files.read_settings(folder / "cyclonedx.json")
    try:
        (assessor,) = bom["declarations"]["assessors"]
        by, third_party = assessor["organization"]["name"], assessor["thirdParty"]
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'cyclonedx.json'} does not say who verified") from error
    made = report_to_cyclonedx(content, source=source, assessor=by, third_party=third_party)
    card = files.read_bytes(folder / "model-card.md").decode("utf-8", "replace")
    compared = {
        "cyclonedx.json": bom == made,
        "in-toto.json": files.read_settings(folder / "in-toto.json")
        == report_to_in_toto(content, answers),
        "model-card.md": card == report_to_model_card(content, source=source),
    }
    for name, is_same in compared.items():
        if not is_same:
            raise ValueError(f"{folder / name} says something else than report.json")
    return ("report.json", *compared)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
