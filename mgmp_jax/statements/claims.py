"""Claims: what a verdict says in one sentence, and what it leaves open in another."""

from __future__ import annotations

from mgmp_jax.report import Answer

__all__ = ["claim", "limits"]

_CLAIMS = {
    ("knowledge", "homologous"): (
        "{suspect} answers as models do that know what {source} knows{beyond}; this says nothing "
        "of descent"
    ),
    ("knowledge", "not homologous"): (
        "{suspect} does not answer as models do that know what {source} knows{beyond}"
    ),
    (
        "knowledge",
        "inconclusive",
    ): "whether {suspect} knows what {source} knows{beyond} is left open",
    ("lineage", "homologous"): (
        "judged by its answers, {suspect} depends on the very training run that made {source}"
    ),
    ("lineage", "inconclusive"): (
        "whether {suspect} depends on the training run that made {source} is left open"
    ),
}
_NO_EVIDENCE = "The test may have lacked power. Absence of evidence is no evidence of innocence."
_LIMITS = {
    ("knowledge", "homologous"): (
        "Another model trained on the same data, or fine-tuned from one, may answer so without "
        "ever having met the source. The verdict is worth as much as the models that it was "
        "learned from."
    ),
    ("knowledge", "not homologous"): (
        "It holds for kinds of models that it was learned from; of a kind that was not among them "
        "it says nothing in either direction."
    ),
    ("knowledge", "inconclusive"): "It accuses nobody and clears nobody.",
    ("lineage", "homologous"): (
        "It does not say how: by the source's weights, by its answers (distillation), by an "
        "ancestor of the source that its siblings do not share, or by a choice for its likeness "
        "to the source. The p-value is exact where siblings were made as the source was, and "
        "queries and statistic were fixed before the suspect was seen."
    ),
    ("lineage", "inconclusive"): _NO_EVIDENCE,
}

_BEYOND_SIBLINGS = {
    "homologous": (
        "It does not say how the suspect came by that knowledge, and siblings that are few leave "
        "some of what the training data teach. The verdict is worth as much as the models that it "
        "was learned from."
    ),
    "not homologous": (
        "It does not say that the suspect has not learned from the same data, as what siblings "
        "know is taken out. It holds for kinds of models that it was learned from."
    ),
}


def claim(answer: Answer, suspect: str, source: str) -> str:
    """Says what a verdict claims, and no more; of a homologous suspect with the p-value.

    Args:
        answer: to one of the two questions.
        suspect: the name of the model that was asked about.
        source: the name of the owner's model.
    """
    beyond = " beyond what its siblings know" if answer.beyond_siblings else ""
    said = _CLAIMS[answer.question, answer.verdict].format(
        suspect=suspect, source=source, beyond=beyond
    )
    if answer.verdict != "homologous":
        return said
    p = "no p-value" if answer.p_value is None else f"p = {answer.p_value:.3g}, m = {answer.m}"
    return f"{said} ({p})"


def limits(answer: Answer) -> str:
    """Says which other explanations a verdict leaves open.

    Args:
        answer: to one of the two questions.
    """
    if answer.beyond_siblings and answer.verdict != "inconclusive":
        return _BEYOND_SIBLINGS[answer.verdict]
    return _LIMITS[answer.question, answer.verdict]
