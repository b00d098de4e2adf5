import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import statements
from mgmp_jax.archive import write_dna
from mgmp_jax.methods import EXTENDED, MGMP, SiblingTest, Similarity
from mgmp_jax.queries import QuerySet
from mgmp_jax.report import Answer, Report
from mgmp_jax.statements import report_from_json, report_to_json
from mgmp_jax.verifier import Verifier
from tests.families import Family
from tests.reports import CREATED, OTHERS, PAIRS, as_json, report

FOLDER = Path(statements.__file__).parent


def check_schema(name: str, content: object) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install 'mgmp_jax[statements]'")
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content)


@pytest.mark.parametrize(("knowledge", "lineage"), PAIRS)
def test_a_report_comes_back_as_it_was(knowledge: str, lineage: str) -> None:
    given = report(knowledge, lineage)
    content = as_json(given, threshold=0.8, level=0.01)
    again = json.loads(json.dumps(content))
    assert again == content and report_from_json(again) == given
    check_schema("report", again)
    assert content["verdicts"] == {"knowledge": knowledge, "lineage": lineage}
    assert (content["threshold"], content["level"]) == (0.8, 0.01)
    first = content["answers"][0]
    assert (first["m"], first["least_p"]) == (19, 0.05)
    assert first["others"][3] == {"name": "model 3", "score": 0.03}


def test_a_question_that_nobody_asked_is_there_with_its_reason() -> None:
    given = Report("s", (Answer("knowledge", "MGMP", "inconclusive", "So."),))
    content = as_json(given)
    check_schema("report", content)
    assert report_from_json(content) == given
    assert content["answers"][1]["reason"].startswith(
        "Not asked: no method of the verifier answers it; the sibling"
    )
    content["answers"][1]["reason"] = "Not asked, as another release says it."
    assert report_from_json(content) == given


def test_what_a_verifier_says_and_its_dna_follow_the_schemas(tmp_path: Path) -> None:
    queries = QuerySet.texts([f"text {i}" for i in range(80)])
    family = Family(80, queries=queries.digest)
    methods = [MGMP(EXTENDED.replace(epochs=1)), SiblingTest(), Similarity("linear CKA")]
    verifier = Verifier.fit(family.references(2, siblings=3, controls=3), methods)
    said = verifier.verify(family.tuned(family.own, name="theirs"))
    content = as_json(said, verifier=verifier.digest)
    check_schema("report", content)
    assert report_from_json(json.loads(json.dumps(content))) == said
    for name, asked in (("asked", queries), ("unknown", None)):
        write_dna(tmp_path / name, verifier, created=CREATED, queries=asked)
        check_schema("dna", json.loads((tmp_path / name / "dna.json").read_text()))


def test_the_schema_refuses_what_is_none() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install 'mgmp_jax[statements]'")
    content = as_json(report("homologous", "inconclusive"))
    for name, wrong in (("schema", "v2"), ("verdicts", {}), ("level", 2), ("more", 1)):
        with pytest.raises(jsonschema.ValidationError):
            check_schema("report", {**content, name: wrong})


def test_a_report_that_was_changed_contradicts_itself() -> None:
    content = as_json(report("homologous", "inconclusive"))
    places = [
        (("schema",), "other", "expected 'mgmp_jax.report.v2'"),
        (("created",), "today", "created must be a time"),
        (("library",), {"name": "x"}, "KeyError"),
        (("versions",), [], "AttributeError"),
        (("versions", "jax"), 1, "jax must be text"),
        (("verifier",), "x", "Type(Check)?Error"),
        (("verifier",), {"sha256": ""}, "KeyError"),
        (("verifier",), {"file": "verifier.npz"}, "KeyError"),
        (("verifier", "sha256"), None, "sha256 must be text"),
        (("verifier", "sha256"), "CD" * 32, "sha256 must be 64 hexadecimal digits"),
        (("threshold",), "0.9", "threshold and level must be numbers, got .'0.9', 0.05"),
        (("threshold",), True, "threshold and level must be numbers"),
        (("threshold",), math.nan, "threshold must be from 0.5 to 1, got nan"),
        (("level",), [], "threshold and level must be numbers"),
        (("level",), 1, "level must be between 0 and 1, got 1"),
        (("suspect",), 3, "suspect must be text"),
        (("answers",), None, "TypeError"),
        (("verdicts", "lineage"), "homologous", "its verdicts are"),
        (("answers", 0, "verdict"), "homologous", "its verdicts are"),
        (("answers", 0, "verdict"), "guilty", "verdict must be one of"),
        (("answers", 0, "question"), "guilt", "question must be one of"),
        (("answers", 0, "m"), 99, "contradicts itself"),
        (("answers", 0, "least_p"), 0.01, "contradicts itself"),
        (("answers", 0, "false_positive_bound"), 0.0, "contradicts itself"),
        (("answers", 0, "score"), math.nan, "not finite"),
        (("answers", 0, "others"), [], "cannot come of 0 models"),
        (("answers", 1, "p_value"), 1e-9, "cannot come of"),
    ]
    for place, value, message in places:
        changed = copy.deepcopy(content)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        with pytest.raises(ValueError, match=f"no readable report: .*{message}"):
            report_from_json(changed)
    unasked = {**content["answers"][0], "method": ""}
    with pytest.raises(ValueError, match=r"answers a question that nobody asked"):
        report_from_json({**content, "answers": [*content["answers"], unasked]})
    for name in content:
        with pytest.raises(ValueError, match=r"no readable report: KeyError"):
            report_from_json({key: value for key, value in content.items() if key != name})


def test_what_json_cannot_say_is_refused() -> None:
    wrong = Report("s", (Answer("knowledge", "MGMP", "inconclusive", "", np.inf, 0.05, OTHERS),))
    with pytest.raises(ValueError, match=r"the knowledge of MGMP has a score that is not finite"):
        as_json(wrong)
    with pytest.raises(ValueError, match=r"created must be a time"):
        report_to_json(wrong, created="today")
