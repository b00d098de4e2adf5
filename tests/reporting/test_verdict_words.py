import pytest

from mgmp_jax.report import Answer
from mgmp_jax.reporting import page_conditions, verdict_words
from tests.made_evidence import answer

YES = answer("knowledge", "homologous", 0.97)
NO = answer("knowledge", "not homologous", 0.04)
OPEN = answer("knowledge", "inconclusive", 0.55)
BARE = answer("knowledge", "homologous", 0.97, m=0)
OWN = answer("lineage", "homologous", 4.3)
UNKNOWN = answer("lineage", "inconclusive", -0.3)
NONE = answer("lineage", "inconclusive", None)


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (
            YES,
            "the suspect itself scores that high (p = 1/10, if the others are such as an innocent",
        ),
        (
            NO,
            "for a no looks at the score alone, the method finds that the suspect does not answer",
        ),
        (OPEN, "whether the suspect knows what the source knows remains undecided."),
        (BARE, "The DNA score is 0.9700: by its rule"),
        (OWN, "gives so small a p in at most 1 of 10 comparisons on average"),
        (UNKNOWN, "whether the suspect depends on the source’s own training run remains undecided"),
    ],
)
def test_each_verdict_has_a_sentence_to_quote(found: Answer, part: str) -> None:
    assert part in verdict_words.quotation(found, True, False)
    assert verdict_words.quotation(NONE, True, False) == ""


def test_siblings_are_in_the_quoted_sentence() -> None:
    for found in (YES, NO, OPEN):
        assert "beyond what its siblings know" in verdict_words.quotation(found, True, True)


def test_no_number_is_the_probability_of_a_copy() -> None:
    for found in (YES, OPEN, BARE, OWN, UNKNOWN):
        assert "probability that the suspect is a copy." in verdict_words.misuse(found, True)
    assert "probability that the suspect is not a copy." in verdict_words.misuse(NO, True)
    assert "0.9700 mean “97\u00a0% sure”" in verdict_words.misuse(YES, True)
    assert "“96\u00a0% sure”" in verdict_words.misuse(NO, True)
    assert "sure" not in verdict_words.misuse(YES, False)
    assert "p, which cannot be below 1/10" in verdict_words.misuse(OWN, False)
    assert "gap" not in verdict_words.misuse(UNKNOWN, False)
    assert verdict_words.misuse(NONE, False) == ""


def test_a_yes_needs_more_than_a_no() -> None:
    rule = verdict_words.rule(YES, True, 0.9, 0.05)
    assert "at least δ = 0.9 and p ≤ 0.05; a no needs a score of at most 1 − δ = 0.1, what" in rule
    assert "p ≤" not in verdict_words.rule(BARE, True, 0.9, 0.05)
    assert verdict_words.rule(OWN, False, 0.9, 0.05) == "a yes needs p ≤ 0.05; a no is never given"


def test_limits_tell_what_siblings_change() -> None:
    with_siblings = dict(page_conditions.limits(YES, OWN, True))
    without = dict(page_conditions.limits(YES, OWN, False))
    name = "Same knowledge is not same origin"
    assert "beyond its siblings" in with_siblings[name] and "beyond" not in without[name]
    assert with_siblings.keys() == without.keys()
    assert len(page_conditions.limits(answer("knowledge", "inconclusive", None), NONE, False)) == 4
