"""A report as JSON of a versioned schema, ``report.schema.json`` beside this file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from mgmp_jax import files
from mgmp_jax.kinds import Question
from mgmp_jax.report import Answer, Report, Verdict
from mgmp_jax.stamps import check_time, library_version, versions
from mgmp_jax.verdict_rules import check_limits

__all__ = ["SCHEMA", "report_from_json", "report_to_json"]

SCHEMA = "mgmp_jax.report.v2"


def report_to_json(
    report: Report,
    *,
    created: str,
    threshold: float = 0.9,
    level: float = 0.05,
    verifier: str = "",
    ran: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Writes a report down for machines, with all that it rests on.

    Args:
        report: what :meth:`mgmp_jax.verifier.Verifier.verify` said.
        created: when, in ISO 8601 with a time zone.
        threshold: as it was given to ``verify``.
        level: as it was given to ``verify``.
        verifier: the SHA-256 of ``verifier.npz`` (:attr:`mgmp_jax.verifier.Verifier.digest`).
        ran: versions of this library, of Python and of the libraries below it that verified; by
            default those that run now.

    Returns:
        What JSON holds: the verdict of each question, and the answers of all methods.

    Raises:
        ValueError: a score is not finite, or the time is none.
    """
    beside = dict({"mgmp_jax": library_version(), **versions()} if ran is None else ran)
    return {
        "schema": SCHEMA,
        "created": check_time(created),
        "library": {"name": "mgmp_jax", "version": beside.pop("mgmp_jax", "unknown")},
        "versions": beside,
        "verifier": {"file": "verifier.npz", "sha256": verifier},
        "threshold": float(threshold),
        "level": float(level),
        "suspect": report.suspect,
        "verdicts": _verdicts(report),
        "answers": _answers(report),
    }


def report_from_json(content: Mapping[str, Any]) -> Report:
    """Makes the report again from what :func:`report_to_json` gave.

    Args:
        content: what JSON held.

    Raises:
        ValueError: it is of another schema, lacks a field, or contradicts itself.
    """
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}, expected {SCHEMA!r}")
        check_time(content["created"])
        _check_origin(content)
        answers = [_answer_from_json(one) for one in content["answers"]]
        asked = tuple(answer for answer in answers if answer.method)
        report = Report(_text(content, "suspect"), asked)
        if content["verdicts"] != _verdicts(report):
            raise ValueError(
                f"its verdicts are {content['verdicts']}, its answers say {_verdicts(report)}"
            )
        if _without_reasons_unasked(content["answers"]) != _without_reasons_unasked(
            _answers(report)
        ):
            raise ValueError("it answers a question that nobody asked")
        return report
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"no readable report: {type(error).__name__} {error}") from error
    except ValueError as error:
        raise ValueError(f"no readable report: {error}") from error


def read_report(path: str | Path) -> tuple[dict[str, Any], Report]:
    """Reads ``report.json``.

    Args:
        path: of the file.

    Returns:
        What it holds, and the report.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no report.
    """
    content = files.read_settings(path)
    try:
        return content, report_from_json(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _verdicts(report: Report) -> dict[str, str]:
    return {answer.question: answer.verdict for answer in (report.knowledge, report.lineage)}


def _answers(report: Report) -> list[dict[str, Any]]:
    """What all methods answered, and that a question was not asked where it was not."""
    missing = [answer for answer in (report.knowledge, report.lineage) if not answer.method]
    return [_answer_to_json(answer) for answer in (*report.answers, *missing)]


def _without_reasons_unasked(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out why questions were not asked, which other releases say in other words."""
    return [one if one["method"] else {**one, "reason": ""} for one in answers]


def _answer_to_json(answer: Answer) -> dict[str, Any]:
    numbers = [answer.score, answer.p_value, *(score for _, score in answer.others)]
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise ValueError(
            f"the {answer.question} of {answer.method} has a score that is not finite, which JSON "
            "cannot say; verify the suspect again"
        )
    return {
        "question": answer.question,
        "method": answer.method,
        "verdict": answer.verdict,
        "reason": answer.reason,
        "score": answer.score,
        "p_value": answer.p_value,
        "m": answer.m,
        "least_p": answer.least_p,
        "false_positive_bound": answer.false_positive_bound,
        "others": [{"name": name, "score": score} for name, score in answer.others],
        "queries": answer.queries,
        "responses": answer.responses,
        "beyond_siblings": answer.beyond_siblings,
    }


def _answer_from_json(content: Mapping[str, Any]) -> Answer:
    for name, allowed in (("question", get_args(Question)), ("verdict", get_args(Verdict))):
        if content[name] not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {content[name]!r}")
    answer = Answer(
        content["question"],
        _text(content, "method"),
        content["verdict"],
        _text(content, "reason"),
        _number(content, "score"),
        _number(content, "p_value"),
        tuple((_text(one, "name"), float(one["score"])) for one in content["others"]),
        _text(content, "queries"),
        _text(content, "responses"),
        content["beyond_siblings"] is True,
    )
    p, m = answer.p_value, answer.m
    if p is not None and not (m and math.isclose(p * (m + 1), round(p * (m + 1))) and 0 < p <= 1):
        raise ValueError(f"p = {p:g} cannot come of {m} models")
    if answer.question == "lineage" and answer.verdict == "not homologous":
        raise ValueError("lineage is never not homologous: a large p says nothing")
    if _answer_to_json(answer) != dict(content):
        raise ValueError(f"the {answer.question} of {answer.method!r} contradicts itself")
    return answer


def _check_origin(content: Mapping[str, Any]) -> None:
    """Checks what says which verifier made the report, with which limits and versions."""
    for name in ("name", "version"):
        _text(content["library"], name)
    for name, _ in content["versions"].items():
        _text(content["versions"], name)
    _text(content["verifier"], "file")
    digest = _text(content["verifier"], "sha256")
    if not re.fullmatch("([0-9a-f]{64})?", digest):
        raise ValueError(f"sha256 must be 64 hexadecimal digits or empty, got {digest!r:.80}")
    limits = [content[name] for name in ("threshold", "level")]
    if any(isinstance(limit, bool) or not isinstance(limit, int | float) for limit in limits):
        raise ValueError(f"threshold and level must be numbers, got {limits!r:.80}")
    check_limits(*map(float, limits))


def _text(content: Mapping[str, Any], name: str) -> str:
    if not isinstance(content[name], str):
        raise ValueError(f"{name} must be text, got {type(content[name]).__name__}")
    return content[name]


def _number(content: Mapping[str, Any], name: str) -> float | None:
    return None if content[name] is None else float(content[name])
