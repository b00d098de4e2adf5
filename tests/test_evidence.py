from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import files
from mgmp_jax.evidence import Evidence, gather_evidence
from mgmp_jax.methods import EXTENDED, MGMP, PAPER_WITHOUT_GENERATOR, SiblingTest, Similarity
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.families import Family

METHODS = [MGMP(EXTENDED.replace(epochs=30)), SiblingTest(), Similarity("linear CKA")]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(480, seed=5)


@pytest.fixture(scope="module")
def verifier(family: Family) -> Verifier:
    return Verifier.fit(family.references(tasks=2, siblings=4, controls=4), METHODS)


@pytest.fixture(scope="module")
def suspect(family: Family) -> Responses:
    return family.tuned(family.own, name="theirs")


@pytest.fixture(scope="module")
def evidence(verifier: Verifier, suspect: Responses) -> Evidence:
    return gather_evidence(verifier, suspect, level=0.1)


def test_it_holds_the_report_of_the_verifier(
    verifier: Verifier, suspect: Responses, evidence: Evidence
) -> None:
    assert evidence.report == verifier.verify(suspect, level=0.1)
    assert (evidence.source, evidence.threshold, evidence.level) == ("source", 0.9, 0.1)
    assert [one.method for one in evidence.conditions] == ["MGMP", "sibling test", "linear CKA"]
    assert [one.query_set for one in evidence.conditions] == ["training", "unseen", "training"]
    assert {(one.queries, one.kind, one.width) for one in evidence.conditions} == {
        (480, "logits", 5)
    }
    assert evidence.conditions[0].settings["config"]["epochs"] == 30
    assert evidence.conditions[1].settings["background"] == "others"
    assert evidence.references == {
        "source": 1,
        "pool homologous": 2,
        "pool non_homologous": 2,
        "siblings": 4,
        "controls": 4,
    }


def test_models_are_counted_once_whatever_they_were_asked(family: Family) -> None:
    def asked(model: Responses) -> dict[str, Responses]:
        return {"training": model, "unseen": model.to("probabilities")}

    controls = [asked(family.tuned(family.noise())) for _ in range(3)]
    siblings = [asked(family.model(family.noise())) for _ in range(3)]
    source = asked(family.model(family.own, name="mine"))
    references = ReferenceSet(source, [], siblings, controls)
    verifier = Verifier.fit(references, [Similarity("linear CKA"), SiblingTest()])
    suspect = asked(family.tuned(family.own))
    found = gather_evidence(verifier, suspect)
    assert found.references == {"source": 1, "siblings": 3, "controls": 3}
    for digest, name in zip(found.source_digests, found.source_queries, strict=True):
        assert digest == source[name].digest
    assert found.calibrated_by == "the 3 controls, which question 2 uses too"
    others = verifier.calibrate([asked(family.tuned(family.noise()))])
    assert (
        gather_evidence(others, suspect).calibrated_by
        == "models of their own (1), not the controls"
    )
    mixed = verifier.calibrate([*controls, asked(family.tuned(family.noise()))])
    assert gather_evidence(mixed, suspect).calibrated_by == "4 models, controls among them"
    bare = Verifier(verifier.methods, (), verifier.known)
    assert gather_evidence(bare, suspect).calibrated_by == "none"


def test_fragments_are_drawn_evenly_and_all_scores_kept(
    verifier: Verifier, suspect: Responses, evidence: Evidence
) -> None:
    found, method = evidence.fragments, verifier.methods[0]
    assert found is not None and found.source.shape == found.suspect.shape == (300, 6)
    source, target = method.fragments(suspect)
    places = [int(np.flatnonzero((source == row).all(axis=1))[0]) for row in found.source]
    assert places[0] == 0 and places[-1] == 479 and set(np.diff(places)) == {1, 2}
    np.testing.assert_array_equal(found.suspect, target[places])
    assert np.mean(found.scores, dtype=np.float64) == evidence.report.knowledge.score


def test_labels_alone_are_enough(verifier: Verifier, suspect: Responses) -> None:
    labels = suspect.to("labels")
    found = gather_evidence(verifier, labels)
    assert found.report == verifier.verify(labels)
    assert found.conditions[1].kind == "labels"
    assert found.growth["lineage"][-1].p_value == found.report.lineage.p_value


def test_few_queries_are_all_drawn() -> None:
    few = Family(60, seed=6)
    verifier = Verifier.fit(few.references(tasks=3), [MGMP(EXTENDED.replace(epochs=2))])
    found = gather_evidence(verifier, few.tuned(few.own)).fragments
    assert found is not None and found.source.shape == (60, 6)


def test_saved_and_loaded_it_is_the_same(evidence: Evidence, tmp_path: Path) -> None:
    evidence.save(tmp_path / "a.npz")
    evidence.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = Evidence.load(tmp_path / "a.npz")
    for name in (
        "report",
        "conditions",
        "growth",
        "references",
        "source_digests",
        "source_queries",
    ):
        assert getattr(loaded, name) == getattr(evidence, name), name
    assert loaded.fragments is not None and evidence.fragments is not None
    for name in ("source", "suspect", "scores"):
        np.testing.assert_array_equal(
            getattr(loaded.fragments, name), getattr(evidence.fragments, name)
        )


def test_what_no_method_reads_is_kept_without_fragments(tmp_path: Path) -> None:
    family = Family(60, seed=8)
    pool = [
        Pair(str(i), [family.tuned(family.own, 6)], [family.tuned(family.noise(), 6)])
        for i in range(2)
    ]
    method = MGMP(PAPER_WITHOUT_GENERATOR.replace(epochs=1))
    verifier = Verifier.fit(ReferenceSet(family.model(family.own), pool), [method])
    unread = gather_evidence(verifier, family.tuned(family.own, 3))
    assert unread.fragments is None and unread.growth == {"knowledge": ()}
    unread.save(tmp_path / "e.npz")
    loaded = Evidence.load(tmp_path / "e.npz")
    assert loaded.report == unread.report and loaded.fragments is None


def test_other_files_are_refused(suspect: Responses, evidence: Evidence, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no evidence at"):
        Evidence.load(tmp_path / "none.npz")
    suspect.save(tmp_path / "r.npz")
    with pytest.raises(ValueError, match=r"no readable file of evidence .* verify the suspect"):
        Evidence.load(tmp_path / "r.npz")
    evidence.save(tmp_path / "e.npz")
    arrays, about = files.read_arrays(tmp_path / "e.npz")
    about["report"]["answers"][0]["verdict"] = "guilty"
    files.write_arrays(tmp_path / "f.npz", arrays, about)
    with pytest.raises(ValueError, match=r"an answer is 'guilty' to 'knowledge'"):
        Evidence.load(tmp_path / "f.npz")
    whole = (tmp_path / "e.npz").read_bytes()
    (tmp_path / "e.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is damaged"):
        Evidence.load(tmp_path / "e.npz")


def test_a_model_of_the_reference_set_is_refused(family: Family, verifier: Verifier) -> None:
    with pytest.raises(ValueError, match=r"a model of the reference set"):
        gather_evidence(verifier, verifier.calibration[0])
