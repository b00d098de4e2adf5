"""Reports of every verdict to both questions, for the tests of statements."""

from __future__ import annotations

import itertools
from typing import Any

from mgmp_jax.report import Answer, Report
from mgmp_jax.statements import report_to_json

CREATED = "2026-01-31T12:00:00+00:00"
VERDICTS = ("homologous", "not homologous", "inconclusive")
PAIRS = list(itertools.product(VERDICTS, ("homologous", "inconclusive")))  # lineage is never "not"
OTHERS = tuple((f"model {i}", i / 100) for i in range(19))
DIGEST = "ab" * 32


def report(knowledge: Any, lineage: Any, suspect: str = "theirs") -> Report:
    """A report of three methods, the last of which contradicts the first."""
    beside = "inconclusive" if knowledge != "inconclusive" else "homologous"
    return Report(
        suspect,
        (
            Answer("lineage", "sibling test", lineage, "By z.", 3.5, 0.05, OTHERS, "q", DIGEST),
            Answer("knowledge", "MGMP", knowledge, "By DNA.", 0.95, 0.05, OTHERS, "q", DIGEST),
            Answer("knowledge", "linear CKA", beside, "By CKA.", 0.5, None, (), "q", DIGEST),
        ),
    )


def as_json(given: Report, **more: Any) -> dict[str, Any]:
    return report_to_json(given, created=CREATED, **{"verifier": "cd" * 32, **more})
