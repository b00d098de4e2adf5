"""A verdict in words to quote, what it means, and what its numbers must not be used for."""

from __future__ import annotations

from mgmp_jax.report import Answer
from mgmp_jax.reporting import plain_words as words

__all__ = ["meaning", "misuse", "quotation", "rule"]


def quotation(answer: Answer, learned: bool, siblings: bool) -> str:
    """Says a verdict in one sentence that can be quoted alone.

    Args:
        answer: of the first method of a question.
        learned: whether the method is MGMP, whose score has thresholds.
        siblings: whether what siblings share is taken out of the first question.

    Returns:
        The sentence; empty without a score.
    """
    if answer.score is None:
        return ""
    count, total = words.count_and_total(answer)
    share = f"(p = {count}/{total})"
    if answer.question == "lineage":
        found = f"Of the source and its {answer.m} siblings, {words.how_many(answer)} {share}"
        run = "the source’s own training run"
        if answer.verdict == "inconclusive":
            return f"{found}; whether the suspect depends on {run} remains undecided."
        return (
            f"{found}; if the siblings differ from the source by chance alone, a suspect that "
            f"does not depend on {run} gives so small a p in at most {count} of {total} "
            f"comparisons on average, so the test says that this one depends on it."
        )
    what = f"what the source knows{words.beyond(siblings)}"
    score = f"The {'DNA ' if learned else ''}score is {words.number(answer.score)}"
    if answer.p_value is not None:
        who = f"the suspect and {answer.m} calibration models"
        if answer.verdict == "homologous":
            share = f"{share[:-1]}, if the others are such as an innocent suspect could be)"
        score += f"; of {who}, {words.how_many(answer)} {share}"
    return {
        "homologous": (
            f"{score}: by its rule, the method finds that the suspect answers like a model that "
            f"knows {what}."
        ),
        "not homologous": (
            f"{score}: by its rule, which for a no looks at the score alone, the method finds "
            f"that the suspect does not answer like a model that knows {what}."
        ),
        "inconclusive": f"{score}: whether the suspect knows {what} remains undecided.",
    }[answer.verdict]


def misuse(answer: Answer, learned: bool) -> str:
    """Says what the numbers must not be used for.

    Args:
        answer: of the first method of a question.
        learned: whether the method is MGMP, whose score looks like a share.
    """
    if answer.score is None:
        return ""
    no = "not " if answer.verdict == "not homologous" else ""
    text = f"This is not the probability that the suspect is {no}a copy."
    if answer.question == "lineage":
        if answer.verdict == "inconclusive":
            return text
        return (
            f"{text} Nor does the gap of {words.number(answer.score, 1)} standard deviations "
            f"lower p, which cannot be below 1/{answer.m + 1}."
        )
    if not learned:
        return text
    sure = words.percent(1 - answer.score if no else answer.score, 0)
    return f"{text} Nor does a DNA score of {words.number(answer.score)} mean “{sure} sure”."


def meaning(answer: Answer, learned: bool = True, siblings: bool = False) -> str:
    """Says what the verdict on a question means, and what it does not.

    Args:
        answer: of the first method of a question.
        learned: whether the method has learned from examples, as MGMP has.
        siblings: whether what siblings share is taken out of the first question.
    """
    if answer.score is None:
        return "There is no result for this question. Nothing follows from that, either way."
    if answer.question == "lineage":
        if answer.verdict == "homologous":
            return (
                "How it depends on that run, by weights, by answers or by an ancestor that the "
                "siblings do not share, this does not say."
            )
        return "That it does not depend on that run was not shown either: the test may be too weak."
    asked = (
        "What the siblings share with the source is taken out: the question is what the source "
        "knows beyond them."
        if siblings
        else "A model trained on the same data cannot be told from a copy by this question."
    )
    if answer.verdict == "inconclusive":
        return f"{asked} The evidence suffices neither for a yes nor for a no."
    if not learned:
        return f"{asked} The suspect’s answers are unusually like the source’s."
    like = "made from the source" if answer.verdict == "homologous" else "of no relation to it"
    return (
        f"{asked} The suspect’s answers relate to the source’s as those of models {like} do, "
        "among the kinds of models that the method has learned from."
    )


def rule(answer: Answer, learned: bool, threshold: float, level: float) -> str:
    """Says what a yes takes and what a no.

    Args:
        answer: of the first method of a question.
        learned: whether the method is MGMP, whose score has thresholds.
        threshold: δ.
        level: the largest p of a yes.
    """
    if answer.question == "lineage" or not learned:
        return f"a yes needs p ≤ {level:g}; a no is never given"
    p = f" and p ≤ {level:g}" if answer.p_value is not None else ""
    return (
        f"a yes needs a score of at least δ = {threshold:g}{p}; a no needs a score of at most "
        f"1 − δ = {1 - threshold:.2g}, whatever p; all between is undecided"
    )
