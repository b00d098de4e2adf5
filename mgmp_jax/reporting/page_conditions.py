"""What the page takes for granted or leaves open: conditions, limits, and the words it uses."""

from __future__ import annotations

from mgmp_jax.report import Answer
from mgmp_jax.reporting import plain_words as words

__all__ = ["GLOSSARY", "conditions", "limits"]

_ELSEWHERE, _NOT_STATED = "must be checked elsewhere", "not stated"


def conditions(knowledge: Answer, lineage: Answer, frozen: str) -> list[tuple[str, str]]:
    """Lists what the verdicts rest on, each with whether the page states it.

    Args:
        knowledge: the answer to the first question.
        lineage: the answer to the second.
        frozen: when the queries were frozen; empty where nobody said.

    Returns:
        Conditions, and ``stated: ...``, ``not stated`` or ``must be checked elsewhere``.
    """
    when = f"stated: queries frozen {words.date(frozen)}" if frozen else _NOT_STATED
    found = [("Queries and methods were fixed before the suspect was seen", when)]
    if lineage.score is not None:
        how = (
            "Siblings were made just as the source was, from the same public model if it began "
            "with one, so that they differ by chance alone"
        )
        found.append((how, _ELSEWHERE))
    if knowledge.p_value is not None or lineage.score is not None:
        who = "Calibration models and controls are unrelated, and such as an innocent could be"
        found.append((who, _ELSEWHERE))
    return [
        *found,
        ("How many suspects and tests were tried with this source", _NOT_STATED),
        ("Who made the comparison", _NOT_STATED),
    ]


def limits(knowledge: Answer, lineage: Answer, siblings: bool) -> list[tuple[str, str]]:
    """Lists what the page does not show, in plain words, the general last.

    Args:
        knowledge: the answer to the first question.
        lineage: the answer to the second.
        siblings: whether what siblings share is taken out of the first question.

    Returns:
        Short headings with a paragraph each.
    """
    found = [("Same knowledge is not same origin", _origin(siblings)), *_LIMITS]
    if lineage.p_value is None:
        found = [one for one in found if not one[0].startswith("A yes to the second")]
    if knowledge.score is None:
        found = [one for one in found if not one[0].startswith("The first verdict")]
    return found


def _origin(siblings: bool) -> str:
    if siblings:
        return (
            "Question 1 sees what the source knows beyond its siblings, a trace of its own "
            "training run, and not all that it knows. A no does not "
            "say that the suspect has not learned from the same data."
        )
    return (
        "A model trained on the same data, or made from such a model, can know what the source "
        "knows without ever having met it. Only the second question asks about origin."
    )


_LIMITS = [
    (
        "The first verdict is worth as much as the models it learned from",
        "For a kind of suspect that was not among these, do not rely on it in either direction.",
    ),
    (
        "“Undecided” is not an acquittal",
        "There may have been too few queries or siblings, or the suspect was changed too much. A "
        "student taught by the source’s answers is often not found.",
    ),
    (
        "A yes to the second question does not say how",
        "The suspect may hold the source’s weights, have been taught by its answers, share an "
        "ancestor with it that the siblings do not share, or have been chosen for its likeness.",
    ),
    (
        "The error rates hold on average",
        "They are averages over many sources, siblings and calibration models. A source by chance "
        "a little better than its siblings may be more prone to false alarms. Several suspects "
        "tested with the same source are not independent evidence.",
    ),
    (
        "Statistics, not law",
        "The page does not say who did what, with what right, or with what intent.",
    ),
]

GLOSSARY = [
    ("Source", "the owner’s model, which the suspect may have been made from."),
    ("Suspect", "the model in question."),
    ("Homologous", "the methods’ word for a yes; to question 1 it does not imply descent."),
    ("Query", "an input that all models were asked, in the same order."),
    ("Logits", "a model’s raw scores of all possible answers."),
    ("Fragment", "what a method makes of a model’s answer to one query; all are its DNA."),
    ("DNA score", "the mean of the fragment scores, from 0 to 1; no probability."),
    ("δ and 1 − δ", "a yes to question 1 needs a score of at least δ, a no of at most 1 − δ."),
    ("Pool", "the examples, related and unrelated models, that question 1’s method learned from."),
    ("Calibration model", "a model that had no part in making the method and counts as unrelated."),
    ("Sibling", "a model of the source’s recipe and data, with another seed."),
    ("Seed", "the number that fixes what is left to chance in training or drawing."),
    ("Background", "what several models share, taken out before they are compared."),
    ("Control", "a model held to be unrelated; it removes what resembles everything."),
    ("p", "the share of models, the one in question among them, with at least its score."),
    ("m", "the number of models, without the one in question, behind a p."),
    (
        "95\u00a0% bound",
        "a limit that holds for 95 of 100 sets of m models; it depends on m alone.",
    ),
    ("Power", "how often a test finds what is there."),
    ("Standard deviation", "the usual distance of the siblings from their mean."),
    ("Median", "the middle value: as many above it as below."),
    ("Draw", "a part of the queries picked at random."),
    ("t-SNE", "a way to draw many numbers in the plane; likeness is kept only roughly."),
    ("SHA-256", "a fingerprint of data: one changed bit changes it."),
]
