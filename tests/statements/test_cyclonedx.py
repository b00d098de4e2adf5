import json

import pytest

from mgmp_jax.report import Answer, Report
from mgmp_jax.statements import check_cyclonedx, report_to_cyclonedx
from tests.reports import CREATED, PAIRS, as_json, report

NAMES = {"source": "mine", "assessor": "Us"}


def references(found: object) -> list[str]:
    """Every ``bom-ref`` below."""
    if isinstance(found, list):
        return [ref for one in found for ref in references(one)]
    if not isinstance(found, dict):
        return []
    own = [found["bom-ref"]] if "bom-ref" in found else []
    return own + [ref for one in found.values() for ref in references(one)]


@pytest.mark.parametrize(("knowledge", "lineage"), PAIRS)
def test_every_verdict_gives_a_valid_bom(knowledge: str, lineage: str) -> None:
    pytest.importorskip("cyclonedx.validation.json", reason="pip install 'mgmp_jax[statements]'")
    bom = report_to_cyclonedx(as_json(report(knowledge, lineage)), **NAMES)
    check_cyclonedx(bom)
    refs = references(bom)
    assert len(set(refs)) == len(refs)
    found = {claim["bom-ref"]: claim for claim in bom["declarations"]["claims"]}
    assert list(found) == ["knowledge", "lineage"]
    for claim in found.values():
        assert {claim["target"], *claim["evidence"], *claim["counterEvidence"]} <= set(refs)
    assert found["knowledge"]["evidence"] == ["knowledge/0"]
    assert found["knowledge"]["counterEvidence"] == ["knowledge/1", "knowledge/limits"]
    assert found["knowledge"]["reasoning"] == "By DNA."
    assert bom["metadata"]["timestamp"] == CREATED
    open_words = {"inconclusive": "is left open", "not homologous": "n"}
    assert open_words.get(lineage, "depends on the very") in found["lineage"]["predicate"]


@pytest.mark.parametrize(("knowledge", "lineage"), PAIRS)
def test_only_a_shown_lineage_makes_a_variant_and_nothing_an_ancestor(
    knowledge: str, lineage: str
) -> None:
    bom = report_to_cyclonedx(as_json(report(knowledge, lineage)), **NAMES)
    pedigree = bom["metadata"]["component"].get("pedigree", {})
    names = [variant["name"] for variant in pedigree.get("variants", [])]
    assert names == (["mine"] if lineage == "homologous" else [])
    text = json.dumps(bom)
    assert "ancestors" not in text and "base_model" not in text and "descendants" not in text


def test_a_question_that_was_not_asked_is_left_open() -> None:
    pytest.importorskip("cyclonedx.validation.json", reason="pip install 'mgmp_jax[statements]'")
    given = Report("", (Answer("knowledge", "MGMP", "homologous", "So.", 1.0),))
    bom = report_to_cyclonedx(as_json(given), third_party=True, **NAMES)
    check_cyclonedx(bom)
    assert "left open" in bom["declarations"]["claims"][1]["predicate"]
    assert bom["declarations"]["assessors"][0]["thirdParty"] is True


def test_the_same_report_gives_the_same_bom_and_another_another() -> None:
    one, same, other = (
        report_to_cyclonedx(as_json(report("homologous", lineage)), **NAMES)
        for lineage in ("inconclusive", "inconclusive", "homologous")
    )
    assert one == same and one["serialNumber"] != other["serialNumber"]


def test_what_is_no_bom_is_refused() -> None:
    pytest.importorskip("cyclonedx.validation.json", reason="pip install 'mgmp_jax[statements]'")
    content = as_json(report("homologous", "homologous"))
    bom = report_to_cyclonedx(content, **NAMES)
    for name, wrong in (("specVersion", 1.7), ("declarations", {"claims": 3}), ("more", 1)):
        with pytest.raises(ValueError, match=r"no CycloneDX 1.7"):
            check_cyclonedx({**bom, name: wrong})
    with pytest.raises(ValueError, match=r"must be names, got an empty one"):
        report_to_cyclonedx(content, source="", assessor="Us")
