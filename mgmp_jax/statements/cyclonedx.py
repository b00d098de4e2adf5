"""A report as CycloneDX 1.7 BOM: claims with evidence and counter-evidence."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from mgmp_jax.report import Answer, Report
from mgmp_jax.statements.claims import claim, limits
from mgmp_jax.statements.report_json import report_from_json

__all__ = ["check_cyclonedx", "report_to_cyclonedx"]


def report_to_cyclonedx(
    content: Mapping[str, Any], *, source: str, assessor: str, third_party: bool = False
) -> dict[str, Any]:
    """Makes a CycloneDX BOM of a report: a claim for each of the two questions.

    What other methods answer to a question is evidence where they agree with its verdict, and
    counter-evidence where they do not; so is what the verdict leaves open. The pedigree names the
    source as *variant* (related, it is not known how) only where lineage was shown.

    Args:
        content: what :func:`mgmp_jax.statements.report_to_json` gave.
        source: the name of the owner's model.
        assessor: the name of who verified.
        third_party: whether that is somebody else than who claims.

    Returns:
        What JSON holds; the same report gives the same.

    Raises:
        ValueError: the report cannot be read, or a name is empty.
    """
    report = report_from_json(content)
    if not source or not assessor:
        raise ValueError("source and assessor must be names, got an empty one")
    suspect = report.suspect or "suspect"
    component: dict[str, Any] = {
        "bom-ref": "suspect",
        "type": "machine-learning-model",
        "name": suspect,
    }
    if report.lineage.verdict == "homologous":
        component["pedigree"] = {
            "variants": [
                {"bom-ref": "source", "type": "machine-learning-model", "name": source},
            ],
            "notes": f"{claim(report.lineage, suspect, source)}. {limits(report.lineage)}",
        }
    text = json.dumps([content, source, assessor], sort_keys=True, allow_nan=False)
    tool = {"type": "library"} | {name: content["library"][name] for name in ("name", "version")}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}",
        "version": 1,
        "metadata": {
            "timestamp": content["created"],
            "tools": {"components": [tool]},
            "component": component,
        },
        "declarations": _declarations(report, content["created"], source, assessor, third_party),
    }


def check_cyclonedx(bom: Mapping[str, Any]) -> None:
    """Checks a BOM by the schema of CycloneDX 1.7, with CycloneDX's own package.

    Args:
        bom: what JSON held.

    Raises:
        ValueError: it does not follow the schema; the message says where.
        ImportError: ``cyclonedx-python-lib`` is not installed.
    """
    try:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError as error:
        raise ImportError(
            "this needs cyclonedx-python-lib: pip install 'mgmp_jax[statements]'"
        ) from error
    problem = JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(bom))
    if problem is not None:
        raise ValueError(f"no CycloneDX 1.7: {str(problem)[:400]}")


def _declarations(
    report: Report, created: str, source: str, assessor: str, third_party: bool
) -> dict[str, Any]:
    suspect = report.suspect or "suspect"
    claims, evidence = [], []
    for first in (report.knowledge, report.lineage):
        question = first.question
        asked = [answer for answer in report.answers if answer.question == question] or [first]
        refs = {f"{question}/{i}": answer for i, answer in enumerate(asked)}
        evidence += [_evidence(ref, answer, created) for ref, answer in refs.items()]
        open_ref = f"{question}/limits"
        evidence.append({"bom-ref": open_ref, "description": limits(first), "created": created})
        agree = [ref for ref, answer in refs.items() if answer.verdict == first.verdict]
        claims.append(
            {
                "bom-ref": question,
                "target": "suspect",
                "predicate": claim(first, suspect, source),
                "reasoning": first.reason,
                "evidence": agree,
                "counterEvidence": [*(ref for ref in refs if ref not in agree), open_ref],
            }
        )
    return {
        "assessors": [
            {
                "bom-ref": "assessor",
                "thirdParty": third_party,
                "organization": {"name": assessor},
            }
        ],
        "attestations": [
            {
                "summary": f"What {suspect} has to do with {source}, judged by its answers.",
                "assessor": "assessor",
                "map": [{"claims": [one["bom-ref"]]} for one in claims],
            }
        ],
        "claims": claims,
        "evidence": evidence,
    }


def _evidence(ref: str, answer: Answer, created: str) -> dict[str, Any]:
    numbers = {
        "method": answer.method,
        "verdict": answer.verdict,
        "score": answer.score,
        "p_value": answer.p_value,
        "m": answer.m,
        "least_p": answer.least_p,
        "false_positive_bound": answer.false_positive_bound,
        "queries": answer.queries,
        "responses": answer.responses,
    }
    attachment = {"contentType": "application/json", "content": json.dumps(numbers)}
    return {
        "bom-ref": ref,
        "description": f"{answer.method}: {answer.reason}" if answer.method else answer.reason,
        "data": [{"name": "answer", "contents": {"attachment": attachment}}],
        "created": created,
    }
