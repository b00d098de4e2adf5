import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.answers import save_answers
from mgmp_jax.report import Answer, Report
from mgmp_jax.responses import Responses
from mgmp_jax.statements import (
    PREDICATE_TYPE,
    check_in_toto,
    report_from_json,
    report_to_in_toto,
)
from tests.reports import OTHERS, PAIRS, as_json

RESPONSES = Responses(np.random.default_rng(0).normal(size=(9, 3)), "logits", "q", "theirs")


def judged(knowledge: str = "homologous", lineage: str = "inconclusive") -> Report:
    last = (0.9, 0.05, OTHERS, "q", RESPONSES.digest)
    return Report(
        "theirs",
        (
            Answer("knowledge", "MGMP", knowledge, "By DNA.", *last),
            Answer("lineage", "sibling test", lineage, "By z.", *last),
        ),
    )


@pytest.mark.parametrize(("knowledge", "lineage"), PAIRS)
def test_a_statement_is_parsed_by_in_totos_own_package(
    knowledge: str, lineage: str, tmp_path: Path
) -> None:
    v1 = pytest.importorskip(
        "in_toto_attestation.v1.statement", reason="pip install 'mgmp_jax[statements]'"
    )
    from google.protobuf import json_format

    RESPONSES.save(tmp_path / "theirs.npz")
    content = as_json(judged(knowledge, lineage))
    statement = report_to_in_toto(content, tmp_path / "theirs.npz")
    check_in_toto(statement)
    text = json.dumps(statement)
    parsed = v1.Statement([], "", {})
    json_format.Parse(text, parsed.pb)
    parsed.validate()
    digest = hashlib.sha256((tmp_path / "theirs.npz").read_bytes()).hexdigest()
    assert parsed.pb.subject[0].name == "theirs"
    assert dict(parsed.pb.subject[0].digest) == {"sha256": digest}
    assert parsed.pb.predicate_type == PREDICATE_TYPE
    back = json.loads(json_format.MessageToJson(parsed.pb))
    check_in_toto(back)  # in which every number is a float
    assert report_from_json(back["predicate"]) == judged(knowledge, lineage)
    assert "base_model" not in text


def test_the_file_is_the_one_that_was_judged(tmp_path: Path) -> None:
    content = as_json(judged())
    other = Responses(RESPONSES.values + 1, "logits", "q", "theirs")
    other.save(tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"holds other answers than the report of 'theirs'"):
        report_to_in_toto(content, tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match=r"no answers at"):
        report_to_in_toto(content, tmp_path / "none.npz")
    save_answers(tmp_path / "both.npz", {"training": RESPONSES, "unseen": other})
    assert report_to_in_toto(content, tmp_path / "both.npz")["subject"][0]["name"] == "theirs"


def test_what_is_no_statement_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("in_toto_attestation", reason="pip install 'mgmp_jax[statements]'")
    RESPONSES.save(tmp_path / "theirs.npz")
    good = report_to_in_toto(as_json(judged()), tmp_path / "theirs.npz")
    for name, wrong, message in (
        ("_type", "https://in-toto.io/Statement/v0.1", "no in-toto Statement"),
        ("subject", [], "no in-toto Statement"),
        ("subject", [{"name": "theirs"}], "no in-toto Statement"),
        ("predicateType", "https://example.org/other", "its predicate is of type"),
        ("predicate", {"schema": "other"}, "no readable report"),
        ("more", 1, "no in-toto Statement"),
    ):
        with pytest.raises(ValueError, match=message):
            check_in_toto({**good, name: wrong})
