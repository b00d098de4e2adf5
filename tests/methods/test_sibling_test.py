"""The sibling test's validity is itself tested, on families for which the null holds."""

import dataclasses
import time

import numpy as np
import pytest
from scipy import stats

from mgmp_jax import similarities
from mgmp_jax.linear import FOLDS, PENALTY, folds_of
from mgmp_jax.methods import FittedSiblingTest, SiblingTest, attribution
from mgmp_jax.methods.candidates import Candidates
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from tests.families import Family
from tests.faults import nulls

FAMILIES = 2000
SIBLINGS, QUERIES = 19, 60


def fit(family: Family, siblings: int = 7, controls: int = 4, **options) -> FittedSiblingTest:
    return SiblingTest(**options).fit(family.references(2, siblings, controls))


def by_the_book(candidates: np.ndarray, suspect: np.ndarray, background: str) -> np.ndarray:
    """Both R² of each candidate with the suspect ``[2, c]``, one ridge regression after another."""
    fold = np.asarray(folds_of(len(suspect)))

    def unit(z: np.ndarray) -> np.ndarray:
        centred = np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64)
        deviation = centred.std(axis=0)
        return centred / np.where(deviation > 1e-6 * np.abs(z).max(axis=0), deviation, np.inf)

    def left_by(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        x, y, left = unit(inputs), unit(outputs), np.empty(outputs.shape)
        for number in range(FOLDS):
            out = fold == number
            x_mean, y_mean = x[~out].mean(axis=0), y[~out].mean(axis=0)
            xc, yc = x[~out] - x_mean, y[~out] - y_mean
            gram = xc.T @ xc / len(xc) + PENALTY * np.eye(x.shape[1])
            fitted = np.linalg.solve(gram, xc.T @ yc / len(xc))
            left[out] = y[out] - y_mean - (x[out] - x_mean) @ fitted
        return left

    def r2(inputs: np.ndarray, outputs: np.ndarray) -> float:
        return 1 - np.sum(left_by(inputs, outputs) ** 2) / np.sum(unit(outputs) ** 2)

    scores = []
    for i, candidate in enumerate(candidates):
        x, y = candidate, suspect
        if background == "others":
            others = np.hstack([other for j, other in enumerate(candidates) if j != i])
            x, y = left_by(others, candidate), left_by(others, suspect)
        scores.append([r2(x, y), r2(y, x)])
    return np.transpose(scores)


@pytest.mark.parametrize("background", ["others", "none"])
@pytest.mark.parametrize(
    ("siblings", "n", "width", "of_suspect"), [(2, 50, 3, 1), (5, 203, 4, 9), (19, 300, 5, 5)]
)
def test_fast_scores_are_those_of_a_plain_loop(siblings, n, width, of_suspect, background) -> None:
    rng = np.random.default_rng(siblings)
    data = rng.normal(size=(n, width))
    candidates = (data + rng.normal(size=(siblings + 1, n, width))).astype(np.float32)
    suspect = data @ rng.normal(size=(width, of_suspect)) + rng.normal(size=(n, of_suspect))
    labels = np.eye(of_suspect + 1)[np.hstack([suspect, 0 * suspect[:, :1]]).argmax(axis=1)]
    for answers in (suspect.astype(np.float32), labels.astype(np.float32)):
        np.testing.assert_allclose(
            Candidates(candidates, background).scores(answers),
            by_the_book(candidates, answers, background),
            atol=1e-9,
        )


@pytest.mark.parametrize("background", ["others", "none"])
def test_fast_scores_are_those_of_the_public_definition(background) -> None:
    family = Family(300, seed=1)
    fitted = fit(family, background=background)
    controls = [control.values for control in fitted.controls]
    suspect = family.tuned(family.own, 5)
    found = fitted.test(suspect)
    expected = [
        np.asarray(attribution.candidate_scores(fitted.candidates, x, statistic, background))
        - np.mean(
            [
                attribution.candidate_scores(fitted.candidates, control, statistic, background)
                for control in controls
            ],
            axis=0,
        )
        for x in [suspect.values]
        for statistic in attribution.BOTH_FITS
    ]
    scores = np.r_[found.source_score, found.sibling_scores]
    np.testing.assert_allclose(scores, attribution.combine(np.stack(expected)), atol=1e-4)


@pytest.mark.parametrize("background", ["others", "none"])
@pytest.mark.parametrize("statistic", [similarities.linear_cka, lambda a, b: (a[3] * b[3]).sum()])
def test_any_statistic_is_that_of_the_public_definition(statistic, background) -> None:
    family = Family(300, seed=4)
    candidates, suspect = fit(family).candidates, family.model(family.noise()).values
    found = Candidates(candidates, background).compare(statistic, suspect)
    expected = attribution.candidate_scores(candidates, suspect, statistic, background)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_function_and_the_method_agree() -> None:
    family = Family(300, seed=10)
    fitted, suspect = fit(family, background="others"), family.tuned(family.own).to("labels")
    source, *siblings = (Responses(c, "logits", "q") for c in fitted.candidates)
    plain = attribution.sibling_test(source, siblings, suspect, controls=fitted.controls)
    found = fitted.test(suspect)
    np.testing.assert_allclose(plain.sibling_scores, found.sibling_scores, atol=1e-12)
    assert (plain.p_value, plain.t_p_value) == (found.p_value, pytest.approx(found.t_p_value))
    assert found.deviations == pytest.approx(fitted.score(suspect))


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
    permuted = dataclasses.replace(fitted, candidates=fitted.candidates[order])
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
    largest = family.tuned(family.own).to("probabilities").values
    largest = np.where(largest == largest.max(axis=1, keepdims=True), largest, 0)
    top_1 = Responses(largest, "top-k", "q")
    reason = fit(family).reads(top_1)
    assert reason is not None and "or give the suspect's labels" in reason
    assert fit(family).reads(top_1.to("labels")) is None


def test_what_the_others_answer_is_regressed_out_where_there_are_queries_enough() -> None:
    assert fit(Family(257)).background == "others"
    assert fit(Family(256)).background == "none"
    assert fit(Family(257), siblings=19).background == "none"
    with pytest.raises(ValueError, match=r"the other candidates are together 114 wide on 257"):
        fit(Family(257), siblings=19, background="others")


def test_the_pool_never_stands_in_for_controls() -> None:
    """Its non-homologous models may descend from siblings, and would lower theirs alone."""
    accused = 0
    for seed in range(12):
        family = Family(60, seed=seed)
        own = [family.noise() for _ in range(4)]
        references = ReferenceSet(
            family.model(family.own, "source"),
            [
                Pair(f"{i}", [family.tuned(family.own)], [family.tuned(z)])
                for i, z in enumerate(own)
            ],
            [family.model(z, f"sibling {i}") for i, z in enumerate(own)],
        )
        fitted = SiblingTest().fit(references)
        assert not fitted.controls and fitted.settings["controls"] == 0
        accused += sum(fitted.test(family.tuned(family.noise())).p_value <= 0.2 for _ in range(10))
    assert accused <= 60  # of 120, where all were accused; 24 are allowed on average


def test_labels_of_which_some_class_is_never_named_are_compared() -> None:
    family = Family(80)
    models = [family.model(family.noise(), f"{i}").to("labels") for i in range(4)]
    numbers = [model.values.argmax(axis=1) for model in models]
    numbers[2] = np.minimum(numbers[2], 4)
    labels = [Responses(one, "labels", "q", f"{i}") for i, one in enumerate(numbers)]
    assert [one.values.shape[1] for one in labels] == [6, 6, 5, 6]
    fitted = SiblingTest().fit(ReferenceSet(labels[0], siblings=labels[1:]))
    assert fitted.candidates.shape == (4, 80, 6)


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
    with pytest.raises((ValueError, TypeError), match=r"background must be|Type-check error"):
        SiblingTest(background="mean")  # type: ignore[arg-type]
    logits = [family.model(family.noise()) for _ in range(3)]
    with pytest.raises(ValueError, match=r"answers with logits and sibling 1 with probabilities"):
        SiblingTest().fit(
            ReferenceSet(logits[0], siblings=[logits[1], logits[2].to("probabilities")])
        )


def test_99_siblings_take_seconds() -> None:
    family = Family(2500, seed=8)
    start = time.perf_counter()
    fitted = fit(family, 99, 1)
    fitted.test(family.tuned(family.own))
    assert time.perf_counter() - start < 30


@pytest.fixture(scope="module")
def null_p_values() -> dict[tuple[str, str], np.ndarray]:
    return nulls.lineage(FAMILIES)


@pytest.mark.parametrize("controls", nulls.CONTROLS)
@pytest.mark.parametrize("suspect", nulls.SUSPECTS)
def test_the_false_positive_rate_is_what_it_promises(suspect, controls, null_p_values) -> None:
    p = null_p_values[suspect, controls]
    for alpha in nulls.LEVELS:
        low, high = nulls.bounds(FAMILIES, alpha)
        assert low <= np.sum(p <= alpha + 1e-9) <= high


def rejected_by_source(
    sources: int, innocents: int, controls: int, *, queries: int = 300, background: str = "others"
) -> np.ndarray:
    """Of each source, the share of its innocent suspects that are rejected at the level 0.1."""
    rng = np.random.default_rng(0)

    def noise() -> np.ndarray:
        return rng.normal(size=(queries, 2))

    def tuned(start: np.ndarray) -> np.ndarray:
        return start @ rng.normal(size=(2, 2)) + noise()

    shares = []
    for _ in range(sources):
        data = noise()
        amount = rng.exponential(size=(SIBLINGS + 1, 1, 1))
        models = data + amount * rng.normal(size=(SIBLINGS + 1, queries, 2))
        prepared = Candidates(models, background)
        centre = [prepared.scores(tuned(data)) for _ in range(controls)]
        scores = [prepared.scores(tuned(data)) for _ in range(innocents)]
        centred = np.stack(scores) - (np.mean(centre, axis=0) if controls else 0)
        p = attribution.exact_p(np.stack([attribution.combine(one) for one in centred]))
        shares.append(np.mean(p <= 0.1 + 1e-9))
    return np.array(shares)


def test_all_suspects_of_one_source_share_its_luck() -> None:
    without, with_ten = (
        rejected_by_source(40, 40, controls, queries=100, background="none") for controls in (0, 10)
    )
    assert without.max() > 0.6 > with_ten.max() > 0.2
    for shares in (without, with_ten):
        assert abs(shares.mean() - 0.1) < 4 * shares.std() / np.sqrt(len(shares))


def test_queries_chosen_knowing_the_source_are_caught() -> None:
    rng = np.random.default_rng(1)
    families = 300
    p = []
    for _ in range(families):
        data = rng.normal(size=(2 * QUERIES, 2))
        models = data + rng.normal(size=(SIBLINGS + 1, *data.shape))
        suspect = data @ rng.normal(size=(2, 2)) + rng.normal(size=data.shape)
        fitted = suspect @ np.linalg.lstsq(suspect, models[0], rcond=None)[0]
        chosen = np.argsort(np.sum(fitted * models[0], axis=1))[QUERIES:]
        scores = Candidates(models[:, chosen], "others").scores(suspect[chosen])
        p.append(attribution.exact_p(attribution.combine(scores)))
    for alpha in (0.05, 0.1):
        high = stats.binom.ppf(1 - 1e-4, families, alpha)
        assert np.sum(np.array(p) <= alpha + 1e-9) > high


def test_such_a_check_finds_a_rate_that_is_half_as_high_again() -> None:
    for alpha, power in ((0.1, 0.99), (0.05, 0.8)):
        high = stats.binom.ppf(1 - 1e-4, FAMILIES, alpha)
        assert stats.binom.sf(high, FAMILIES, 1.5 * alpha) > power


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
