import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.methods import EXTENDED, MGMP, PAPER_WITHOUT_GENERATOR, SiblingTest, Similarity
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.report import Answer, Report, false_positive_bound
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.families import Family

METHOD = MGMP(EXTENDED.replace(batch_size=100))


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(500)


@pytest.fixture(scope="module")
def references(family: Family) -> ReferenceSet:
    return family.references(siblings=19, controls=19)


@pytest.fixture(scope="module")
def verifier(references: ReferenceSet) -> Verifier:
    return Verifier.fit(references, [METHOD, SiblingTest(), Similarity("linear CKA")])


def test_a_descendant_is_homologous_to_both_questions(family: Family, verifier: Verifier) -> None:
    report = verifier.verify(family.tuned(family.own, name="theirs"))
    assert (report.knowledge.verdict, report.lineage.verdict) == ("homologous", "homologous")
    for answer in (report.knowledge, report.lineage):
        assert answer.p_value == answer.least_p == 0.05 and answer.m == 19
        assert answer.false_positive_bound == pytest.approx(0.146, abs=1e-3)
    assert report.knowledge.method == "MGMP" and report.lineage.method == "sibling test"
    assert "theirs" in str(report) and "m = 19, least p 0.05" in str(report)
    assert "beating all m at most 14.6% (95 % bound)" in str(report.knowledge)
    assert "beating all m" not in str(report.lineage)
    assert [answer.method for answer in report.answers] == ["MGMP", "sibling test", "linear CKA"]


@pytest.mark.parametrize(
    "disguise",
    [lambda y: y[:, ::-1], lambda y: y / 3, lambda y: y + 20, lambda y: np.maximum(y, -1)],
    ids=["permuted", "scaled", "shifted", "clipped"],
)
def test_a_disguised_descendant_is_homologous(family: Family, verifier: Verifier, disguise) -> None:
    suspect = disguise(family.tuned(family.own).values)
    report = verifier.verify(Responses(suspect, "logits", family.queries))
    assert (report.knowledge.verdict, report.lineage.verdict) == ("homologous", "homologous")


def test_references_and_verifiers_are_shown_in_a_line(
    references: ReferenceSet, verifier: Verifier
) -> None:
    assert re.fullmatch(
        r"ReferenceSet\(\d+ pairs, \d+ siblings, \d+ controls, 0 calibration\)", repr(references)
    )
    assert re.fullmatch(
        r"Verifier\(MGMP, .*sibling test.*; \d+ calibration models\)", repr(verifier)
    )


def test_an_innocent_is_not(family: Family, verifier: Verifier) -> None:
    report = verifier.verify(family.tuned(family.noise()))
    assert (report.knowledge.verdict, report.lineage.verdict) == ("not homologous", "inconclusive")
    assert "no evidence of innocence" in report.lineage.reason
    assert "beating all m" not in str(report)


def test_the_source_itself_may_be_asked(references: ReferenceSet, verifier: Verifier) -> None:
    report = verifier.verify(references.source)
    assert (report.knowledge.verdict, report.lineage.verdict) == ("inconclusive", "homologous")
    assert "fewer coordinates vary than the 6" in report.knowledge.reason  # of all controls
    assert all("the answers of the source itself" in answer.reason for answer in report.answers)


def test_a_model_of_the_reference_set_is_no_suspect(
    references: ReferenceSet, verifier: Verifier
) -> None:
    for model, place in (
        (references.siblings[3], r"siblings\[3\]"),
        (references.pool[1].homologous[0], r"pool 'task 1' homologous\[0\]"),
        (references.controls[0], r"controls\[0\]"),
    ):
        with pytest.raises(ValueError, match=f"gives the answers of {place}, a model of the ref"):
            verifier.verify(model)


def test_calibration_on_models_that_trained_it_is_refused(
    family: Family, references: ReferenceSet, verifier: Verifier
) -> None:
    with pytest.raises(ValueError, match=r"pool 'task 0' non_homologous.*no p-value holds"):
        verifier.calibrate([family.tuned(family.noise()), references.pool[0].non_homologous[0]])
    with pytest.raises(ValueError, match=r"non_homologous.* and calibration.* give equal answers"):
        dataclasses.replace(references, calibration=[references.pool[0].non_homologous[0]])
    one = family.tuned(family.noise())
    with pytest.raises(ValueError, match=r"calibration models 0 and 1 give equal answers"):
        verifier.calibrate([one, one])
    again = verifier.calibrate([family.tuned(family.noise()) for _ in range(4)])
    answer = again.verify(family.tuned(family.own)).knowledge
    assert (answer.m, answer.verdict) == (4, "inconclusive")
    assert (
        "4 calibration models allow no p below 0.2; for p ≤ 0.05 give at least 19" in answer.reason
    )


def test_the_source_calibrates_nothing_and_controls_may(
    family: Family, references: ReferenceSet, verifier: Verifier
) -> None:
    with pytest.raises(ValueError, match="gives the answers of source, a model of the reference"):
        verifier.calibrate([references.source])
    more = [*references.controls, family.tuned(family.noise())]
    assert verifier.calibrate(more).verify(family.tuned(family.own)).knowledge.m == 20
    rounded = Responses(references.controls[0].values.round(5), "logits", family.queries)
    with pytest.raises(ValueError, match="calibration models 0 and 1 give equal answers"):
        verifier.calibrate([references.controls[0], rounded])


def test_answers_to_other_queries_are_refused(family: Family, verifier: Verifier) -> None:
    other = Responses(family.tuned(family.own).values, "logits", "others", "theirs")
    short = Responses(other.values[:300], "logits", family.queries, "theirs")
    for method in verifier.methods:
        alone = Verifier((method,), verifier.calibration, verifier.known)
        for answers in (other, short):
            with pytest.raises(ValueError, match=r"theirs.* quer[iy]"):
                alone.verify(answers)
            with pytest.raises(ValueError, match=r"theirs.* quer[iy]"):
                alone.calibrate([answers])
    with pytest.raises((ValueError, TypeError), match=r"with Responses|Type-check error"):
        verifier.verify({"training": other.values, "unseen": other.values})


def test_calibration_models_that_cannot_be_compared_leave_no_accusation(
    family: Family, verifier: Verifier
) -> None:
    stolen = family.tuned(family.own)
    first_two = np.sort(stolen.values, axis=1)[:, -2:-1]
    kept = np.where(stolen.values >= first_two, np.exp(stolen.values), 0)
    top = Responses(kept / (kept.sum(axis=1, keepdims=True) + 1), "top-k", family.queries)
    for number, method in enumerate(verifier.methods):
        if method.question == "knowledge":
            alone = Verifier((method,), verifier.calibration, verifier.known)
            answer = alone.verify(top, threshold=0.5).knowledge
            assert answer.verdict == "inconclusive" and answer.p_value is None, number
            assert answer.reason == (
                "The score has no p-value. 19 of 19 calibration models cannot be compared with a "
                "suspect that answers with top-k: record their top-k."
            )
    plain = Verifier.fit(
        ReferenceSet(
            family.model(family.own, "source"),
            [
                Pair(f"{i}", [family.tuned(family.own, 6)], [family.tuned(family.noise(), 6)])
                for i in range(2)
            ],
        ),
        [MGMP(PAPER_WITHOUT_GENERATOR.replace(epochs=1))],
    ).calibrate([family.tuned(family.noise(), 5), family.tuned(family.noise(), 6)])
    reason = plain.verify(family.tuned(family.own, 6)).knowledge.reason
    assert "1 of 2 calibration models cannot be compared with a suspect that answers" in reason
    assert "must be equally wide" in reason and "record their" not in reason
    same = [Responses(np.abs(top.values.round(3)), "top-k", family.queries) for _ in range(1)]
    few = verifier.calibrate([*verifier.calibration, *same])
    assert "19 of 20 calibration models cannot be compared" in few.verify(top).knowledge.reason


def test_without_calibration_there_is_no_error_rate(family: Family) -> None:
    bare = family.references()
    answer = Verifier.fit(bare, [METHOD]).verify(family.tuned(family.own)).knowledge
    assert answer.p_value is None and answer.verdict == "homologous"
    assert "no error rate" in answer.reason and "No sibling of the source is in" in answer.reason


def test_a_high_score_beside_a_large_p_is_no_accusation(family: Family, verifier: Verifier) -> None:
    alike = verifier.calibrate([family.tuned(family.own) for _ in range(19)])
    answer = alike.verify(family.tuned(family.own)).knowledge
    assert answer.score is not None and answer.score > 0.9
    assert answer.verdict == "inconclusive" and "calibration models score as high" in answer.reason


@pytest.mark.parametrize(("alike", "said"), [(0, "above all 19"), (1, "above all but 1 of 39")])
def test_the_reason_counts_models(
    family: Family, verifier: Verifier, alike: int, said: str
) -> None:
    unrelated = [family.tuned(family.noise()) for _ in range(19 * (1 + alike))]
    near = [family.tuned(family.own) for _ in range(alike)]
    suspect = family.tuned(family.own)
    scores = [verifier.methods[0].score(one) for one in (*near, suspect)]
    if alike and scores[0] < scores[1]:
        near, suspect = [suspect], near[0]
    answer = verifier.calibrate([*unrelated, *near]).verify(suspect).knowledge
    assert answer.verdict == "homologous" and f"{said} calibration models" in answer.reason


def test_methods_are_chosen_by_what_there_is(family: Family) -> None:
    references = family.references(siblings=3)
    siblings = dataclasses.replace(references, pool=[])
    report = Verifier.fit(siblings).verify(family.tuned(family.own))
    assert report.knowledge.reason == (
        "Not asked: no method of the verifier answers it; MGMP needs a pool to learn from."
    )
    assert "3 siblings allow no p below 0.25" in report.lineage.reason
    with pytest.raises(ValueError, match=r"nothing can be asked"):
        Verifier.fit(dataclasses.replace(siblings, siblings=[]))


def test_a_calibration_model_is_no_suspect_rounded_or_as_labels(family: Family) -> None:
    references = family.references(0, siblings=3, controls=3)
    verifier, control = Verifier.fit(references), references.controls[1]
    rounded = Responses(np.round(control.values, 5), "logits", control.queries)
    for suspect in (rounded, control.to("labels")):
        with pytest.raises(ValueError, match=r"answers as calibration model 1"):
            verifier.verify(suspect)


@pytest.mark.parametrize("controls", [0, 5])
def test_lineage_without_controls_says_so(family: Family, controls: int) -> None:
    verifier = Verifier.fit(family.references(0, siblings=19, controls=controls))
    lineage = verifier.verify(family.tuned(family.own)).lineage
    assert lineage.verdict == "homologous"
    assert ("No control was known" in lineage.reason) == (controls == 0)


def test_a_method_that_cannot_read_a_suspect_says_why(family: Family) -> None:
    pool = [
        Pair(str(i), [family.tuned(family.own, 6)], [family.tuned(family.noise(), 6)])
        for i in range(2)
    ]
    config = PAPER_WITHOUT_GENERATOR.replace(epochs=1)
    references = ReferenceSet(family.model(family.own), pool)
    verifier = Verifier.fit(references, [MGMP(config)])
    answer = verifier.verify(family.tuned(family.own, 6).to("labels")).knowledge
    assert answer.verdict == "inconclusive" and answer.score is None
    assert "are labels, which cannot be converted to logits" in answer.reason
    assert "6 and 3 wide" in verifier.verify(family.tuned(family.own, 3)).knowledge.reason


@pytest.mark.filterwarnings("ignore:.* sums to 1")
@pytest.mark.parametrize(
    "values",
    [
        np.eye(500, 6)[np.zeros(500, int)],
        np.full((500, 6), -1e3),
    ],
)
def test_a_suspect_that_answers_every_query_alike_is_refused(verifier: Verifier, values) -> None:
    with pytest.raises(ValueError, match=r"answers every query alike"):
        verifier.verify(Responses(values, "logits", "q"))


@pytest.mark.filterwarnings("ignore:.* sums to 1")
def test_degenerate_suspects_are_never_accused(family: Family, verifier: Verifier) -> None:
    rng = np.random.default_rng(99)  # not the family's seed
    source = family.model(family.own).values
    one_row = np.zeros((500, 6))
    one_row[3] = 1
    for values in (
        one_row,
        1e14 * rng.normal(size=(500, 6)),
        1e-14 * rng.normal(size=(500, 6)),
        source[rng.permutation(500)],
        np.eye(6)[rng.integers(6, size=500)],
        np.repeat(rng.normal(size=(500, 1)), 6, axis=1),
        rng.normal(size=(500, 190)),
    ):
        report = verifier.verify(
            Responses(values, "embedding" if values.shape[1] > 6 else "logits", "q")
        )
        assert report.knowledge.verdict != "homologous"
        assert report.knowledge.score is None or np.isfinite(report.knowledge.score)


def test_several_query_sets_are_asked_by_name(family: Family) -> None:
    unseen = Family(500, seed=1, queries="unseen digest")

    def named(training: Responses, other: Responses) -> dict[str, Responses]:
        return {"training": training, "unseen": other}

    pool = [
        Pair(
            str(i),
            [named(family.tuned(family.own), unseen.tuned(unseen.own))],
            [named(family.tuned(family.noise()), unseen.tuned(unseen.noise()))],
        )
        for i in range(4)
    ]
    references = ReferenceSet(
        named(family.model(family.own), unseen.model(unseen.own)),
        pool,
        [named(family.model(family.noise()), unseen.model(unseen.noise())) for _ in range(19)],
    )
    verifier = Verifier.fit(references, [METHOD, SiblingTest()])
    report = verifier.verify(named(family.tuned(family.own), unseen.tuned(unseen.own)))
    assert (report.knowledge.verdict, report.lineage.verdict) == ("homologous", "homologous")
    with pytest.raises(ValueError, match=r"none called 'unseen'"):
        verifier.verify({"training": family.tuned(family.own)})


def test_saved_and_loaded_it_says_the_same(
    family: Family, references: ReferenceSet, verifier: Verifier, tmp_path: Path
) -> None:
    verifier.save(tmp_path / "v")
    verifier.save(tmp_path / "v")
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["verifier.npz"]
    loaded = Verifier.load(tmp_path / "v")
    for suspect in (family.tuned(family.own), family.tuned(family.noise()).to("labels")):
        assert loaded.verify(suspect) == verifier.verify(suspect)
    with pytest.raises(ValueError, match=r"a model of the reference set"):
        loaded.calibrate([references.siblings[0]])


def test_a_damaged_verifier_is_refused_wherever_a_bit_flips(family: Family, tmp_path: Path) -> None:
    small = Verifier.fit(Family(40).references(tasks=2), [MGMP(EXTENDED.replace(epochs=1))])
    small.save(tmp_path)
    path, rng = tmp_path / "verifier.npz", np.random.default_rng(0)
    whole = path.read_bytes()
    accepted = 0
    for place in rng.integers(len(whole), size=300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            loaded = Verifier.load(tmp_path)
        except ValueError as error:
            assert "verifier" in str(error)
            continue
        accepted += 1  # in the zip's own bookkeeping: nothing that is read has changed
        np.testing.assert_array_equal(
            loaded.methods[0].to_arrays()[1]["source"], small.methods[0].to_arrays()[1]["source"]
        )
    assert accepted < 30
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"is damaged"):
            Verifier.load(tmp_path)


def test_there_is_no_verifier_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no verifier in"):
        Verifier.load(tmp_path)


def test_arguments_are_checked(family: Family, verifier: Verifier) -> None:
    suspect = family.tuned(family.own)
    with pytest.raises(ValueError, match=r"threshold must be from 0.5 to 1, got 0.4"):
        verifier.verify(suspect, threshold=0.4)
    with pytest.raises(ValueError, match=r"level must be between 0 and 1, got 0.0"):
        verifier.verify(suspect, level=0.0)
    with pytest.raises(ValueError, match=r"different query sets"):
        verifier.verify(Responses(suspect.values, "logits", "others"))


def test_the_bound_of_the_false_positive_rate() -> None:
    assert false_positive_bound(19) == pytest.approx(0.146, abs=5e-4)
    assert false_positive_bound(99) == pytest.approx(0.030, abs=5e-4)
    assert false_positive_bound(0) == 1


def test_the_first_method_of_a_question_answers_it() -> None:
    answers = tuple(Answer("knowledge", m, "inconclusive", "") for m in ("a", "b"))
    assert Report("s", answers).knowledge.method == "a"
    assert "needs at least two siblings" in Report("s", answers).lineage.reason
