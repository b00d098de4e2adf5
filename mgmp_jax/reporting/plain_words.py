"""A report in plain words: what a verdict says, what it does not say, and how numbers read."""

from __future__ import annotations

import datetime
import unicodedata
from typing import Any

from mgmp_jax.methods.protocol import Question
from mgmp_jax.report import Answer

__all__ = [
    "QUESTIONS",
    "bound_in_words",
    "cut",
    "date",
    "limits",
    "meaning",
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
    "lineage": "Does the suspect come from the source’s own training run?",
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
        "homologous": "Yes: homologous",
        "not homologous": "No: not homologous",
        "inconclusive": "Undecided: inconclusive",
    }[answer.verdict]


def sentence(knowledge: Answer, lineage: Answer) -> str:
    """Says both verdicts in one sentence, one after the other and never as one.

    Args:
        knowledge: the answer to the first question.
        lineage: the answer to the second.
    """
    what = "the suspect knows what the source knows"
    first = {
        "Not asked": f"whether {what} was not asked",
        "Could not be asked": f"whether {what} could not be asked",
        "Yes: homologous": "the suspect answers like a model that knows what the source knows",
        "No: not homologous": (
            "the suspect does not answer like a model that knows what the source knows"
        ),
        "Undecided: inconclusive": f"whether {what} remains undecided",
    }[short_answer(knowledge)]
    where = "it comes from the source’s own training run"
    second = {
        "Not asked": f"whether {where} was not asked",
        "Could not be asked": f"whether {where} could not be asked",
        "Yes: homologous": "it depends on the source’s own training run",
    }.get(short_answer(lineage), f"whether {where} remains undecided")
    return f"{first[0].upper()}{first[1:]}; separately, {second}."


def meaning(answer: Answer, learned: bool = True) -> str:
    """Says what the verdict on a question means, and what it does not.

    Args:
        answer: of the first method of a question.
        learned: whether the method has learned from examples, as MGMP has.
    """
    if answer.score is None:
        return "There is no result for this question. Nothing follows from that, either way."
    if answer.question == "knowledge":
        if answer.verdict == "homologous" and not learned:
            return (
                "The suspect’s answers are more like the source’s than those of nearly all "
                "unrelated models. This alone does not say that the suspect was made from it: "
                "another model trained on the same data answers alike too."
            )
        return {
            "homologous": (
                "The suspect’s answers relate to the source’s as those of models made from the "
                "source do. This alone does not say that the suspect was made from it: another "
                "model trained on the same data knows the same things."
            ),
            "not homologous": (
                "The suspect’s answers relate to the source’s as those of unrelated models do. "
                "This holds for the kinds of models that the method has learned from."
            ),
            "inconclusive": "The evidence suffices neither for a yes nor for a no.",
        }[answer.verdict]
    if answer.verdict == "homologous":
        nearly = "" if answer.p_value == answer.least_p else "nearly "
        return (
            f"The suspect resembles the source more than it resembles {nearly}every sibling. If "
            "the siblings were made exactly as the source was, they differ from it by chance "
            "alone, so the suspect depends on this very training run. How it does, by weights, by "
            "answers or by a common ancestor, this does not say."
        )
    return (
        "It was not shown that the suspect depends on this very training run. It was not shown "
        "either that it does not: the test may be too weak to see it."
    )


def p_in_words(answer: Answer) -> str:
    """Says what a p-value counts.

    Args:
        answer: with a p-value.
    """
    assert answer.p_value is not None
    count, total = round(answer.p_value * (answer.m + 1)), answer.m + 1
    if count == 1:
        first, others = ("suspect", "calibration models")
        if answer.question == "lineage":
            first, others = ("source", "siblings")
        return (
            f"none of the {answer.m} {others} comes as high: only the {first} itself, 1 of {total}"
        )
    if answer.question == "knowledge":
        return (
            f"{count} of {total} models, the suspect and the {answer.m} calibration models, score "
            "at least as high as the suspect"
        )
    return (
        f"{count} of {total} models, the source and its {answer.m} siblings, resemble the suspect "
        "at least as much as the source does"
    )


def bound_in_words(answer: Answer) -> str:
    """Says what the bound of the false positive rate bounds.

    Args:
        answer: with a p-value.
    """
    if answer.question == "knowledge":
        return (
            f"follows from m alone: with 95\u00a0% confidence, at most so often does a further "
            f"model such as the {answer.m} calibration models score above all of them"
        )
    return (
        "follows from m alone: with 95\u00a0% confidence, at most so often does another training "
        f"of the same recipe come before these {answer.m} siblings"
    )


def limits(knowledge: Answer, lineage: Answer) -> list[tuple[str, str]]:
    """Lists what the page does not show, in plain words, the general last.

    Args:
        knowledge: the answer to the first question.
        lineage: the answer to the second.

    Returns:
        Short headings with a paragraph each.
    """
    found = _LIMITS
    if lineage.p_value is None:
        found = [one for one in found if not one[0].startswith("A yes to the second")]
    if knowledge.score is None:
        found = [one for one in found if not one[0].startswith("The first verdict")]
    return found


_LIMITS = [
    (
        "No number here is the probability that the suspect is a copy",
        "A p of 0.05 says: of twenty such comparisons with an independent suspect, one comes out "
        "like this. It does not say that the suspect is a copy with 95\u00a0%, and a DNA score of "
        "0.99 does not say 99\u00a0%. A score far above all others does not make p smaller than "
        "1 / (m + 1); only more siblings or calibration models do.",
    ),
    (
        "Same knowledge is not same origin",
        "A model trained on the same data, or made from such a model, can know what the "
        "source knows without ever having met it. Without siblings the first question cannot tell "
        "it from a copy. With siblings, what they know too is taken out first: then it asks for "
        "what the source knows beyond them, and both questions rest on the same siblings. Only the "
        "second asks about origin.",
    ),
    (
        "The first verdict is worth as much as the models it learned from",
        "It compares the suspect with examples: models made from the source, and models that "
        "were not. For a kind of suspect that was not among them, do not rely on it in either "
        "direction.",
    ),
    (
        "“Undecided” is not an acquittal",
        "A large p-value, or no verdict, does not show that the suspect is independent. There "
        "may have been too few queries or siblings, or the suspect was changed too much. A "
        "student taught by the source’s answers is often not found.",
    ),
    (
        "A yes to the second question does not say how",
        "The suspect may hold the source’s weights, may have been taught by its answers, may "
        "share an ancestor with it that the siblings do not share, or may have been chosen "
        "for its likeness. If the source was itself made from a public model, the siblings "
        "must have been made from that model too.",
    ),
    (
        "The error rates hold on average",
        "They are averages over many sources, siblings and calibration models. This source is "
        "one draw, and a source by chance a little better than its siblings may be more "
        "prone to false alarms. Several suspects tested with the same source are not "
        "independent evidence.",
    ),
    (
        "What the reader must check elsewhere",
        "Siblings were made exactly as the source was. Queries and methods were fixed before "
        "the suspect was seen. Controls are such as an innocent suspect could be. Models known "
        "to be innocent were tested in the same way. Every test that was made is reported. "
        "None of this can be seen from the numbers.",
    ),
    (
        "Statistics, not law",
        "The page says how unusual the suspect’s answers are. It does not say who did what, "
        "with what right, or with what intent.",
    ),
]
