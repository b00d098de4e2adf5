"""What the command line refuses, and that nothing that is given is written over."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.cli import main
from tests.cli.commands import asked, refused

pytest.importorskip("tyro", reason="pip install 'mgmp_jax[cli]'")


@pytest.mark.parametrize(
    ("option", "place", "said"),
    [
        ("--evidence", "s.npz", "would change"),
        ("--evidence", "v/verifier.npz", "would change"),
        ("--report", "s.npz", "would change"),
        ("--report", "page.txt", "--report must end in .html"),
        ("--evidence", "page.html", "--evidence must end in .npz"),
        ("--evidence", "folder.npz", "is a folder"),
        ("--queries", "none", "give both, or neither"),
    ],
)
def test_nothing_that_is_given_is_written_over(
    story: Path, capsys, tmp_path: Path, option: str, place: str, said: str
) -> None:
    shutil.copytree(story / "verifier", tmp_path / "v")
    shutil.copy(story / "suspects/stolen.npz", tmp_path / "s.npz")
    (tmp_path / "folder.npz").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    verify = ("verify", tmp_path / "v", tmp_path / "s.npz")
    assert said in refused(capsys, *verify, option, tmp_path / place)
    both = ("--evidence", tmp_path / "x.npz", "--report", tmp_path / "x.npz")
    assert "would change" in refused(capsys, *verify, *both)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_scan_does_not_write_over_its_suspects(story: Path, capsys, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[cli]'")
    from mgmp_jax.answers import load_answers
    from mgmp_jax.answers_table import save_answers_table

    table = tmp_path / "many.parquet"
    save_answers_table(table, [load_answers(story / "suspects/stolen.npz")])
    before = table.read_bytes()
    for suspects in (table, tmp_path):
        assert "would change" in refused(
            capsys, "scan", story / "verifier", suspects, "--out", table
        )
    assert table.read_bytes() == before


def test_options_that_would_not_be_looked_at_are_refused(story: Path, capsys, tmp_path) -> None:
    check = ("check", story / "queries", "--signature", tmp_path / "x.sig")
    assert "give --public-key or --chain" in refused(capsys, *check)
    assert main(["dna", str(story / "verifier"), "--out", str(tmp_path / "d.ZIP")]) == 0
    suspect = ("--suspect", story / "suspects/stolen.npz")
    dna = ("check", tmp_path / "d.ZIP", "--verifier", story / "verifier", *suspect)
    assert "is no report, so --suspect has no part in it" in refused(capsys, *dna)
    assert asked(capsys, "inspect", tmp_path / "d.ZIP")[1]["is"] == "a DNA file"
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(story / "references/source.npz", bare)
    said = refused(capsys, "fit", bare, "--out", tmp_path / "v")
    assert "holds neither a pool nor two siblings" in said
    fit = ("fit", story / "references", "--out", tmp_path / "v", "--seed", -1)
    assert "--seed must be at least 0, got -1" in refused(capsys, *fit)
    assert not (tmp_path / "v").exists()


def test_query_sets_of_two_forms_are_refused(story: Path, capsys, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(50, 5)))
    freeze = ("queries", story / "train.npy", "--count", 10, "--out", tmp_path / "q")
    said = refused(capsys, *freeze, "--unseen", tmp_path / "rows.npy")
    assert "holds images of 4x4x3 and --unseen" in said and "rows of 5" in said
    assert not (tmp_path / "q").exists()


def test_neither_what_is_signed_nor_evidence_on_another_is_written_over(
    story: Path, capsys, tmp_path: Path
) -> None:
    stolen, innocent = (story / f"suspects/{name}.npz" for name in ("stolen", "innocent5"))
    kept, verify = tmp_path / "kept.npz", ("verify", story / "verifier")
    for _ in range(2):  # the same once more, as after an interruption
        assert asked(capsys, *verify, stolen, "--evidence", kept)[0] == 3
    before = kept.read_bytes()
    said = refused(capsys, *verify, innocent, "--evidence", kept)
    assert "kept.npz is the evidence on 'stolen'; choose another --evidence for 'innocent5'" in said
    kept.write_bytes(before[:100])
    said = refused(capsys, *verify, stolen, "--evidence", kept)
    assert "is there, and no evidence that can be read" in said
    (tmp_path / "folder.sig").touch()
    said = refused(capsys, *verify, stolen, "--report", tmp_path / "folder" / "page.html")
    assert "folder is signed (folder.sig)" in said
    for name, option in (("kept.npz", "--evidence"), ("page.html", "--report")):
        (tmp_path / f"{name}.sig").touch()
        said = refused(capsys, *verify, stolen, option, tmp_path / name)
        assert f"is signed ({name}.sig) and would not be what was signed" in said
    assert kept.read_bytes() == before[:100] and not (tmp_path / "page.html").exists()


def test_a_reader_who_has_seen_enough_changes_no_verdict(story: Path) -> None:
    verify = ["verify", str(story / "verifier"), str(story / "suspects/stolen.npz"), "--json"]
    command = [sys.executable, "-m", "mgmp_jax.cli", *verify]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_verdict_is_printed_to_every_output_or_its_loss_is_said(story: Path) -> None:
    verify = ["verify", str(story / "verifier"), str(story / "suspects/stolen.npz")]
    command = [sys.executable, "-m", "mgmp_jax.cli", *verify]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True)
    assert done.returncode == 3 and r"\u03b4 = 0.9" in done.stdout
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the outcome cannot be printed: ")
    assert done.stderr.count("\n") == 1
