"""experiments/late.py: whom late siblings share what with. A whole run is in test_compare.py."""

import dataclasses

import _scoring
import late
import numpy as np
import pytest

from mgmp_jax.responses import Responses


def test_moments_begin_with_none_and_end_before_the_last_epoch() -> None:
    assert late.moments(5) == [0, 1, 3] and late.moments(60) == [0, 20, 40]
    assert late.moments(2) == [0, 1] and late.moments(1) == [0]


def test_all_candidates_go_on_from_one_model_with_seeds_of_their_own(small) -> None:
    source = small.row.source
    cohort = late.forked(small, 2)
    (trunk,) = {spec.start for spec in cohort.candidates}
    assert trunk == dataclasses.replace(source, recipe=trunk.recipe) and trunk != source
    assert len(cohort.candidates) == 10 and cohort.candidates[0] == cohort.row.source
    assert len({spec.seed for spec in cohort.candidates}) == 10
    assert {spec.head for spec in cohort.candidates} == {"keep"}
    for spec in cohort.candidates:
        assert trunk.recipe.epochs + spec.recipe.epochs == source.recipe.epochs
        same = {"data", "num_examples", "skip", "width", "arch"}
        assert all(getattr(spec, name) == getattr(source, name) for name in same)


@pytest.mark.parametrize("shared", [0, 3])
def test_each_candidate_has_two_descendants_alike(small, shared: int) -> None:
    cohort = late.forked(small, shared)
    assert [spec.start for spec in cohort.families] == [
        spec for spec in cohort.candidates for _ in range(2)
    ]
    assert len({(spec.subset, spec.seed, spec.head) for spec in cohort.families}) == 2
    if not shared:
        assert cohort.candidates == small.candidates
        assert set(cohort.families) <= set(small.families)


def test_agreement_is_the_mean_over_pairs(small) -> None:
    cohort = dataclasses.replace(small, siblings=small.siblings[:2])
    labels = ([0, 1, 2, 0], [0, 1, 2, 1], [0, 2, 2, 1])
    answers = {
        spec: Responses(2 * np.eye(3)[given], "logits", "q")
        for spec, given in zip(cohort.candidates, labels, strict=True)
    }
    agreement = _scoring.agreement_of_candidates(cohort, answers)
    assert agreement == pytest.approx((3 / 4 + 2 / 4 + 3 / 4) / 3)
