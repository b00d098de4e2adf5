import dataclasses

import numpy as np
import pytest

from mgmp_jax.growth import grow, restrict
from mgmp_jax.methods import EXTENDED, MGMP, SiblingTest, Similarity
from mgmp_jax.references import ReferenceSet
from mgmp_jax.report import Answer
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.families import Family

FAMILY = Family(640, seed=11)
REFERENCES = FAMILY.references(tasks=3, siblings=9, controls=9)
SUSPECT = FAMILY.tuned(FAMILY.own)
HALF = np.sort(np.random.default_rng(3).permutation(640)[:320])


def test_a_restricted_sibling_test_is_one_fitted_to_those_queries() -> None:
    def part(model: Responses) -> Responses:
        return model.take(HALF, "half")

    fewer = dataclasses.replace(
        REFERENCES,
        source=part(REFERENCES.source),
        pool=[],
        siblings=[part(sibling) for sibling in REFERENCES.siblings],
        controls=[part(control) for control in REFERENCES.controls],
    )
    expected = SiblingTest().fit(fewer).test(part(SUSPECT))
    method = SiblingTest().fit(REFERENCES)
    method.test(SUSPECT)  # what it keeps of all queries must not be taken for the half's
    found = restrict(method, HALF, "half")
    assert found.score(part(SUSPECT)) == pytest.approx(expected.deviations)
    assert found.background == "others"
    assert restrict(method, HALF[:200], "200").background == "none"


def test_a_restricted_mgmp_keeps_its_classifier_and_takes_the_background_out_anew() -> None:
    method = MGMP(EXTENDED.replace(epochs=5)).fit(REFERENCES)
    fewer = restrict(method, HALF, "half")
    assert fewer.classifier is method.classifier
    np.testing.assert_array_equal(fewer.source.values, method.source.values[HALF])
    np.testing.assert_array_equal(fewer.latents, method.latents[HALF])
    assert 0 <= fewer.score(SUSPECT.take(HALF, "half")) <= 1
    assert restrict(method, HALF[:100], "few").reads(SUSPECT.take(HALF[:100], "few"))


def test_all_queries_say_what_the_answer_says() -> None:
    verifier = Verifier.fit(REFERENCES, [SiblingTest(), Similarity("linear CKA")])
    report = verifier.verify(SUSPECT)
    for method, answer in zip(verifier.methods, report.answers, strict=True):
        points = grow(method, SUSPECT, answer, REFERENCES.controls, draws=3)
        assert [(p.queries, p.draws) for p in points] == [(80, 3), (160, 3), (320, 3), (640, 1)]
        assert (points[-1].score, points[-1].p_value) == (answer.score, answer.p_value)
        for point in points:
            assert point.least <= point.score <= point.greatest
            assert point.p_value == pytest.approx(0.1)  # a descendant, above all nine
    assert points == grow(method, SUSPECT, answer, REFERENCES.controls, draws=3)
    assert points != grow(method, SUSPECT, answer, REFERENCES.controls, draws=3, seed=1)


def test_an_innocent_is_not_above_all() -> None:
    verifier = Verifier.fit(REFERENCES, [SiblingTest()])
    innocent = FAMILY.tuned(FAMILY.noise())
    answer = verifier.verify(innocent).lineage
    points = grow(verifier.methods[0], innocent, answer, draws=9)
    assert all(p.p_value is not None and p.p_value > 0.15 for p in points[:3])


def test_sizes_that_cannot_be_read_are_left_out() -> None:
    method = MGMP(EXTENDED.replace(epochs=1)).fit(REFERENCES)
    answer = Answer("knowledge", "MGMP", "inconclusive", "", method.score(SUSPECT))
    points = grow(method, SUSPECT, answer, draws=1)
    # the background is 9 x 6 + 3 x 5 = 69 wide, which takes 173 queries
    assert [(p.queries, p.p_value) for p in points] == [(320, None), (640, None)]
    assert grow(method, SUSPECT, dataclasses.replace(answer, score=None)) == ()


def test_a_part_on_which_a_model_answers_alike_is_no_draw() -> None:
    values = np.zeros((64, 2), np.float32)
    values[0, 0] = 1
    suspect = Responses(values, "logits", "q")
    source = Responses(np.random.default_rng(0).normal(size=(64, 2)), "logits", "q")
    method = Similarity("linear CKA").fit(ReferenceSet(source))
    answer = Answer("knowledge", "linear CKA", "inconclusive", "", 0.1)
    points = grow(method, suspect, answer, draws=8)
    assert points[-1].queries == 64 and all(p.draws < 8 for p in points)


class Another:
    name, question, asks, settings = "another", "knowledge", "training", {}

    def check_queries(self, suspect):
        pass

    def reads(self, suspect):
        return None

    def score(self, suspect):
        return 1.0

    def to_arrays(self):
        return {}, {}

    @classmethod
    def from_arrays(cls, about, arrays):
        return cls()


def test_of_another_method_only_all_queries_are_known() -> None:
    with pytest.raises(ValueError, match=r"Another cannot be restricted to fewer queries"):
        restrict(Another(), HALF, "half")
    answer = Answer("knowledge", "another", "inconclusive", "", 1.0)
    assert [point.queries for point in grow(Another(), SUSPECT, answer)] == [640]
