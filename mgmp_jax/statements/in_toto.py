"""A report as in-toto Statement v1: its subject is the file of the suspect's answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgmp_jax import files
from mgmp_jax.answers import load_answers
from mgmp_jax.responses import Responses
from mgmp_jax.statements.report_json import report_from_json

__all__ = ["PREDICATE_TYPE", "check_in_toto", "report_to_in_toto"]

PREDICATE_TYPE = "https://github.com/mgmp-jax/mgmp_jax/report/v2"
"""What kind of predicate a report is, in in-toto's words."""

_STATEMENT = "https://in-toto.io/Statement/v1"


def report_to_in_toto(content: Mapping[str, Any], answers: str | Path) -> dict[str, Any]:
    """Makes an in-toto Statement of a report.

    Args:
        content: what :func:`mgmp_jax.statements.report_to_json` gave; it is the predicate.
        answers: the file of the suspect's recorded answers, whose SHA-256 is the subject's.

    Returns:
        What JSON holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the report cannot be read, or the file holds other answers than it judged.
    """
    report = report_from_json(content)
    found = load_answers(answers)
    named = [found] if isinstance(found, Responses) else list(found.values())
    digests = {responses.digest for responses in named}
    if not {answer.responses for answer in report.answers} <= digests:
        raise ValueError(
            f"{answers} holds other answers than the report of {report.suspect!r} judged; give "
            "the file that was verified"
        )
    digest = hashlib.sha256(files.read_bytes(answers)).hexdigest()
    return {
        "_type": _STATEMENT,
        "subject": [{"name": report.suspect or "suspect", "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(content),
    }


def check_in_toto(statement: Mapping[str, Any]) -> None:
    """Checks that a Statement is one, by in-toto's own package, and that it holds a report.

    Args:
        statement: what JSON held.

    Raises:
        ValueError: it is none, or its predicate is no report.
        ImportError: ``in_toto_attestation`` is not installed.
    """
    try:
        from google.protobuf import json_format
        from in_toto_attestation.v1.statement import Statement
    except ImportError as error:
        raise ImportError(
            "this needs in-toto-attestation: pip install 'mgmp_jax[statements]'"
        ) from error
    try:
        whole = Statement([], "", {})
        json_format.Parse(json.dumps(statement), whole.pb)
        whole.validate()
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise ValueError(f"no in-toto Statement: {error}") from error
    if statement["predicateType"] != PREDICATE_TYPE:
        raise ValueError(
            f"its predicate is of type {statement['predicateType']!r}, expected {PREDICATE_TYPE!r}"
        )
    report_from_json(statement["predicate"])
