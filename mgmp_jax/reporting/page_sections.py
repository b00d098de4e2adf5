"""Sections of the page that have a figure: each with its caption, its words and its numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from mgmp_jax.evidence import Conditions, Evidence, Fragments
from mgmp_jax.growth import Point
from mgmp_jax.report import Answer
from mgmp_jax.reporting import plain_words as words
from mgmp_jax.reporting.page_figures import (
    BINS,
    draw_dots,
    draw_fragments,
    draw_growth,
    draw_histogram,
)

__all__ = ["Section", "figures", "has_thresholds", "unit"]


_MOST_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class Section:
    """One section.

    Args:
        id: of its heading.
        heading: of the section.
        introduction: what is shown, and how to read it.
        caption: of the figure.
        drawing: an ``svg`` element; empty where there is none.
        description: the figure in words, with its numbers.
        columns: heads of the table; the first names the rows.
        rows: each with its cells, and whether it is the model in question.
        table: caption of the table.
        note: what the model in question is, beside its name.
    """

    id: str
    heading: str
    introduction: str
    caption: str = ""
    drawing: str = ""
    description: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[tuple[str, ...], bool], ...] = ()
    table: str = ""
    note: str = ""


def unit(answer: Answer, evidence: Evidence) -> tuple[int, str]:
    """Says with how many digits a score is written, and in what unit it is.

    Args:
        answer: with a score.
        evidence: that it is of.
    """
    if answer.question == "lineage":
        what = "standard deviations of the siblings, by which the source stands above their mean"
        return _digits(answer, 2), what
    if _is_dna(answer, evidence):
        limit = "no threshold holds for such answers"
        if has_thresholds(answer, evidence):
            limit = f"threshold δ = {evidence.threshold:g}"
        return _digits(answer, 4), f"DNA score, from 0 to 1; {limit}"
    return _digits(answer, 4), f"{answer.method}; larger is more alike"


def _digits(answer: Answer, least: int) -> int:
    """As many digits as tell the score in question from every other that is not its equal."""
    assert answer.score is not None
    gaps = [abs(score - answer.score) for _, score in answer.others if score != answer.score]
    own = [d for d in range(least, _MOST_DIGITS) if 10.0**-d <= min(gaps, default=1.0)]
    return own[0] if own else _MOST_DIGITS


def figures(evidence: Evidence) -> list[Section]:
    """Makes all sections with a figure, in the order of the page.

    Args:
        evidence: what is shown.

    Raises:
        ImportError: matplotlib or scikit-learn is missing.
    """
    report = evidence.report
    return [
        _controls(report.knowledge, evidence),
        _siblings(report.lineage, evidence),
        _fragments(evidence.fragments),
        _histogram(evidence.fragments, report.knowledge, evidence),
        _growth(report.knowledge, evidence),
        _growth(report.lineage, evidence),
    ]


def _is_dna(answer: Answer, evidence: Evidence) -> bool:
    """Says whether an answer is MGMP's."""
    return any("config" in one.settings for one in _conditions(answer, evidence))


def has_thresholds(answer: Answer, evidence: Evidence) -> bool:
    """Says whether a score has thresholds: MGMP's, of a suspect that answers as its pool does.

    Args:
        answer: of a method.
        evidence: that it is of.
    """
    asked = _conditions(answer, evidence)
    return _is_dna(answer, evidence) and all(one.knows_kind for one in asked)


def _conditions(answer: Answer, evidence: Evidence) -> list[Conditions]:
    return [
        one
        for one in evidence.conditions
        if one.method == answer.method and one.question == answer.question
    ]


def _lines(answer: Answer, evidence: Evidence) -> dict[str, float]:
    if not has_thresholds(answer, evidence):
        return {}
    return {"δ": evidence.threshold, "1 − δ": 1 - evidence.threshold}


def _ranked(answer: Answer, own: str, digits: int) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """Rows of a table: the highest score first; a rank counts the scores at least as high."""
    assert answer.score is not None
    everybody = [(own, answer.score, True), *((n, s, False) for n, s in answer.others)]
    everybody.sort(key=lambda one: (-one[1], one[2]))
    ranks = [sum(other >= score for _, other, _ in everybody) for _, score, _ in everybody]
    return tuple(
        ((str(rank), words.cut(name), words.number(score, digits)), marked)
        for rank, (name, score, marked) in zip(ranks, everybody, strict=True)
    )


def _spread(answer: Answer, digits: int) -> str:
    scores = np.array([score for _, score in answer.others])
    low, middle, high = (
        words.number(float(f(scores)), digits) for f in (np.min, np.median, np.max)
    )
    return f"from {low} to {high}, with the median {middle}"


def _controls(answer: Answer, evidence: Evidence) -> Section:
    heading = "Question 1: the suspect beside calibration models"
    if answer.score is None or not answer.others:
        why = answer.reason if answer.score is None else "No calibration model could be compared."
        return Section("controls", heading, f"There is nothing to compare. {why}")
    digits, what = unit(answer, evidence)
    return Section(
        "controls",
        heading,
        "If calibration models are unrelated to the source, and the suspect is one of their kind, "
        "its score should lie among theirs.",
        f"Score of the suspect and of {answer.m} calibration models",
        draw_dots(
            "controls",
            ("suspect", answer.score),
            [score for _, score in answer.others],
            "DNA score" if _is_dna(answer, evidence) else "score",
            _lines(answer, evidence),
            (0.0, 1.0) if _is_dna(answer, evidence) else None,
        ),
        f"The suspect (diamond) scores {words.number(answer.score, digits)}. The {answer.m} "
        f"calibration models (circles, stacked where they are alike) score "
        f"{_spread(answer, digits)}. {_capital(words.p_in_words(answer))}.",
        ("Rank", "Model", "Score"),
        _ranked(answer, evidence.report.suspect or "no name", digits),
        f"All scores, rounded, the highest first. Score: {what}.",
        "the suspect",
    )


def _siblings(answer: Answer, evidence: Evidence) -> Section:
    heading = "Question 2: the source beside its siblings"
    if answer.score is None:
        return Section("siblings", heading, f"There is nothing to compare. {answer.reason}")
    digits, what = unit(answer, evidence)
    return Section(
        "siblings",
        heading,
        "Each score says how much the suspect resembles one model. If siblings differ from the "
        "source by chance alone, and the suspect does not depend on the source’s own training "
        "run, the source is as likely as any sibling to come first.",
        f"Resemblance of the suspect to the source and to its {answer.m} siblings",
        draw_dots(
            "siblings",
            ("source", answer.score),
            [score for _, score in answer.others],
            "standard deviations above the siblings’ mean",
        ),
        f"The source (diamond) stands at {words.number(answer.score, digits)}. The {answer.m} "
        f"siblings (circles, stacked where they are alike) stand "
        f"{_spread(answer, digits)}. {_capital(words.p_in_words(answer))}.",
        ("Rank", "Model", "Score"),
        _ranked(answer, evidence.source or "no name", digits),
        f"All scores, rounded, the highest first. Score: {what}; of a sibling its own distance.",
        "the source",
    )


def _fragments(found: Fragments | None) -> Section:
    heading = "Fragments in the plane"
    if found is None:
        why = "No MGMP reads this suspect, so there are no fragments."
        return Section("fragments", heading, why)
    drawing = draw_fragments("fragments", found.source, found.suspect)
    if drawing is None:
        why = "The fragments are too few, or hardly differ: there is nothing to draw."
        return Section("fragments", heading, why)
    return Section(
        "fragments",
        heading,
        "An illustration that decides nothing. Each mark is a fragment: what the method makes of "
        "one answer. Which marks are neighbours, and how far groups lie apart, is not used.",
        f"Fragments of source and suspect for {len(found.source)} queries, by t-SNE",
        drawing,
        f"Circles: {len(found.source)} fragments of the source. Triangles: {len(found.suspect)} of "
        "the suspect, of the same queries.",
    )


def _histogram(found: Fragments | None, answer: Answer, evidence: Evidence) -> Section:
    heading = "Scores of single fragments"
    if found is None:
        why = "No MGMP reads this suspect, so there are no fragment scores."
        return Section("histogram", heading, why)
    counts, _ = np.histogram(found.scores, BINS)
    lines = _lines(answer, evidence)
    caption = "No threshold holds for what this suspect answers with."
    if lines:
        above = int(np.sum(found.scores >= evidence.threshold))
        below = int(np.sum(found.scores <= 1 - evidence.threshold))
        caption = (
            f"Of them {above:,} are at least δ = {evidence.threshold:g}, and {below:,} at most "
            f"1 − δ = {1 - evidence.threshold:.2g}."
        )
    mean = float(np.mean(found.scores, dtype=np.float64))
    n = len(found.scores)
    return Section(
        "histogram",
        heading,
        "The DNA score is the mean of these scores. Fragments of one model are not independent of "
        "each other.",
        f"Fragment scores of the suspect for {n:,} queries",
        draw_histogram("histogram", found.scores, lines),
        f"The mean of {n:,} fragment scores is {words.number(mean)}. {caption}",
        ("Fragment score", "Fragments", "Share"),
        tuple(
            ((f"{low:.1f} to {high:.1f}", f"{count:,}", words.percent(count / n)), False)
            for low, high, count in zip(BINS[:-1], BINS[1:], counts, strict=True)
        ),
        "Number of fragments by score. The upper end is left out, but for the last row. A percent "
        "of fragments is no probability.",
    )


def _growth(answer: Answer, evidence: Evidence) -> Section:
    place = 1 if answer.question == "knowledge" else 2
    name, heading = f"growth-{answer.question}", f"Question {place}: fewer queries"
    points = evidence.growth.get(answer.question, ())
    if not points or answer.score is None:
        return Section(name, heading, f"There is nothing to show. {answer.reason}")
    if len(points) == 1:
        why = "Not shown: half of the queries or fewer are too few for this method."
        if _is_dna(answer, evidence):
            why += " What all models share takes several queries for each of its many numbers."
        return Section(name, heading, why)
    digits, _ = unit(answer, evidence)
    dna = _is_dna(answer, evidence)
    first, last = points[0], points[-1]
    lines = _lines(answer, evidence) if answer.question == "knowledge" else {"0": 0.0}
    how = "source and suspect were compared by these queries alone."
    if dna:
        how = "the classifier stayed as it is; what all models share was taken out anew."
    elif place == 2:
        how = (
            "siblings and controls were compared anew; where queries are too few for so many "
            "siblings, what these share is not taken out."
        )
    draws = max(point.draws for point in points)
    stays = ""
    if answer.m:
        stays = (
            f" p counts models, not queries, and cannot be below 1/{answer.m + 1}: it can stay "
            "while the score grows."
        )
    return Section(
        name,
        heading,
        f"What fewer queries would have said: {draws} draws of a size, made without looking at "
        f"the answers, which show its range only roughly. Score: {how} Sizes with too few queries "
        f"for the method are left out.{stays}",
        f"Score by {answer.method} against the number of queries",
        draw_growth(
            name,
            points,
            "DNA score" if dna else "score" if place == 1 else "standard deviations",
            lines,
            (-0.03, 1.03) if dna else None,
        ),
        f"With {first.queries:,} queries the score is on average "
        f"{words.number(first.score, digits)}, with all {last.queries:,} it is "
        f"{words.number(last.score, digits)}. Bars show the range over the draws.",
        ("Queries", "Draws", "Mean score", "Least to greatest", "Median p"),
        tuple((_cells(point, digits), point is last) for point in points),
        "Scores and p-values by the number of queries. The last row is the verdict’s.",
    )


def _cells(point: Point, digits: int) -> tuple[str, ...]:
    low, high = words.number(point.least, digits), words.number(point.greatest, digits)
    return (
        f"{point.queries:,}",
        str(point.draws),
        words.number(point.score, digits),
        f"{low} to {high}" if point.draws > 1 else "one draw",
        "none" if point.p_value is None else words.number(point.p_value),
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
