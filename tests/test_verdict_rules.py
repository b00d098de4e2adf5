"""Verdicts on knowledge: where δ holds, where p decides alone, and what has no p."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mgmp_jax.evidence import gather_evidence
from mgmp_jax.methods import (
    EXTENDED,
    MGMP,
    PAPER_WITHOUT_GENERATOR,
    FittedSimilarity,
    Similarity,
)
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.report import Report, conformal_p
from mgmp_jax.responses import Responses
from mgmp_jax.similarities import linear_cka
from mgmp_jax.statements.report_json import report_to_json
from mgmp_jax.verifier import Verifier
from tests.families import Family

METHOD = MGMP(EXTENDED.replace(batch_size=100))


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(500)


@pytest.fixture(scope="module")
def references(family: Family) -> ReferenceSet:
    return family.references(controls=19)


@pytest.fixture(scope="module")
def verifier(references: ReferenceSet) -> Verifier:
    return Verifier.fit(references, [METHOD])


def test_no_threshold_holds_for_a_kind_that_no_model_of_the_pool_answered(
    family: Family, references: ReferenceSet, verifier: Verifier
) -> None:
    stolen, innocent = family.tuned(family.own), family.tuned(family.noise())
    method = verifier.methods[0]
    assert method.score(stolen.to("labels")) < 0.9 <= method.score(stolen)
    found = verifier.verify(stolen.to("labels")).knowledge
    assert (found.verdict, found.p_value) == ("homologous", 0.05)
    assert "learned from logits, so δ does not hold for the suspect's labels" in found.reason
    found = verifier.verify(innocent.to("labels")).knowledge
    assert found.verdict == "inconclusive" and found.p_value is not None
    bare = Verifier(verifier.methods[:1], (), {})
    found = bare.verify(stolen.to("labels")).knowledge
    assert found.verdict == "inconclusive" and "without calibration models" in found.reason
    pool = [
        Pair(
            p.task,
            [m.to("labels") for m in p.homologous],
            [m.to("labels") for m in p.non_homologous],
        )
        for p in references.pool
    ]
    labels = Verifier.fit(dataclasses.replace(references, pool=pool), [METHOD])
    assert "δ does not hold" not in labels.verify(stolen.to("labels")).knowledge.reason
    assert "δ does not hold" in labels.verify(stolen).knowledge.reason


def test_models_narrower_than_a_suspect_give_it_no_p(
    family: Family, verifier: Verifier, references: ReferenceSet
) -> None:
    for start in (family.noise(), family.own):
        wide = family.tuned(start, width=9)
        for suspect in (wide, wide.to("probabilities")):
            found = verifier.verify(suspect).knowledge
            assert (found.p_value, found.m) == (None, 0) and found.verdict != "homologous"
    assert "fewer coordinates vary than the 9 of the suspect's" in found.reason
    few = [family.tuned(family.noise(), width=9) for _ in range(3)]
    more = verifier.calibrate([*references.controls, *few])
    assert more.verify(wide).knowledge.m == 3
    assert "19 of 22 calibration models cannot be compared" in more.verify(wide).knowledge.reason
    narrow = family.tuned(family.own, width=4)
    assert more.verify(narrow).knowledge.m == 22


@pytest.mark.parametrize("name", ["LEEP", "linear CKA"])
def test_a_similarity_is_compared_among_models_of_one_width(
    family: Family, references: ReferenceSet, name: str
) -> None:
    """LEEP falls with the number of classes: noise of two classes scores above all of five."""
    verifier = Verifier.fit(references, [Similarity(name)])
    noise = np.random.default_rng(3).normal(size=(500, 2))
    for suspect in (noise, np.repeat(noise, 4, axis=1)):
        found = verifier.verify(Responses(suspect, "logits", family.queries)).knowledge
        assert (found.verdict, found.p_value) == ("inconclusive", None)
    assert "another number of coordinates vary than the 8 of the suspect's" in found.reason
    assert verifier.verify(family.tuned(family.noise())).knowledge.m == 19


def test_classes_that_no_answer_names_make_no_model_wide(
    family: Family, references: ReferenceSet
) -> None:
    """Of ten classes calibration models name five, and a suspect eight."""

    def named(number: int, seed: int) -> Responses:
        labels = np.random.default_rng(seed).integers(0, number, 500)
        return Responses(np.eye(10)[labels], "labels", family.queries)

    verifier = Verifier.fit(references, [METHOD]).calibrate([named(5, seed) for seed in range(19)])
    assert verifier.verify(named(8, 20)).knowledge.m == 0
    assert verifier.verify(named(5, 21)).knowledge.m == 19


@pytest.mark.parametrize("others", [[0.1, np.nan], [np.inf]])
def test_a_score_that_is_not_finite_has_no_p(others: list[float]) -> None:
    with pytest.raises(ValueError, match="score that is not finite"):
        conformal_p(0.5, others)
    with pytest.raises(ValueError, match="score that is not finite, got nan"):
        conformal_p(np.nan, [0.1])


def test_a_verifier_with_other_calibration_models_scores_them(
    family: Family, verifier: Verifier
) -> None:
    suspect = family.tuned(family.own)
    verifier.verify(suspect)
    few = dataclasses.replace(verifier, calibration=verifier.calibration[:4])
    assert few.verify(suspect).knowledge.m == 4


def test_calibration_models_come_in_any_sequence_and_are_models(
    family: Family, verifier: Verifier
) -> None:
    models = [family.tuned(family.noise()) for _ in range(4)]
    assert verifier.calibrate(iter(models)).verify(family.tuned(family.own)).knowledge.m == 4
    alike = Responses(np.ones((500, 5)), "logits", family.queries)
    with pytest.raises(ValueError, match="answers every query alike"):
        verifier.calibrate([alike])


def test_a_name_forges_no_verdict() -> None:
    forged = "good\n  knowledge: HOMOLOGOUS. score 1"
    assert str(Report(forged, ())).splitlines()[1].startswith("  knowledge: INCONCLUSIVE")


def test_arguments_of_other_types_are_said_in_a_sentence_without_type_checks() -> None:
    ask = """
from mgmp_jax.methods import MGMP, SiblingTest
from mgmp_jax.verifier import Verifier
from tests.families import Family
family = Family(60)
references = family.references(0, siblings=3, controls=3)
verifier = Verifier.fit(references, [SiblingTest()])
suspect = family.tuned(family.own)
for wrong in (
    lambda: verifier.verify(suspect, level="0.05"),
    lambda: verifier.calibrate(suspect),
    lambda: verifier.calibrate([suspect.values]),
    lambda: Verifier.fit(references, [MGMP]),
    lambda: Verifier.fit(references, [SiblingTest()], seed=-1),
):
    try:
        wrong()
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert len(said) == 5, done.stderr
    for line, part in zip(
        said,
        (
            "level must be between 0 and 1, got '0.05'",
            "give a list of calibration models, each with its Responses; got one",
            "give a model's Responses, got ndarray",
            "give a list of methods, such as [MGMP(), SiblingTest()]",
            "seed must be a whole number, at least 0; got -1",
        ),
        strict=True,
    ):
        assert part in line


def test_calibration_models_are_read_once_for_many_suspects(
    family: Family, references: ReferenceSet, monkeypatch
) -> None:
    verifier = Verifier.fit(references, [Similarity("linear CKA")])
    verifier.verify(family.tuned(family.noise()))
    asked, reads = [], FittedSimilarity.reads
    monkeypatch.setattr(FittedSimilarity, "reads", lambda *a: asked.append(a) or reads(*a))
    verifier.verify(family.tuned(family.noise()))
    assert len(asked) == 1


def test_evidence_of_a_suspect_that_mgmp_cannot_read_is_gathered(family: Family) -> None:
    source = Responses(family.tuned(family.own).values, "logits", family.queries, "source")
    references = dataclasses.replace(family.references(), source=source)
    plain = PAPER_WITHOUT_GENERATOR.replace(epochs=1, response="logits")
    verifier = Verifier.fit(references, [MGMP(plain)])
    evidence = gather_evidence(verifier, family.tuned(family.own).to("labels"))
    assert "Not read: " in evidence.report.knowledge.reason and evidence.fragments is None


class Mine:
    """A method of somebody else, which has what the docs ask for and no more."""

    name, asks = "mine", ""

    def __init__(self, question: str = "knowledge") -> None:
        self.question = question

    def fit(self, references: ReferenceSet, *, seed: int = 0, folder: object = None) -> "Mine":
        self.source = references.source
        return self

    def check_queries(self, suspect: Responses) -> None: ...

    def reads(self, suspect: Responses) -> str | None:
        return None

    def score(self, suspect: Responses) -> jax.Array:
        return linear_cka(self.source.values, suspect.values)


def test_an_own_method_is_reported_but_not_saved_and_asks_about_knowledge(
    family: Family, references: ReferenceSet, tmp_path: Path
) -> None:
    verifier = Verifier.fit(references, [Mine()])
    found = verifier.verify(family.tuned(family.own))
    assert type(found.knowledge.score) is type(found.knowledge.p_value) is float
    assert hash(found) and json.dumps(report_to_json(found, created="2026-01-01T00:00:00+00:00"))
    with pytest.raises(ValueError, match="Mine is no method that a verifier can save"):
        verifier.save(tmp_path)
    with pytest.raises(ValueError, match="mine must ask about knowledge, not 'lineage'"):
        Verifier.fit(references, [Mine("lineage")])


def test_no_setting_of_jax_changes_what_mgmp_says(family: Family, references: ReferenceSet) -> None:
    few = dataclasses.replace(references, pool=references.pool[:2], controls=())
    method, suspect = MGMP(EXTENDED.replace(epochs=1)), family.tuned(family.own)
    scores = [Verifier.fit(few, [method]).verify(suspect).knowledge.score]
    with jax.default_prng_impl("rbg"):
        scores.append(Verifier.fit(few, [method]).verify(suspect).knowledge.score)
    assert scores[0] == scores[1]
