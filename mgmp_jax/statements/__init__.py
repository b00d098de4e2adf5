"""Verdicts for machines: a report as JSON, in-toto Statement, CycloneDX BOM and model-card text.

Start with :func:`report_to_json`; the others are made of what it gives. None of them names a base
model: a verdict of *lineage* says that a model depends on the source's training run, not how, and
one of *knowledge* does not speak of descent at all.
"""

from mgmp_jax.statements.check import check_report, check_statements
from mgmp_jax.statements.cyclonedx import check_cyclonedx, report_to_cyclonedx
from mgmp_jax.statements.in_toto import PREDICATE_TYPE, check_in_toto, report_to_in_toto
from mgmp_jax.statements.model_card import report_to_model_card
from mgmp_jax.statements.report_json import read_report, report_from_json, report_to_json

__all__ = [
    "PREDICATE_TYPE",
    "check_cyclonedx",
    "check_in_toto",
    "check_report",
    "check_statements",
    "read_report",
    "report_from_json",
    "report_to_cyclonedx",
    "report_to_in_toto",
    "report_to_json",
    "report_to_model_card",
]
