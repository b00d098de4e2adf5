"""The sibling test's validity is itself tested, on families for which the null holds."""

import dataclasses
import time

import numpy as np
import pytest
from scipy import stats

from mgmp_jax.methods import FittedSiblingTest, SiblingTest, attribution
from mgmp_jax.methods.candidates import Candidates
from mgmp_jax.references import ReferenceSet
from mgmp_jax.responses import Responses
from tests.families import Family

FAMILIES = 2000
SIBLINGS, QUERIES = 9, 60


def fit(family: Family, siblings: int = 7, controls: int = 4, **options) -> FittedSiblingTest:
    return SiblingTest(**options).fit(family.references(2, siblings, controls))


def plain_scores(fitted: FittedSiblingTest, suspect: Responses) -> np.ndarray:
    """By the plain definition: the statistics of each candidate, one regression after another."""

    def scores(answers: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                attribution.candidate_scores(
                    fitted.candidates, answers, statistic, fitted.background
                )
                for statistic in attribution.BOTH_FITS
            ]
        )

    centre = 0
    if fitted.controls:
        centre = np.mean([scores(c.to(suspect.kind).values) for c in fitted.controls], axis=0)
    return attribution.combine(scores(suspect.values) - centre)


@pytest.mark.parametrize("background", ["others", "none"])
@pytest.mark.parametrize("kind", ["logits", "labels"])
def test_the_fast_scores_are_those_of_the_plain_definition(background, kind) -> None:
    family = Family(300, seed=1)
    fitted = fit(family, background=background)
    suspect = family.tuned(family.own, 7).to(kind)
    found = fitted.test(suspect)
    scores = np.r_[found.source_score, found.sibling_scores]
    np.testing.assert_allclose(scores, plain_scores(fitted, suspect), atol=1e-4)


@pytest.mark.parametrize(("siblings", "controls"), [(2, 0), (3, 1), (15, 3)])
def test_for_any_number_of_siblings_and_controls(siblings: int, controls: int) -> None:
    family = Family(500, seed=2)
    fitted = fit(family, siblings, controls)
    found = fitted.test(family.tuned(family.own, 4))
    assert found.num_siblings == siblings and found.p_value == 1 / (siblings + 1)
    assert fitted.score(family.tuned(family.own, 4)) > 2


def test_all_candidates_are_treated_alike() -> None:
    family = Family(300, seed=3)
    fitted, suspect = fit(family), family.tuned(family.own)
    order = np.random.default_rng(0).permutation(8)
    permuted = dataclasses.replace(fitted, candidates=fitted.candidates[order], _centres={})
    scores = []
    for one in (fitted, permuted):
        found = one.test(suspect)
        scores.append(np.r_[found.source_score, found.sibling_scores])
    np.testing.assert_allclose(scores[0][order], scores[1], atol=1e-9)


def test_suspects_that_answer_less_are_read() -> None:
    family = Family(1000, seed=4)
    fitted = fit(family, 19)
    suspect = family.tuned(family.own, 8)
    for kind in ("log-probabilities", "probabilities", "labels"):
        assert fitted.test(suspect.to(kind)).p_value == 0.05


def test_a_kind_that_controls_do_not_have_is_said() -> None:
    family = Family(300, seed=5)
    reason = fit(family).reads(Responses(family.noise(), "embedding", "q"))
    assert reason is not None and "record the controls' embedding" in reason
    with pytest.raises(ValueError, match=r"record the controls' embedding"):
        fit(family).test(Responses(family.noise(), "embedding", "q"))
    assert fit(family, controls=0).reads(family.tuned(family.own)) is None


def test_what_the_others_answer_is_regressed_out_where_there_are_queries_enough() -> None:
    assert fit(Family(257)).background == "others"
    assert fit(Family(256)).background == "none"
    assert fit(Family(257), siblings=19).background == "none"
    with pytest.raises(ValueError, match=r"the other candidates are together 114 wide on 257"):
        fit(Family(257), siblings=19, background="others")


def test_saved_it_tests_the_same() -> None:
    family = Family(300, seed=6)
    fitted, suspect = fit(family), family.tuned(family.own)
    again = FittedSiblingTest.from_arrays(*fitted.to_arrays())
    np.testing.assert_array_equal(
        again.test(suspect).sibling_scores, fitted.test(suspect).sibling_scores
    )


def test_what_does_not_fit_is_said() -> None:
    family = Family(300, seed=7)
    fitted, suspect = fit(family), family.tuned(family.own)
    with pytest.raises(ValueError, match=r"answered another query set than the candidates"):
        fitted.test(Responses(suspect.values, "logits", "others"))
    with pytest.raises(ValueError, match=r"answers every query alike"):
        fitted.test(Responses(np.ones((300, 3)), "logits", "q"))
    with pytest.raises(ValueError, match=r"give at least 10 queries, not 9"):
        fit(Family(9))
    with pytest.raises(ValueError, match=r"at least two siblings.*got 1 siblings"):
        fit(family, siblings=1)


def test_99_siblings_take_seconds() -> None:
    family = Family(2500, seed=8)
    start = time.perf_counter()
    fitted = fit(family, 99, 1)
    fitted.test(family.tuned(family.own))
    assert time.perf_counter() - start < 30


def null_p_values(kind: str, controls: int, seed: int) -> np.ndarray:
    """Of :data:`FAMILIES` families the p-value of a suspect that does not know the source's seed.

    Candidates differ in how much of their own they learnt, drawn alike for all of them. A suspect
    is unrelated, descends from a further sibling, or is one itself. Controls are unrelated models;
    badly chosen ones know nothing at all.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(FAMILIES):
        data = rng.normal(size=(QUERIES, 2))
        amount = rng.exponential(size=(SIBLINGS + 2, 1, 1))
        *models, further = data + amount * rng.normal(size=(SIBLINGS + 2, QUERIES, 2))
        start = {"unrelated": data, "descendant of a sibling": further, "sibling": further}[kind]
        suspect = start
        if kind != "sibling":
            suspect = start @ rng.normal(size=(2, 2)) + rng.normal(size=(QUERIES, 2))
        known = data if kind != "sibling" else 0 * data
        others = [
            known @ rng.normal(size=(2, 2)) + rng.normal(size=(QUERIES, 2)) for _ in range(controls)
        ]
        prepared = Candidates(np.stack(models), "others")
        scores = prepared.scores(suspect)
        if controls:
            scores = scores - np.mean([prepared.scores(other) for other in others], axis=0)
        found.append(float(attribution.exact_p(attribution.combine(scores))))
    return np.array(found)


@pytest.mark.parametrize(
    ("kind", "controls"),
    [("unrelated", 0), ("unrelated", 3), ("descendant of a sibling", 2), ("sibling", 2)],
)
def test_the_false_positive_rate_is_what_it_promises(kind: str, controls: int) -> None:
    p = null_p_values(kind, controls, seed=controls)
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], FAMILIES, 0.1)
    assert low <= np.sum(p <= 0.1 + 1e-9) <= high
    assert np.sum(p <= 0.2 + 1e-9) <= stats.binom.ppf(1 - 1e-4, FAMILIES, 0.2)


def test_such_a_check_finds_a_rate_of_fifteen_per_cent() -> None:
    high = stats.binom.ppf(1 - 1e-4, FAMILIES, 0.1)
    assert stats.binom.sf(high, FAMILIES, 0.15) > 0.99


def test_models_that_are_secretly_one_are_refused() -> None:
    family = Family(60, seed=9)
    source, *siblings = (family.model(family.noise()).values for _ in range(4))
    suspect = family.tuned(family.own).values
    with pytest.raises(ValueError, match=r"sibling 0 and sibling 1 give equal answers"):
        attribution.sibling_test(source, [siblings[0]] * 3, suspect)
    with pytest.raises(ValueError, match=r"the source and sibling 1 give equal answers"):
        attribution.sibling_test(source, [siblings[0], source.copy()], suspect)
    with pytest.raises(ValueError, match=r"siblings\[0\] and siblings\[1\] give equal answers"):
        ReferenceSet(family.model(family.own), siblings=[family.model(siblings[0])] * 2)
