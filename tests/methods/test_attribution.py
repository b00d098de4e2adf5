"""The test's validity is itself tested, on families of linear models for which the null holds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mgmp_jax import similarities
from mgmp_jax.linear import cross_fit, standardise
from mgmp_jax.methods import attribution
from mgmp_jax.methods.power import power
from mgmp_jax.responses import Responses

STATISTICS = list(similarities.SIMILARITIES)
N, WIDTH, SIBLINGS, TRIALS = 32, 2, 19, 2000
ALPHAS = (0.05, 0.1)


def family(key, own: float, siblings: int = SIBLINGS, n: int = N):
    """Source and siblings, a descendant of the source, a model of none of them, 4 controls.

    Source and siblings have learnt the same of the queries' features; ``own`` is how much of
    each is its own.
    """
    keys = jax.random.split(key, 6)
    features = jax.random.normal(keys[0], (n, 6))

    def model(key, features, learnt):
        return features @ learnt + own * jax.random.normal(key, (n, WIDTH))

    def other(key, features):
        learnt = jax.random.normal(jax.random.fold_in(key, 1), (features.shape[1], WIDTH))
        return model(key, features, learnt)

    learnt = jax.random.normal(keys[5], (6, WIDTH))
    candidates = jax.vmap(model, in_axes=(0, None, None))(
        jax.random.split(keys[1], siblings + 1), features, learnt
    )
    descendant = other(keys[2], jnp.hstack([features, 2 * candidates[0]]))
    control = other(keys[3], features)
    controls = jax.vmap(other, in_axes=(0, None))(jax.random.split(keys[4], 4), features)
    return candidates, descendant, control, controls


def null_p_values(score, siblings: int = SIBLINGS) -> np.ndarray:
    """Of all trials the p-value of a control; ``score(candidates, suspect, controls)``."""

    def trial(key):
        candidates, _, control, controls = family(key, own=1.0, siblings=siblings)
        return score(candidates, control, controls)

    keys = jax.random.split(jax.random.key(1), TRIALS)
    return attribution.exact_p(np.asarray(jax.jit(jax.vmap(trial))(keys)))


def false_positives(p: np.ndarray, alpha: float) -> int:
    return int(np.sum(p <= alpha + 1e-9))


def bound(alpha: float) -> int:
    return int(stats.binom.ppf(1 - 1e-4, TRIALS, alpha))


@pytest.mark.parametrize("background", ["none", "mean"])
@pytest.mark.parametrize("name", STATISTICS)
def test_false_positive_rate_is_bounded_for_every_statistic(name: str, background) -> None:
    statistic = similarities.SIMILARITIES[name]

    def score(candidates, suspect, _):
        return attribution.candidate_scores(candidates, suspect, statistic, background)

    p = null_p_values(score)
    assert all(false_positives(p, alpha) <= bound(alpha) for alpha in ALPHAS)


def test_a_statistic_that_knows_the_source_is_caught() -> None:
    def score(candidates, suspect, _):
        source = candidates[0]

        def peeking(candidate, suspect):
            return similarities.linear_cka(candidate, suspect) + 0.5 * similarities.linear_cka(
                candidate, source
            )

        return attribution.candidate_scores(candidates, suspect, peeking)

    p = null_p_values(score)
    assert all(false_positives(p, alpha) > bound(alpha) for alpha in ALPHAS)


def test_queries_chosen_knowing_the_source_are_caught() -> None:
    def score(candidates, suspect, _):
        source = candidates[0]
        fits = jnp.sum(standardise(source) * cross_fit(suspect, source), axis=1)
        chosen = jnp.argsort(fits)[N // 2 :]

        def on_chosen(candidate, suspect):
            return similarities.linear_cka(candidate[chosen], suspect[chosen])

        return attribution.candidate_scores(candidates, suspect, on_chosen)

    assert false_positives(null_p_values(score), 0.05) > bound(0.05)


@pytest.mark.parametrize("background", ["none", "mean", "others"])
def test_descendants_are_traced_and_controls_are_not(background) -> None:
    candidates, descendant, control, controls = family(jax.random.key(3), 0.5, 19, 400)
    source, siblings = candidates[0], candidates[1:]
    statistics = [similarities.ridge_r2_to_source]
    found = attribution.sibling_test(
        source, siblings, descendant, statistics, background=background, controls=controls
    )
    assert found.p_value == 1 / 20
    assert found.t_p_value < 0.001
    assert found.num_siblings == 19
    assert attribution.sibling_test(source, siblings, control, statistics).p_value > 0.05


def test_all_candidates_are_treated_alike() -> None:
    candidates, descendant, _, _ = family(jax.random.key(4), 0.5, 7, 200)
    order = np.random.default_rng(0).permutation(8)
    for background in ("none", "mean", "others"):
        scores = [
            attribution.candidate_scores(c, descendant, similarities.ridge_r2_to_source, background)
            for c in (candidates, candidates[order])
        ]
        np.testing.assert_allclose(scores[0][order], scores[1], atol=1e-4)


def test_the_background_leaves_the_candidate_itself_out() -> None:
    candidates, descendant, _, _ = family(jax.random.key(5), 0.5, 3, 200)
    others = np.concatenate([candidates[i] for i in (0, 1, 3)], axis=1)
    x, y = (standardise(z) - cross_fit(others, z) for z in (candidates[2], descendant))
    scores = attribution.candidate_scores(candidates, descendant, similarities.linear_cka, "others")
    assert float(scores[2]) == pytest.approx(float(similarities.linear_cka(x, y)), abs=1e-5)


def test_p_values() -> None:
    scores = np.array([[3.0, 1, 2, 3], [4, 1, 2, 3], [0, 1, 2, 3], [1, 1, 1, 1]])
    np.testing.assert_array_equal(attribution.exact_p(scores), [0.5, 0.25, 1, 1])
    assert (
        attribution.exact_p(np.array([0.3, 0.1 + 0.2 - 1e-12, 0.1, 0])) == 0.5
    )  # but for rounding
    t = (4 - 2) / (1 * np.sqrt(1 + 1 / 3))
    np.testing.assert_allclose(attribution.t_tail_p(scores)[1], stats.t.sf(t, 2))
    assert attribution.t_tail_p(scores)[3] == 1  # siblings that score alike give no spread
    for alike in (0.0, 0.1):  # equal scores whose mean is rounded have no spread either
        assert attribution.t_tail_p(np.array([0.2, alike, alike, alike])) == 0.25
    np.testing.assert_array_equal(attribution.source_first(scores), [False, True, False, False])
    for p_value in (attribution.exact_p, attribution.t_tail_p):
        with pytest.raises(ValueError, match="a score is not finite"):
            p_value(np.array([np.nan, 1, 2]))


def test_labels_are_read_one_hot_only() -> None:
    rng = np.random.default_rng(0)
    source, *siblings = rng.normal(size=(4, 60, 3))
    one_hot = np.eye(3, dtype=bool)[source.argmax(axis=1)]
    by_bool, by_float = (
        attribution.sibling_test(source, siblings, labels, background="none")
        for labels in (one_hot, one_hot.astype(float))
    )
    np.testing.assert_allclose(by_bool.source_score, by_float.source_score, atol=1e-5)
    for labels in (source.argmax(axis=1), source.argmax(axis=1)[:, None]):
        with pytest.raises(ValueError, match=r"one-hot|labels"):
            attribution.sibling_test(source, siblings, labels)


def test_the_t_tail_is_uniform_for_normal_scores() -> None:
    p = attribution.t_tail_p(np.random.default_rng(0).normal(size=(20_000, 6)))
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_combined_statistics_have_equal_weight() -> None:
    scores = np.array([[[1.0, 2, 3], [300, 200, 100]], [[1, 2, 3], [0.1, 0.1, 0.1]]])
    combined = attribution.combine(scores)
    np.testing.assert_allclose(combined[0], 0, atol=1e-12)
    np.testing.assert_allclose(combined[1], np.array([-1, 0, 1]) * np.sqrt(1.5) / 2)


def test_scores_that_differ_by_rounding_alone_are_ties() -> None:
    scores = np.array([[0.3, 0.3 + 5e-17, 0.3 - 5e-17, 0.3]])
    assert attribution.exact_p(attribution.combine(scores)) == 1


def test_power_takes_responses_as_the_test_does() -> None:
    candidates, descendant, _, controls = family(jax.random.key(9), 0.5, 3, 200)
    source, *siblings, suspect = (Responses(m, "logits", "q") for m in (*candidates, descendant))
    controls = [Responses(control, "logits", "q") for control in controls]
    labels = suspect.to("labels")
    numbers: Any = {"num_queries": (200,), "num_siblings": (3,), "draws": 1}
    (row,) = power(source, siblings, [labels], controls=controls, **numbers)
    expected = attribution.sibling_test(source, siblings, labels, controls=controls)
    assert row["t_p_median"] == pytest.approx(expected.t_p_value)
    with pytest.raises(ValueError, match=r"source and suspect 0: .*different query sets"):
        power(source, siblings, [Responses(descendant, "logits", "elsewhere")], **numbers)
    with pytest.raises(ValueError, match="suspects answer with labels and logits"):
        power(source, siblings, [suspect, labels], **numbers)
    with pytest.raises(ValueError, match="at least 10 queries and two siblings; got 5 and 3"):
        power(source, siblings, [suspect], num_queries=(5,), num_siblings=(3,))


def test_power_counts_by_queries_and_siblings() -> None:
    candidates, descendant, control, controls = family(jax.random.key(6), 0.5, 19, 400)
    controls = [np.asarray(s) for s in (control, *controls)]
    rows, level = (
        power(
            candidates[0],
            candidates[1:],
            suspects,
            [similarities.ridge_r2_to_source, similarities.linear_cka],
            controls=controls,
            num_queries=(30, 400),
            num_siblings=(4, 19),
        )
        for suspects in ([descendant], controls)
    )
    assert [(row["queries"], row["siblings"]) for row in rows] == [
        (30, 4), (30, 19), (400, 4), (400, 19)
    ]  # fmt: skip
    assert rows[-1]["first"] == rows[-1]["exact"] == rows[-1]["t_tail"] == 1
    assert rows[2]["exact"] == 0  # four siblings cannot give a p-value of 0.05
    assert rows[2]["first"] == 1
    assert level[-1]["exact"] < 0.5


def test_impossible_arguments() -> None:
    candidates, descendant, _, controls = family(jax.random.key(7), 0.5, 3, 40)
    with pytest.raises(ValueError, match="at least two siblings, all of one shape; got 1 siblings"):
        attribution.sibling_test(candidates[0], candidates[1:2], descendant, [similarities.sac])
    with pytest.raises(ValueError, match="answered 40 queries; give suspect"):
        attribution.sibling_test(
            candidates[0], candidates[1:], np.asarray(descendant)[:20], [similarities.sac]
        )
    with pytest.raises(ValueError, match="at least one statistic"):
        attribution.sibling_test(candidates[0], candidates[1:], descendant, [])
    for wrong, said in ((np.ones((40, 2)), "every query alike"), (np.nan, "not finite")):
        wrong = np.full((40, 2), wrong)
        with pytest.raises(ValueError, match=said):
            attribution.sibling_test(candidates[0], candidates[1:], wrong)
        with pytest.raises(ValueError, match=said):
            attribution.sibling_test(wrong, candidates[1:], descendant, background="none")
    with pytest.raises(ValueError, match="give at least 10 queries, not 9"):
        attribution.sibling_test(candidates[0, :9], candidates[1:, :9], descendant[:9])
    settings = {"num_queries": (20,), "num_siblings": (3,), "draws": 1}
    for nothing in ({"num_queries": ()}, {"num_siblings": ()}, {"draws": 0}):
        with pytest.raises(ValueError, match="at least one suspect, one number of queries"):
            power(candidates[0], candidates[1:], [descendant], **{**settings, **nothing})
    with pytest.raises(ValueError, match="at least one suspect"):
        power(candidates[0], candidates[1:], [], **settings)
    with pytest.raises(ValueError, match="100 queries and 3 siblings were asked for"):
        power(
            candidates[0], candidates[1:], [descendant], [similarities.sac], controls=controls,
            num_queries=(100,), num_siblings=(3,),
        )  # fmt: skip
    with pytest.raises(ValueError, match="a score is not finite"):
        attribution.sibling_test(candidates[0], candidates[1:], descendant, [lambda a, b: jnp.nan])
    with pytest.raises(ValueError, match="a score is not finite"):
        attribution.combine(np.array([[np.nan, 1, 2], [1, 2, 3]]))
    for one in (candidates[1], np.asarray(candidates[1]), Responses(candidates[1], "logits", "q")):
        with pytest.raises(ValueError, match="siblings must be a list of models' responses"):
            attribution.as_models(one, "siblings")
        with pytest.raises((ValueError, TypeError), match=r"siblings must be|Type-check error"):
            attribution.sibling_test(candidates[0], one, descendant)
        with pytest.raises((ValueError, TypeError), match=r"controls must be|Type-check error"):
            attribution.sibling_test(candidates[0], candidates[1:], descendant, controls=one)
    for wrong, said in (([[1, 2], [3]], "rows of unequal length"), ([["a"]] * 40, "real numbers")):
        with pytest.raises(ValueError, match=said):
            attribution.sibling_test(candidates[0], candidates[1:], wrong)


@pytest.mark.parametrize("statistics", [attribution.BOTH_FITS, [similarities.linear_cka]])
def test_an_unknown_background_is_refused(statistics) -> None:
    candidates, descendant, _, _ = family(jax.random.key(7), 0.5, 3, 40)
    with pytest.raises((ValueError, TypeError), match=r"background must be|Type-check error"):
        attribution.sibling_test(
            candidates[0], candidates[1:], descendant, statistics, background="all"
        )


@pytest.mark.parametrize("form", ["float16", "float64", "list", "pandas", "Responses", "JAX"])
def test_models_are_given_in_any_form(form: str) -> None:
    candidates, descendant, _, controls = family(jax.random.key(8), 0.5, 3, 200)
    halves = [np.asarray(m, np.float16) for m in (*candidates, descendant, *controls)]
    given = {
        "float16": lambda model: model,
        "float64": lambda model: model.astype(np.float64),
        "list": np.ndarray.tolist,
        "pandas": lambda model: pytest.importorskip("pandas").DataFrame(model),
        "Responses": lambda model: Responses(model, "logits", "q"),
        "JAX": jnp.asarray,
    }[form]

    def scores(models):
        source, *siblings, suspect = models[:5]
        found = attribution.sibling_test(source, siblings, suspect, controls=models[5:])
        return [found.source_score, *found.sibling_scores]

    expected = scores([model.astype(np.float32) for model in halves])
    np.testing.assert_allclose(scores(list(map(given, halves))), expected, atol=1e-9)


def test_controls_answer_in_the_suspects_kind() -> None:
    candidates, descendant, _, controls = family(jax.random.key(9), 0.5, 3, 200)
    source, *siblings, suspect = (Responses(m, "logits", "q") for m in (*candidates, descendant))
    controls = [Responses(control, "logits", "q") for control in controls]
    labels = suspect.to("labels")
    found, expected = (
        attribution.sibling_test(source, siblings, labels, controls=given)
        for given in (controls, [control.to("labels").values for control in controls])
    )
    np.testing.assert_array_equal(found.sibling_scores, expected.sibling_scores)


def test_other_queries_and_mixed_kinds_are_refused() -> None:
    candidates, descendant, _, _ = family(jax.random.key(10), 0.5, 3, 40)
    source, *siblings, suspect = (Responses(m, "logits", "q") for m in (*candidates, descendant))
    elsewhere = Responses(descendant, "logits", "elsewhere")
    with pytest.raises(ValueError, match=r"source and suspect: .*different query sets"):
        attribution.sibling_test(source, siblings, elsewhere)
    with pytest.raises(ValueError, match=r"source and control 0: .*different query sets"):
        attribution.sibling_test(source, siblings, suspect, controls=[elsewhere])
    with pytest.raises(ValueError, match=r"source and sibling 2: .*different query sets"):
        attribution.sibling_test(source, [*siblings[:2], elsewhere], suspect)
    mixed = [siblings[0], siblings[1].to("probabilities")]
    with pytest.raises(ValueError, match="source answers with logits and sibling 1 with prob"):
        attribution.sibling_test(source, mixed, suspect)
