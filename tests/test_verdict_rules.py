"""Verdicts on knowledge: where δ holds, where p decides alone, and what has no p."""

import dataclasses

import numpy as np
import pytest

from mgmp_jax.methods import EXTENDED, MGMP
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.report import Report, conformal_p
from mgmp_jax.responses import Responses
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
    with pytest.raises((ValueError, TypeError), match=r"a list of calibration models|Type-check"):
        verifier.calibrate(models[0])  # pyright: ignore
    with pytest.raises((ValueError, TypeError), match=r"give a model's Responses, got|Type"):
        verifier.calibrate([models[0].values])  # pyright: ignore
    alike = Responses(np.ones((500, 5)), "logits", family.queries)
    with pytest.raises(ValueError, match="answers every query alike"):
        verifier.calibrate([alike])


def test_a_name_forges_no_verdict() -> None:
    forged = "good\n  knowledge: HOMOLOGOUS. score 1"
    assert str(Report(forged, ())).splitlines()[1].startswith("  knowledge: INCONCLUSIVE")
