"""A report as a section of a model card, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mgmp_jax.report import Answer, one_line
from mgmp_jax.statements.claims import claim, limits
from mgmp_jax.statements.report_json import report_from_json

__all__ = ["report_to_model_card"]


def report_to_model_card(content: Mapping[str, Any], *, source: str) -> str:
    """Writes a report as a section of a model card; none of the card's metadata.

    Args:
        content: what :func:`mgmp_jax.statements.report_to_json` gave.
        source: the name of the owner's model.

    Returns:
        Markdown, in which names are text whatever is in them.

    Raises:
        ValueError: the report cannot be read.
    """
    report = report_from_json(content)
    suspect, owner = _plain(report.suspect or "the suspect"), _plain(source)
    both = (report.knowledge, report.lineage)
    lines = [
        "## Provenance",
        "",
        f"{suspect} was compared with {owner} by their answers to the same queries, with "
        f"{_plain(content['library']['name'])} {_plain(content['library']['version'])}, "
        f"{_plain(content['created'])}.",
        "",
        "| question | verdict | method | score | p | models behind p | least p |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(answer) for answer in both),
        "",
    ]
    for answer in both:
        lines.append(
            f"- **{answer.question.capitalize()}:** {claim(answer, suspect, owner)}. "
            f"{_plain(answer.reason)} {limits(answer)}"
        )
    digests = {answer.responses for answer in both if answer.responses}
    lines += ["", *(f"SHA-256 of the answers: `{digest}`" for digest in sorted(digests))]
    return "\n".join(lines).rstrip() + "\n"


def _row(answer: Answer) -> str:
    cells = [
        answer.question,
        f"**{answer.verdict}**",
        _plain(answer.method) or "none",
        "" if answer.score is None else f"{answer.score:.3f}",
        "" if answer.p_value is None else f"{answer.p_value:.3g}",
        str(answer.m),
        f"{answer.least_p:.3g}" if answer.m else "",
    ]
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text on one line, in which Markdown and HTML find nothing of theirs, nor an address."""
    shown = one_line(" ".join(text.split()))
    shown = re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", shown)
    shown = re.sub(r"^([-+=]|\d+(?=[.)]))", lambda found: f"&#8203;{found[1]}", shown)
    return re.sub(r"(?i)(?<=\w)(?=://)|(?<=www)(?=\.)|(?=@)", "&#8203;", shown)
