"""A report in plain words: what a verdict says, what it does not say, and how numbers read."""

from __future__ import annotations

import datetime
import unicodedata
from typing import Any

from mgmp_jax.kinds import Question
from mgmp_jax.report import Answer

__all__ = [
    "QUESTIONS",
    "beyond",
    "bound_in_words",
    "count_and_total",
    "cut",
    "date",
    "how_many",
    "number",
    "p_in_words",
    "percent",
    "plain",
    "sentence",
    "setting",
    "short_answer",
]

QUESTIONS: dict[Question, str] = {
    "knowledge": "Does the suspect know what the source knows?",
    "lineage": "Does the suspect depend on the source’s own training run?",
}
"""The two questions, in the words of the page."""

_LONGEST = 120
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def plain(text: str) -> str:
    """Writes out characters that cannot be seen or that turn the direction of a text.

    Two names that differ look different, and a name changes nothing around it.

    Args:
        text: a name from outside.
    """
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in _HIDDEN else c for c in text.strip()
    )


def cut(text: str) -> str:
    """Shortens a name in the middle to at most 120 characters.

    Args:
        text: a name from outside; see :func:`plain`.
    """
    text, half = plain(text), _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]} … {text[2 - half :]}"


def number(value: float, digits: int = 4) -> str:
    """Writes a number with a true minus sign.

    Args:
        value: any number.
        digits: behind the point.
    """
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def percent(share: float, digits: int = 2) -> str:
    """Writes a share in percent.

    Args:
        share: from 0 to 1.
        digits: behind the point.
    """
    return f"{100 * share:.{digits}f}\u00a0%"


def date(text: str) -> str:
    """Writes a time so that nobody takes the day for the month.

    Args:
        text: in ISO 8601; anything else stays as it is.
    """
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text or "no date was given"
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def setting(value: Any) -> str:
    """Writes a setting of a method.

    Args:
        value: anything that JSON holds.
    """
    if value is None:
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def short_answer(answer: Answer) -> str:
    """Says how a question was answered, in a few words.

    Args:
        answer: of the first method of a question.
    """
    if not answer.method:
        return "Not asked"
    if answer.score is None:
        return "Could not be asked"
    return {
        "homologous": "Yes",
        "not homologous": "No",
        "inconclusive": "Undecided",
    }[answer.verdict]


def beyond(siblings: bool) -> str:
    """Says what question 1 leaves out.

    Args:
        siblings: whether what siblings share is taken out of it.
    """
    return " beyond what its siblings know" if siblings else ""


def sentence(knowledge: Answer, lineage: Answer, siblings: bool = False) -> str:
    """Says both verdicts in one sentence, one after the other and never as one.

    Args:
        knowledge: the answer to the first question.
        lineage: the answer to the second.
        siblings: whether what siblings share is taken out of the first question.
    """
    known = f"what the source knows{beyond(siblings)}"
    what = f"the suspect knows {known}"
    first = {
        "Not asked": f"whether {what} was not asked",
        "Could not be asked": f"whether {what} could not be asked",
        "Yes": f"the suspect answers like a model that knows {known}",
        "No": f"the suspect does not answer like a model that knows {known}",
        "Undecided": f"whether {what} remains undecided",
    }[short_answer(knowledge)]
    where = "it depends on the source’s own training run"
    p = lineage.p_value
    says = "" if p is None else f"the test says, with p = {p:.3g}, that "
    second = {
        "Not asked": f"whether {where} was not asked",
        "Could not be asked": f"whether {where} could not be asked",
        "Yes": f"{says}{where}",
    }.get(short_answer(lineage), f"whether {where} remains undecided")
    both = f"{first}; separately, {second}."
    if {"Yes", "No"} & {short_answer(knowledge), short_answer(lineage)}:
        return f"If the conditions below hold, {both}"
    return f"{both[0].upper()}{both[1:]}"


def count_and_total(answer: Answer) -> tuple[int, int]:
    """Counts the models with at least the score in question, itself among them, and all.

    Args:
        answer: of a method.
    """
    total = answer.m + 1
    return 0 if answer.p_value is None else round(answer.p_value * total), total


def how_many(answer: Answer) -> str:
    """Says how many models score so high, the one in question among them.

    Args:
        answer: with a p-value.
    """
    count, _ = count_and_total(answer)
    if answer.question == "knowledge":
        if count == 1:
            return "only the suspect itself scores that high"
        return f"{count}, the suspect among them, score at least as high as the suspect"
    if count == 1:
        return "only the source itself resembles the suspect that much"
    return (
        f"{count}, the source among them, resemble the suspect at least as much as the source does"
    )


def p_in_words(answer: Answer) -> str:
    """Says what a p-value counts.

    Args:
        answer: with a p-value.
    """
    who = f"the suspect and the {answer.m} calibration models"
    if answer.question == "lineage":
        who = f"the source and its {answer.m} siblings"
    return f"of {answer.m + 1} models, {who}, {how_many(answer)}"


def bound_in_words(answer: Answer) -> str:
    """Says what the bound of the false positive rate bounds.

    Args:
        answer: with a p-value.
    """
    from_m = f"follows from m = {answer.m} alone, not from this case: how often at most"
    if answer.question == "knowledge":
        return f"{from_m} an unrelated model would score above all calibration models"
    return (
        f"{from_m} the source would come before all siblings for an independent suspect; "
        "nearly so, as siblings' scores depend on the model in its place"
    )
