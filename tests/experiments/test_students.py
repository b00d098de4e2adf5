"""experiments/students.py: who is taught by whom, and the statistics that find the teacher.

A whole run is in test_compare.py.
"""

import dataclasses

import numpy as np
import pytest
import scipy.special
import students

from mgmp_jax.responses import Responses


def test_ten_candidates_teach_a_student_of_each_kind(small) -> None:
    made = students.make_students(small, students.Args(preset="small"))
    assert len(made) == 6
    everybody = [spec for specs in made.values() for spec in specs]
    assert len({spec.address for spec in everybody}) == 60
    for kind, specs in made.items():
        assert [spec.teacher for spec in specs] == list(small.candidates[:10])
        assert {spec.answers for spec in specs} == {kind.split(",")[0]}
        assert {spec.arch for spec in specs} == {"alexnet" if "arch" in kind else "resnet18"}
        own = "own images" in kind
        assert {spec.data for spec in specs} == {"cifar10" if own else "cifar100"}
        assert {spec.skip for spec in specs} == {20_000 if own else 0}
        assert {spec.num_examples for spec in specs} == {5000}


def of_logits(logits: np.ndarray) -> np.ndarray:
    return scipy.special.log_softmax(logits, axis=-1)


def test_statistics_are_highest_for_the_teacher() -> None:
    rng = np.random.default_rng(0)
    known = 2 * rng.normal(size=(2000, 10))
    candidates = of_logits(known + rng.normal(size=(8, 2000, 10)))
    for teacher in (0, 5):
        student = of_logits(candidates[teacher] + 0.5 * rng.normal(size=(2000, 10)))
        for name, compare in students.STATISTICS.items():
            assert compare(candidates, student).argmax() == teacher, name
    label = of_logits(100 * np.eye(10)[candidates[3].argmax(axis=1)])
    assert students.own_labels(candidates, label).argmax() == 3


def test_the_own_part_is_a_correlation_beyond_what_all_say() -> None:
    rng = np.random.default_rng(0)
    candidates = of_logits(rng.normal(size=(4, 500, 10)))
    itself = students.own_part(candidates, candidates[2])
    assert itself[2] == pytest.approx(1) and abs(itself[[0, 1, 3]]).max() < 0.7
    shifted = students.own_part(candidates, candidates[2] + rng.normal(size=(500, 1)))
    np.testing.assert_allclose(shifted, itself, atol=1e-9)


@pytest.mark.parametrize("name", students.STATISTICS)
def test_statistics_treat_all_candidates_alike(name: str) -> None:
    rng = np.random.default_rng(0)
    candidates, student = (
        of_logits(rng.normal(size=(6, 200, 10))),
        of_logits(rng.normal(size=(200, 10))),
    )
    order, compare = rng.permutation(6), students.STATISTICS[name]
    exchanged = compare(candidates[order], student)
    np.testing.assert_allclose(exchanged, compare(candidates, student)[order], rtol=1e-9)


def test_places_are_counted_from_one_for_the_own_teacher(small, answers, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    controls = tuple(small.row.source.sibling(seed) for seed in (201, 202))
    made = students.make_students(small, students.Args(preset="small"))
    taught, strangers = made["probabilities, own images"][:3], made["labels, own images"]
    known = dict(answers)
    for spec in (*controls, *strangers):
        known[spec] = Responses(rng.normal(size=(300, 10)), "logits", "q")
    for spec in taught:
        noise = 0.3 * rng.normal(size=(300, 10))
        known[spec] = Responses(answers[spec.teacher].values + noise, "logits", "q")
    cohort = dataclasses.replace(small, controls=controls)
    found = students.places(cohort, [*taught, *strangers], known)
    assert {f"sibling test: {', '.join(way)}" for way in students.SIBLING_TESTS} <= set(found)
    for name, of_students in found.items():
        assert of_students[:3] == [1, 1, 1], name
        assert 3 <= np.mean(of_students[3:]) <= 8, name  # 5.5 by chance
        assert all(1 <= place <= 10 for place in of_students), name
    assert set(students.agreement(taught, known).values()) != {0.0}
    monkeypatch.setitem(
        students.STATISTICS, "guess", lambda candidates, _: candidates[:, 0, 0] * np.nan
    )
    with pytest.raises(ValueError, match="guess is not finite for some students"):
        students.places(cohort, strangers, known)
