"""The page: a report on one suspect as one HTML file that loads nothing from elsewhere."""

from __future__ import annotations

import hashlib
import importlib.resources
from pathlib import Path
from typing import Any

from mgmp_jax import files
from mgmp_jax.evidence import Evidence
from mgmp_jax.queries import TRAINING, UNSEEN
from mgmp_jax.report import Answer
from mgmp_jax.reporting import page_conditions, verdict_words
from mgmp_jax.reporting import page_sections as sections
from mgmp_jax.reporting import plain_words as words

__all__ = ["write_page"]


def write_page(
    path: str | Path,
    evidence: Evidence,
    *,
    suspect_file: str | Path | None = None,
    frozen: str = "",
) -> None:
    """Writes the report on a suspect as one HTML file, whole or not at all.

    It scores nothing. The same evidence gives the same bytes. The page has no script, and neither
    font nor picture from elsewhere.

    Args:
        path: of the page.
        evidence: what :func:`mgmp_jax.evidence.gather_evidence` gave.
        suspect_file: the file of the suspect's recorded answers, whose name and SHA-256 are
            printed.
        frozen: when the queries were frozen (:attr:`mgmp_jax.query_folder.QueryFolder.created`).

    Raises:
        ImportError: jinja2, matplotlib or scikit-learn is missing.
        FileNotFoundError: there is no ``suspect_file``.
        OSError: the disk is full or the folder cannot be written.
    """
    page = _render(_context(evidence, suspect_file, frozen))
    with files.replacing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8", newline="\n")


def _render(context: dict[str, Any]) -> str:
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise ImportError("the page needs jinja2: pip install 'mgmp_jax[report]'") from error
    here = importlib.resources.files("mgmp_jax.reporting")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": words.plain, "cut": words.cut, "date": words.date}
    template = environment.from_string((here / "page.html").read_text("utf-8"))
    css = markupsafe.Markup((here / "page.css").read_text("utf-8"))
    return template.render(css=css, svg=markupsafe.Markup, **context)


def _context(evidence: Evidence, suspect_file: str | Path | None, frozen: str) -> dict[str, Any]:
    """All that the template shows."""
    report = evidence.report
    firsts = (report.knowledge, report.lineage)
    siblings = report.knowledge.beyond_siblings
    return {
        "suspect": report.suspect,
        "source": evidence.source,
        "created": evidence.created,
        "sentence": words.sentence(*firsts, siblings),
        "siblings": siblings and report.lineage.score is not None,
        "conditions": page_conditions.conditions(*firsts, frozen),
        "questions": [_question(i, a, evidence) for i, a in enumerate(firsts, 1)],
        "beside": [_beside(a) for a in report.answers if not any(a is first for first in firsts)],
        "figures": sections.figures(evidence),
        "protocol": _protocol(evidence, suspect_file, frozen),
        "methods": [
            _method(evidence, i, answer) for i, answer in enumerate(evidence.report.answers)
        ],
        "limits": page_conditions.limits(*firsts, siblings),
        "glossary": page_conditions.GLOSSARY,
        "version": evidence.versions.get("mgmp_jax", ""),
    }


def _question(place: int, answer: Answer, evidence: Evidence) -> dict[str, Any]:
    learned = sections.has_thresholds(answer, evidence)
    siblings = evidence.report.knowledge.beyond_siblings
    return {
        "id": answer.question,
        "place": place,
        "question": words.QUESTIONS[answer.question],
        "verdict": words.short_answer(answer),
        "style": answer.verdict.replace(" ", "-") if answer.score is not None else "none",
        "term": answer.verdict if answer.score is not None else "",
        "quotation": verdict_words.quotation(answer, learned, siblings),
        "misuse": verdict_words.misuse(answer, learned),
        "meaning": verdict_words.meaning(answer, learned, siblings),
        "reason": answer.reason,
        "method": answer.method,
        "numbers": _numbers(answer, evidence),
    }


def _numbers(answer: Answer, evidence: Evidence) -> list[tuple[str, str, str]]:
    """Names, values and what they mean."""
    if answer.score is None:
        return []
    digits, unit = sections.unit(answer, evidence)
    kind = "calibration models" if answer.question == "knowledge" else "siblings"
    rows = [("Score", words.number(answer.score, digits), unit)]
    learned = sections.has_thresholds(answer, evidence)
    rule = verdict_words.rule(answer, learned, evidence.threshold, evidence.level)
    if answer.p_value is None:
        rows.append(("p", "none", f"without {kind} there is no error rate"))
        return [*rows, ("Threshold δ", f"{evidence.threshold:g}", rule)] if learned else rows
    rows += [
        ("p", words.number(answer.p_value), words.p_in_words(answer)),
        ("m", str(answer.m), f"{kind} that were compared"),
        ("Level", f"{evidence.level:g}", rule),
    ]
    if words.count_and_total(answer)[0] > 1:
        return rows
    bound = words.percent(answer.false_positive_bound, 1)
    return [
        *rows,
        ("Least p", words.number(answer.least_p), f"no p below 1/{answer.m + 1} is possible"),
        ("95\u00a0% bound", bound, words.bound_in_words(answer)),
    ]


def _beside(answer: Answer) -> tuple[str, str, str, str, str]:
    """A method that decides nothing: its name, question, score, p and reason."""
    return (
        answer.method,
        words.QUESTIONS[answer.question],
        "none" if answer.score is None else words.number(answer.score),
        "none" if answer.p_value is None else words.number(answer.p_value),
        answer.reason,
    )


def _protocol(
    evidence: Evidence, suspect_file: str | Path | None, frozen: str
) -> list[tuple[str, str, bool]]:
    """Names and values, and whether they are digests."""
    rows = [
        ("Suspect", evidence.report.suspect or "no name was given", False),
        ("Source", evidence.source or "no name was given", False),
        ("Compared on", words.date(evidence.created), False),
        ("Queries frozen", words.date(frozen), False),
    ]
    if suspect_file is not None:
        raw = files.read_bytes(suspect_file)
        rows += [
            ("File of the suspect’s answers", Path(suspect_file).name, False),
            ("SHA-256 of that file", hashlib.sha256(raw).hexdigest(), True),
        ]
    counts = [f"{number} {part.replace('_', '-')}" for part, number in evidence.references.items()]
    asked = evidence.source_queries or ("",) * len(evidence.source_digests)
    for digest, name in zip(evidence.source_digests, asked, strict=True):
        where = f", {name} queries" if name else ""
        rows.append((f"SHA-256 of the source’s answers{where}", digest, True))
    if evidence.calibrated_by:
        rows.append(("Calibration models", evidence.calibrated_by, False))
    return [
        *rows,
        ("Models in the reference set", ", ".join(counts), False),
        ("SHA-256 of the digests of all their answers", evidence.references_digest, True),
        ("Threshold δ", f"{evidence.threshold:g}", False),
        ("Level", f"{evidence.level:g}", False),
        ("Seed of the draws of queries", str(evidence.seed), False),
        (
            "Software",
            ", ".join(f"{n} {version}" for n, version in evidence.versions.items()),
            False,
        ),
    ]


def _method(evidence: Evidence, place: int, answer: Answer) -> dict[str, Any]:
    about = evidence.conditions[place]
    named = {**about.settings, **about.settings.get("config", {})}
    settings = [
        f"{name.replace('_', ' ')}: {words.setting(value)}"
        for name, value in named.items()
        if name != "config"
    ]
    rows = [
        ("Question", words.QUESTIONS[about.question], False),
        ("Query set", f"{about.queries:,} queries, {_query_set(about.query_set, evidence)}", False),
        ("SHA-256 of the query set", answer.queries, True),
        ("The suspect answered with", f"{about.kind}, {about.width} numbers a query", False),
        ("SHA-256 of the suspect’s answers", answer.responses, True),
    ]
    if settings:
        rows.append(("Settings", "; ".join(settings), False))
    return {"name": about.method, "rows": rows}


def _query_set(name: str, evidence: Evidence) -> str:
    """The name of a query set, and what the owner says of it where there are several."""
    said = {
        TRAINING: "the source’s own training examples",
        UNSEEN: "not among the source’s training examples",
    }
    if name in said and len(evidence.source_digests) > 1:
        return f"{name} (as the owner says, {said[name]})"
    return name
