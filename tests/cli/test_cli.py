"""The command line from frozen queries to a ranked table, on toy models."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.cli import main
from mgmp_jax.cli.verbs import VERBS
from mgmp_jax.query_folder import QueryFolder
from mgmp_jax.reporting import plain_words
from tests.cli.commands import INNOCENT, TOYS, asked, record, refused

pytest.importorskip("tyro", reason="pip install 'mgmp_jax[cli]'")


def test_a_stolen_model_is_homologous(story: Path, capsys) -> None:
    code, report = asked(capsys, "verify", story / "verifier", story / "suspects/stolen.npz")
    assert code == 3
    assert [answer["verdict"] for answer in report["answers"]] == ["homologous"] * 2


def test_the_source_itself_is_marked(story: Path, capsys) -> None:
    _, report = asked(capsys, "verify", story / "verifier", story / "references/source.npz")
    for answer in report["answers"]:
        assert answer["reason"].endswith("These are the answers of the source itself.")


def test_innocent_models_are_not(story: Path, capsys) -> None:
    for name in INNOCENT:
        suspect = story / f"suspects/{name}.npz"
        code, report = asked(capsys, "verify", story / "verifier", suspect)
        assert code in (0, 4)
        assert all("the source itself" not in answer["reason"] for answer in report["answers"])
        assert "homologous" not in [answer["verdict"] for answer in report["answers"]]


def test_a_page_is_written_of_evidence(story: Path, capsys, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="pip install 'mgmp_jax[report]'")
    suspect, page = story / "suspects/stolen.npz", tmp_path / "report.html"
    frozen = QueryFolder.load(story / "queries").created
    gathered = ("--evidence", tmp_path / "evidence.npz", "--report", page)
    gathered += ("--queries", story / "queries")
    assert asked(capsys, "verify", story / "verifier", suspect, *gathered)[0] == 3
    first = page.read_text("utf-8")
    assert "stolen" in first and "<script" not in first
    assert f"queries frozen {plain_words.date(frozen)}" in first
    about = asked(capsys, "inspect", tmp_path / "evidence.npz")[1]
    assert about == {
        "is": "evidence",
        "suspect": "stolen",
        "knowledge": "homologous",
        "lineage": "homologous",
    }
    folder = tmp_path / "report"
    report = ("report", tmp_path / "evidence.npz", "--suspect", suspect, "--out", folder)
    code, about = asked(capsys, *report, "--queries", story / "queries")
    assert code == 0
    assert {path.name for path in folder.iterdir()} == set(about["files"])
    statement = json.loads((folder / "in-toto.json").read_text())
    assert statement["predicate"] == json.loads((folder / "report.json").read_text())
    assert main(list(map(str, ("report", suspect, "--suspect", suspect, "--out", folder)))) == 2


def test_what_was_signed_is_checked(story: Path, capsys, tmp_path: Path) -> None:
    pytest.importorskip("model_signing", reason="pip install 'mgmp_jax[signing]'")
    private, public = make_keys(tmp_path)
    suspect, evidence = story / "suspects/stolen.npz", tmp_path / "evidence.npz"
    report, dna = tmp_path / "report", tmp_path / "dna.zip"
    assert asked(capsys, "verify", story / "verifier", suspect, "--evidence", evidence)[0] == 3
    assert asked(capsys, "report", evidence, "--suspect", suspect, "--out", report)[0] == 0
    assert asked(capsys, "dna", story / "verifier", "--out", dna)[0] == 0
    again = ("--verifier", story / "verifier")
    for path, more in ((report, (*again, "--suspect", suspect)), (dna, again)):
        assert asked(capsys, "sign", path, "--private-key", private)[0] == 0
        code, about = asked(capsys, "check", path, "--public-key", public, *more)
        assert code == 0 and len(about["checked"]) == 2
    other = story / "suspects/innocent5.npz"
    assert "answers on 'stolen'" in refused(capsys, "check", report, *again, "--suspect", other)
    page = report / "report.html"
    page.write_bytes(page.read_bytes().replace(b"homologous", b"homoiogous", 1))
    assert "is not what was signed" in refused(capsys, "check", report, "--public-key", public)
    forged = json.loads((report / "cyclonedx.json").read_text())
    forged["declarations"]["claims"][0]["predicate"] = "is guilty"
    whole = (report / "cyclonedx.json").read_text()
    (report / "cyclonedx.json").write_text(json.dumps(forged))
    said = refused(capsys, "check", report, *again, "--suspect", suspect)
    assert "cyclonedx.json says something else than report.json" in said
    (report / "cyclonedx.json").write_text(whole)
    stated = json.loads((report / "report.json").read_text())
    stated["answers"][1]["score"] += 1
    (report / "report.json").write_text(json.dumps(stated))
    said = refused(capsys, "check", report, *again, "--suspect", suspect)
    assert "scores of lineage are not the verifier's" in said
    assert "nothing to check" in refused(capsys, "check", report)


def make_keys(folder: Path) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.mark.parametrize("name", ["stole", "siblings", "pool/task0/", "__file"])
def test_a_toy_model_is_asked_for_by_its_name(story: Path, capsys, name: str) -> None:
    assert record(story, f"python:{TOYS}:{name}", "none.npz") == 2
    assert f"has no function '{name}'" in capsys.readouterr().err
    assert not (story / "none.npz").exists()


def test_labels_only_are_read(story: Path, capsys) -> None:
    (story / "labels.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TOYS.parent)!r})\nimport toy_models\n\n\n"
        "def load():\n    model = toy_models.stolen()\n"
        "    return lambda images: model(images).argmax(axis=1)\n"
    )
    model = f"python:{story}/labels.py:load"
    assert record(story, model, "labels.npz", "--kind", "labels") == 0
    _, report = asked(capsys, "verify", story / "verifier", story / "labels.npz")
    lineage = report["answers"][1]
    assert lineage["question"] == "lineage" and lineage["p_value"] == pytest.approx(0.05)


def test_a_scan_ranks_and_resumes(story: Path, capsys, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    out = tmp_path / "scan.csv"
    command = ["scan", story / "verifier", story / "suspects", tmp_path / "broken.npz"]
    code, found = asked(capsys, *command, "--out", out, "--alpha", "0.4")
    assert code == 3
    assert [Path(row["file"]).stem for row in found["rows"]][::6] == ["stolen", "broken"]
    assert found["failed"] == 1 and "is damaged" in found["rows"][-1]["error"]
    assert found["found"] == {"lineage": 1, "knowledge": 1}
    whole, journal = out.read_bytes(), tmp_path / "scan.csv.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    assert asked(capsys, *command, "--out", out, "--alpha", "0.4") == (3, found)
    assert out.read_bytes() == whole
    assert {*journal.read_bytes().splitlines()} == {*b"".join(lines).splitlines()}
    assert main([*map(str, command), "--out", str(out), "--level", "0.1"]) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_a_scan_says_before_what_the_models_allow(story: Path, capsys, tmp_path: Path) -> None:
    command = ["scan", story / "verifier", story / "suspects", "--out", tmp_path / "s.parquet"]
    capsys.readouterr()
    assert main(list(map(str, command))) == 0
    said = capsys.readouterr().err
    assert "lineage: 19 siblings allow no p below 0.05" in said
    assert "Benjamini-Hochberg at 0.05 finds at least 6 of 6 suspects, or none" in said
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert len(table) == 6 and table[0]["lineage_q_value"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("queries", "frozen queries"),
        ("verifier", "a verifier"),
        ("references/source.npz", "recorded answers"),
    ],
)
def test_files_say_what_they_are(story: Path, capsys, path: str, what: str) -> None:
    code, about = asked(capsys, "inspect", story / path)
    assert (code, about["is"]) == (0, what)
    assert main(["inspect", str(TOYS)]) == 2


def test_a_reference_folder_says_what_each_model_is_for(story: Path, capsys) -> None:
    about = asked(capsys, "inspect", story / "references")[1]
    for asks in ("training", "unseen"):
        assert about.pop(asks).startswith("Responses('source', logits, [400, 6], queries ")
    assert about == {
        "is": "a folder of recorded answers",
        **{f"task task{i}": "1 homologous, 1 non-homologous" for i in range(3)},
        "siblings": 19,
        "controls": 19,
        "calibration": 0,
    }


def test_a_reference_folder_without_a_source_is_told_so(tmp_path: Path, capsys) -> None:
    (tmp_path / "siblings").mkdir()
    assert main(["inspect", str(tmp_path)]) == 2
    assert f"no source.npz in {tmp_path}; expected source.npz, pool/" in capsys.readouterr().err


def test_the_first_method_of_a_question_is_the_one_that_is_inspected(
    story: Path, capsys, tmp_path: Path
) -> None:
    from mgmp_jax.answers import load_answers
    from mgmp_jax.evidence import gather_evidence
    from mgmp_jax.methods import FittedSimilarity
    from mgmp_jax.verifier import Verifier

    verifier = Verifier.load(story / "verifier")
    alike = FittedSimilarity("linear CKA", verifier.methods[0].source)
    both = Verifier((*verifier.methods, alike), verifier.calibration, verifier.known)
    both.save(tmp_path / "v")
    _, about = asked(capsys, "inspect", tmp_path / "v")
    assert about["knowledge"] == "MGMP, asks training queries; linear CKA, asks training queries"
    suspect = load_answers(story / "suspects/stolen.npz")
    evidence = gather_evidence(both, suspect)
    evidence.save(tmp_path / "e.npz")
    _, about = asked(capsys, "inspect", tmp_path / "e.npz")
    assert about["knowledge"] == evidence.report.knowledge.verdict
    assert about["lineage"] == evidence.report.lineage.verdict


def test_pixels_are_normalised_as_the_command_says(story: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install torch")
    from mgmp_jax.answers import load_answers

    (story / "net.py").write_text("import torch\n\n\ndef load():\n    return torch.nn.Flatten()\n")
    normalise = ("--mean", "0.1", "0.2", "0.3", "--std", "0.5", "0.5", "0.5")
    more = ("--kind", "embedding", *normalise)
    assert record(story, f"torch:{story}/net.py:load", "net.npz", *more) == 0
    found = load_answers(story / "net.npz")["training"].values.reshape(400, 3, 4, 4)
    raw = QueryFolder.load(story / "queries").sets["training"].inputs
    expected = (raw.transpose(0, 3, 1, 2) / 255 - np.reshape([0.1, 0.2, 0.3], (3, 1, 1))) / 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    wrong = record(story, f"python:{TOYS}:source", "net.npz", *normalise)
    assert wrong == 2


def test_wrong_input_is_said_in_a_sentence(story: Path, capsys, tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        return refused(capsys, *arguments)

    frozen = ("queries", story / "train.npy", "--out")
    assert "stay as they are" in error(*frozen, story / "queries", "--count", 10)
    assert "--count must be from 10 to the 500" in error(*frozen, tmp_path / "q")
    assert "no file or folder" in error("queries", "nothing.npy", "--out", tmp_path / "q")
    itself = ("--unseen", story / "train.npy", "--count", 10, "--out", tmp_path / "q")
    assert "all of" in error("queries", story / "train.npy", *itself)
    assert "holds a verifier already" in error(
        "fit", story / "references", "--out", story / "verifier"
    )
    inside = ("--out", story / "train.npy/verifier")
    assert "train.npy is a file" in error("fit", story / "references", *inside)
    assert "give one file of answers" in error("verify", story / "verifier", story / "suspects")
    swapped = ("verify", story / "suspects/stolen.npz", story / "verifier")
    assert "is a file; give the folder of a verifier" in error(*swapped)
    other = ("verify", story / "verifier", story / "queries/training.npz")
    assert "is no file of answers" in error(*other)
    known = ("record", "--model", f"python:{TOYS}:source", "--queries", story / "queries")
    assert "is there already" in error(*known, "--out", story / "suspects/stolen.npz")
    assert "no verifier in" in error("verify", tmp_path, story / "suspects/stolen.npz")
    assert "no answers at" in error("verify", story / "verifier", tmp_path / "x.npz")
    assert "give at least one" in error("scan", story / "verifier", "--out", tmp_path / "s.csv")
    scan = ("scan", story / "verifier", story / "suspects", "--out", tmp_path / "s.csv")
    assert "--alpha must be between 0 and 1, got 7" in error(*scan, "--alpha", 7)
    assert main([*map(str, scan), "--level", "5"]) == 2
    assert "error: level must be between 0 and 1, got 5" in capsys.readouterr().err
    assert not list(tmp_path.glob("s.csv*"))
    alone = ("check", story / "queries", "--suspect", story / "suspects/stolen.npz")
    assert "give --verifier, which scores the answers" in error(*alone)
    assert "no source.npz in" in error("fit", tmp_path, "--out", tmp_path / "v")
    (tmp_path / "sibling").mkdir()
    (tmp_path / "sibling" / "a.npz").touch()
    assert "has a name that says nothing" in error("fit", tmp_path, "--out", tmp_path / "v")
    suspect = story / "references/controls/00.npz"
    assert "a model of the reference set" in error("verify", story / "verifier", suspect)


def test_help_answers_at_once() -> None:
    program = """
import sys
from mgmp_jax.cli import main
from mgmp_jax.cli.verbs import VERBS
from mgmp_jax.cli.verbs import VERBS
for verb in ("", *VERBS):
    try:
        main([*verb.split(), "--help"])
    except SystemExit as end:
        assert end.code == 0, verb
    else:
        raise AssertionError(verb)
slow = {"jax", "numpy", "PIL", "httpx", "matplotlib", "pyarrow"}.intersection(sys.modules)
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in ("{", *VERBS):
        assert f"usage: mgmp [-h] {verb}" in done.stdout or f"usage: mgmp {verb}" in done.stdout


def test_the_version_is_said(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == importlib.metadata.version("mgmp_jax")


def test_recording_does_not_wait_for_jax(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.random.default_rng(0).normal(size=(60, 4)))
    queries, model = str(tmp_path / "queries"), f"python:{TOYS}:source"
    assert main(["queries", str(tmp_path / "train.npy"), "--out", queries, "--count", "50"]) == 0
    program = f"""
import sys
from mgmp_jax.cli import main
verb = ["record", "--model", {model!r}, "--queries", {queries!r}, "--out", sys.argv[1]]
assert main(verb) == 0
assert "jax" not in sys.modules
"""
    command = [sys.executable, "-c", program, str(tmp_path / "source.npz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
