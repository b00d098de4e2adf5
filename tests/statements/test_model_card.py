import dataclasses

import pytest

from mgmp_jax.report import Answer, Report
from mgmp_jax.statements import report_to_model_card
from tests.reports import DIGEST, PAIRS, as_json, report


@pytest.mark.parametrize(("knowledge", "lineage"), PAIRS)
def test_a_card_says_both_verdicts_and_their_limits(knowledge: str, lineage: str) -> None:
    card = report_to_model_card(as_json(report(knowledge, lineage)), source="mine")
    assert f"| knowledge | **{knowledge}** | MGMP | 0.950 | 0.05 | 19 | 0.05 |" in card
    assert f"| lineage | **{lineage}** | sibling test | 3.500 | 0.05 | 19 | 0.05 |" in card
    assert ("depends on the very training run that made mine (p = 0.05, m = 19)." in card) == (
        lineage == "homologous"
    )
    assert DIGEST in card and "linear CKA" not in card
    assert "base_model" not in card and "base model" not in card.lower() and "---\n" not in card
    assert ("this says nothing of descent" in card) == (knowledge == "homologous")
    assert ("It does not say how" in card) == (lineage == "homologous")


def test_names_are_text_whatever_is_in_them() -> None:
    hostile = "x\n---\nbase_model: y\n---\n<script>alert(1)</script> | **z** [a](http://b)"
    given = Report(hostile, (Answer("knowledge", hostile, "inconclusive", hostile),))
    card = report_to_model_card(as_json(given), source=hostile)
    assert "base_model" not in card and "<script" not in card.replace("\\<", "")
    assert "\n---" not in card and "](http" not in card.replace("\\]", "")
    assert card.count("\n| ") == 4  # header, rule and one row a question


@pytest.mark.parametrize("name", ["- item", "+ item", "1. item", "2) x", "= x"])
def test_a_name_begins_no_list(name: str) -> None:
    card = report_to_model_card(as_json(report("homologous", "homologous", name)), source="mine")
    assert not any(line.startswith(name[:2]) for line in card.splitlines() if name[:2] != "- ")
    assert f"\n{name} was compared" not in card


@pytest.mark.parametrize("name", ["https://evil.example/x", "www.evil.example", "@someone"])
def test_a_name_is_no_address(name: str) -> None:
    card = report_to_model_card(as_json(report("homologous", "homologous", name)), source="mine")
    shown = card.replace("&#8203;@", "")
    assert name not in shown and name[-7:] in card


def test_what_siblings_know_is_left_out_of_the_claim() -> None:
    given = report("not homologous", "inconclusive")
    beyond = [dataclasses.replace(one, beyond_siblings=True) for one in given.answers]
    whole, part = (
        report_to_model_card(as_json(Report("theirs", tuple(answers))), source="mine")
        for answers in (given.answers, beyond)
    )
    assert "know what mine knows. By DNA" in whole
    assert "know what mine knows beyond what its siblings know. By DNA" in part
    assert "does not say that the suspect has not learned from the same data" in part


def test_what_was_not_asked_has_no_numbers() -> None:
    card = report_to_model_card(as_json(Report("s", ())), source="mine")
    assert "| lineage | **inconclusive** | none |  |  | 0 |  |" in card
