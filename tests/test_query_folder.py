from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.queries import QuerySet
from mgmp_jax.query_folder import QueryFolder
from mgmp_jax.seal import seal, unseal

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
SETS = {
    "training": QuerySet.images(IMAGES),
    "texts": QuerySet.texts(["ein Wort", "zwei Wörter\n", "\ud800 alone", "日本"]),
    "rows": QuerySet.rows(IMAGES.reshape(4, -1)),
}


def test_frozen_queries_are_read_as_they_were(tmp_path: Path) -> None:
    frozen = QueryFolder.freeze(tmp_path, SETS)
    found = QueryFolder.load(tmp_path)
    assert found.created == frozen.created
    assert {name: one.digest for name, one in found.sets.items()} == {
        name: one.digest for name, one in SETS.items()
    }
    assert found.sets["texts"].inputs == SETS["texts"].inputs


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\b"])
def test_query_sets_are_files_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name them without slashes, got"):
        QueryFolder.freeze(tmp_path / "queries", {name: SETS["rows"]})
    assert not list(tmp_path.iterdir())


def test_frozen_queries_stay_as_they_are(tmp_path: Path) -> None:
    QueryFolder.freeze(tmp_path, SETS)
    with pytest.raises(FileExistsError, match=r"stay as they are; choose another folder"):
        QueryFolder.freeze(tmp_path, {"training": SETS["rows"]})
    assert len(QueryFolder.load(tmp_path).sets) == 3


def test_a_file_that_is_no_query_set_stays_and_a_freeze_that_was_cut_off_goes_on(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "x.npy").rename(tmp_path / "rows.npz")
    with pytest.raises(FileExistsError, match=r"rows.npz is there and holds something else"):
        QueryFolder.freeze(tmp_path, SETS)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]
    (tmp_path / "rows.npz").unlink()
    QueryFolder.freeze(tmp_path, SETS)
    (tmp_path / "queries.json").unlink()
    QueryFolder.freeze(tmp_path, SETS)
    assert len(QueryFolder.load(tmp_path).sets) == 3


def test_who_asked_other_queries_gets_no_date(tmp_path: Path) -> None:
    frozen = QueryFolder.freeze(tmp_path, SETS)
    assert frozen.created_of([SETS["texts"].digest]) == frozen.created
    with pytest.raises(ValueError, match=r"other queries \(digest beef\) than were frozen"):
        frozen.created_of([SETS["texts"].digest, "beef"])


def test_what_was_changed_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no queries in"):
        QueryFolder.load(tmp_path)
    QueryFolder.freeze(tmp_path, SETS)
    path = tmp_path / "queries.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"created": "2', b'"created": "1'))
    with pytest.raises(ValueError, match=r"its SHA-256 differs"):
        QueryFolder.load(tmp_path)
    about = unseal(whole)
    del about["sha256"]
    about["sets"]["training"]["digest"] = SETS["rows"].digest
    path.write_bytes(seal(about))
    with pytest.raises(ValueError, match=r"training.npz holds other queries than were frozen"):
        QueryFolder.load(tmp_path)
    about["sets"]["training"]["file"] = "../../elsewhere.npz"
    path.write_bytes(seal(about))
    with pytest.raises((ValueError, FileNotFoundError), match=r"elsewhere.npz"):
        QueryFolder.load(tmp_path)
    path.write_bytes(seal({"format": "of another"}))
    with pytest.raises(ValueError, match=r"its format is 'of another'"):
        QueryFolder.load(tmp_path)
