import os
from pathlib import Path

import pytest

from mgmp_jax.answers import save_answers
from mgmp_jax.reference_folder import read_references
from tests.families import Family


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    family = Family(30, seed=4)
    places = ["source", "siblings/0", "siblings/1", "controls/x", "calibration/y"]
    places += [f"pool/b/non_homologous{i}" for i in (10, 2, 1)] + ["pool/b/homologous"]
    places += ["pool/a/homologous-3", "pool/a/non_homologous"]
    for place in places:
        save_answers(tmp_path / f"{place}.npz", family.tuned(family.noise(), name=place))
    return tmp_path


def test_names_say_what_each_model_is_for(folder: Path) -> None:
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "notes.txt").touch()
    (folder / "siblings" / ".0.npz.journal").touch()
    found = read_references(folder)
    assert found.source.model == "source"
    assert [one.model for one in found.siblings] == ["siblings/0", "siblings/1"]
    assert [one.model for one in (*found.controls, *found.calibration)] == [
        "controls/x",
        "calibration/y",
    ]
    assert [pair.task for pair in found.pool] == ["a", "b"]
    last = [one.model for one in found.pool[1].non_homologous]
    assert last == [f"pool/b/non_homologous{i}" for i in (1, 2, 10)]  # the last stands for all


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_are_followed_and_never_in_circles(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-siblings"
    (folder / "siblings").rename(elsewhere)
    (folder / "siblings").symlink_to(elsewhere)
    (elsewhere / ".again").symlink_to(elsewhere)
    assert [one.model for one in read_references(folder).siblings] == ["siblings/0", "siblings/1"]


@pytest.mark.parametrize(
    "place", ["sibling/0.npz", "pool/a/descendant.npz", "pool/x.npz", "notes.txt"]
)
def test_a_name_that_says_nothing_is_refused(folder: Path, place: str) -> None:
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).touch()
    with pytest.raises(ValueError, match=r"has a name that says nothing here; expected source.npz"):
        read_references(folder)


def test_a_file_that_does_not_know_its_queries_is_taken_over_first(folder: Path) -> None:
    (folder / "siblings/2.parquet").touch()
    with pytest.raises(ValueError, match=r"mgmp record --model recorded:\S+2.parquet --queries"):
        read_references(folder)


@pytest.mark.parametrize("side", ["homologous", "non_homologous"])
def test_a_task_needs_both_sides(folder: Path, side: str) -> None:
    for path in (folder / "pool" / "a").glob(f"{side}*"):
        path.unlink()
    with pytest.raises(ValueError, match=rf"pool.a holds no {side}\*\.npz: .*; add one"):
        read_references(folder)


def test_a_source_is_needed(folder: Path, tmp_path: Path) -> None:
    (folder / "source.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no source.npz in"):
        read_references(folder)
    with pytest.raises(FileNotFoundError, match=r"no folder"):
        read_references(tmp_path / "nothing")
